/**
 * Entries on their way to another thread. Copying a view copies the whole buffer under it, and a
 * body is often a small view on a large network buffer.
 */
import type { MergeOperation } from '../../model/origin-entry.ts'

/** Of Raft or of an origin. */
interface Bodied {
  readonly body: Uint8Array
}

/** Copies whose buffers hold little else, unless the buffers hold little else already. */
export function lightweightEntries<T extends Bodied>(entries: readonly T[]): readonly T[] {
  const buffers = new Set<ArrayBufferLike>()
  let wanted = 0
  let carried = 0
  for (const { body } of entries) {
    wanted += body.byteLength
    if (!buffers.has(body.buffer)) carried += body.buffer.byteLength
    buffers.add(body.buffer)
  }
  if (carried <= 2 * wanted + 4096) return entries
  return entries.map((entry) => ({ ...entry, body: new Uint8Array(entry.body) }))
}

/** The same for the entries in operations. */
export function lightweightOperations(
  operations: readonly MergeOperation[],
): readonly MergeOperation[] {
  const taken = operations.flatMap((each) => (each.kind === 'take' ? [each.entry] : []))
  const light = lightweightEntries(taken)
  if (light === taken) return operations
  const entries = light.values()
  return operations.map((each) => {
    if (each.kind !== 'take') return each
    return { ...each, entry: entries.next().value ?? each.entry }
  })
}
