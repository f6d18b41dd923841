/** Starts the worker threads that live beside the modules that use them. */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'

/**
 * Starts `<name>` with the extension of the module that asks: .ts in the tree, .js in the package.
 *
 * @param from import.meta.url of that module
 */
export function startWorker(name: string, from: string, workerData: unknown): Worker {
  const url = new URL(`./${name}${extname(from)}`, from)
  return new Worker(url, { name: `quorate ${name}`, workerData })
}
