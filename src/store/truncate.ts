/**
 * Takes back the end of the log that a new leader does not have: undoes what of it was applied, and
 * drops it. Its transactions are first kept in a file, because somebody may want them back.
 */
import { present } from '../base/assert.ts'
import { type LogIndex, next } from '../base/brand.ts'
import type { Entry } from '../model/entry.ts'
import { decodeTransactions } from '../model/entry-codec.ts'
import type { Applier } from './apply.ts'
import type { Connections } from './connections.ts'
import type { Log } from './log.ts'
import { writeLostFile } from './lost-file.ts'
import type { LostTail } from './types.ts'

/**
 * Drops every entry above `to`. All or nothing: the data and the log change in one transaction, and
 * the lost file, written before it, is written again after a crash in between.
 *
 * Throws LOG_CORRUPT if an entry can't be undone.
 */
export function truncate(
  connections: Connections,
  log: Log,
  applier: Applier,
  to: LogIndex,
  at: number,
): LostTail | null {
  if (to >= log.last.index) return null
  const tail = [...log.entries(next(to), log.last.index)]
  const lost = keep(connections.path, log, tail, at)
  const applied = tail.filter(({ index }) => index <= log.applied)
  applier.undo(applied, () => {
    log.deleteAbove(to)
    if (to < log.applied) log.saveApplied(connections.applier, to)
    if (to < log.state.log.commit) log.saveCommit(to)
  })
  log.notedTruncated(to)
  if (to < log.state.log.commit) log.notedCommit(to)
  return lost
}

/** Entries without transactions are nobody's loss. */
function keep(path: string, log: Log, tail: readonly Entry[], at: number): LostTail | null {
  const entries = tail.filter(({ kind }) => kind === 'data' || kind === 'schema')
  const [first] = entries
  const last = entries.at(-1)
  if (first === undefined || last === undefined) return null
  const range = {
    transactions: entries.reduce((sum, { body }) => sum + decodeTransactions(body), 0),
    first: { term: first.term, index: first.index },
    last: { term: last.term, index: last.index },
  }
  const identity = present(log.identity, () => 'the identity of a file with a log')
  return { file: writeLostFile(path, identity, { ...range, at }, entries), ...range }
}
