/**
 * Entries on their way to another thread. Copying a view copies the whole buffer under it, and a
 * body is often a small view on a large network buffer.
 */
import type { Entry } from '../model/entry.ts'

/** Copies whose buffers hold little else, unless the buffers hold little else already. */
export function lightweightEntries(entries: readonly Entry[]): readonly Entry[] {
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
