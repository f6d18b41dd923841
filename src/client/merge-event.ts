/** What a node tells about writes of several groups coming together, as an application is told. */
import type { Emitter } from './emitter.ts'
import type { DbEvents, NodeEventData } from './types.ts'

/** Tells listeners of `conflict` and `reordered` what is for them; resolves when they are done. */
export async function emitMerge(
  events: Emitter<DbEvents>,
  { name, facts }: NodeEventData,
): Promise<void> {
  if (name === 'conflict') {
    const { conflicts = 0, table, kind } = facts
    const event = { conflicts: Number(conflicts), table: String(table), kind: String(kind) }
    await events.emit('conflict', event)
  }
  if (name === 'reordered') {
    await events.emit('reordered', { transactions: Number(facts['transactions']) })
  }
}
