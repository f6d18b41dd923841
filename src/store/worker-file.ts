/** Starts the worker threads that live beside the modules that use them. */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'

/**
 * What these threads make is short-lived and small: V8's default would let each of them keep three
 * times as much before it looks for garbage.
 */
const YOUNG = { maxYoungGenerationSizeMb: 16 }

/**
 * Starts `<name>` with the extension of the module that asks: .ts in the tree, .js in the package.
 *
 * @param from import.meta.url of that module
 */
export function startWorker(name: string, from: string, workerData: unknown): Worker {
  const url = new URL(`./${name}${extname(from)}`, from)
  return new Worker(url, { name: `quorate ${name}`, workerData, resourceLimits: YOUNG })
}
