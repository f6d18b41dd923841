/**
 * Merge functions of the application, from a module of its own: functions can't be handed from one
 * thread to another, so each thread that merges loads them itself.
 */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { QuorateError } from '../base/errors.ts'
import type { MergeFunctions } from './merge/rule-book.ts'
import type { MergeFunction } from './merge/rules.ts'

/**
 * All functions that a module exports, by name.
 *
 * @param path of the module
 * @throws QuorateError BAD_CONFIG if there is no such module, it can't be loaded, or has no function
 */
export async function loadMergeFunctions(path: string): Promise<MergeFunctions> {
  const file = resolve(path)
  if (!existsSync(file)) {
    throw new QuorateError('BAD_CONFIG', `mergeFunctions: ${file} does not exist.`)
  }
  const functions = new Map<string, MergeFunction>()
  for (const [name, value] of Object.entries(await load(file))) {
    if (typeof value === 'function') functions.set(name, value as MergeFunction)
  }
  if (functions.size > 0) return functions
  throw new QuorateError('BAD_CONFIG', `mergeFunctions: ${file} exports no function.`)
}

async function load(file: string): Promise<object> {
  try {
    return (await import(pathToFileURL(file).href)) as object
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause)
    const detail = `mergeFunctions: ${file} can't be loaded: ${text}.`
    throw new QuorateError('BAD_CONFIG', detail, {}, { cause })
  }
}
