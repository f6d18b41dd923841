/**
 * Takes back the end of the log that a new leader does not have: undoes what of it was applied, and
 * drops it. Its transactions are first kept in a file, because somebody may want them back.
 */
import { present } from '../../base/assert.ts'
import { type LogIndex, next } from '../../base/brand.ts'
import type { Entry } from '../../model/entry.ts'
import { decodeBatch, decodeOwn, decodeTransactions } from '../../model/entry-codec.ts'
import type { Connections } from '../connections.ts'
import type { Log } from '../log.ts'
import type { Origins } from '../origins/origins.ts'
import type { LostTail } from '../types.ts'
import type { Applier } from './apply.ts'
import { writeLostFile } from './lost-file.ts'

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
  origins: Origins,
  to: LogIndex,
  at: number,
): LostTail | null {
  if (to >= log.last.index) return null
  const tail = [...log.entries(next(to), log.last.index)]
  const lost = keep(connections.path, log, tail, at)
  takeBack(connections, log, applier, origins, tail, to)
  return lost
}

/**
 * A group that was removed keeps what it had not shipped by then: it counts for nobody else, and is
 * not in the file with which the group joins anew. Written again whenever the file is opened.
 */
export function keepUnshipped(connections: Connections, log: Log, { state }: Origins): void {
  const standing = state?.cluster.origins.find(({ origin }) => origin === state.self)?.standing
  if (standing?.kind !== 'removed' || log.last.index === log.base.index) return
  const entries: Entry[] = []
  for (const entry of log.entries(next(log.base.index), log.last.index)) {
    if (!hasTransactions(entry)) continue
    if ((decodeOwn(entry.body)?.sequence ?? 0) > standing.last) entries.push(entry)
  }
  keep(connections.path, log, entries, entries.at(-1)?.at ?? 0)
}

/** Undoes and drops everything above `to`, of which nobody keeps a file: others have it, or will. */
export function takeBackAbove(
  connections: Connections,
  log: Log,
  applier: Applier,
  origins: Origins,
  to: LogIndex,
): void {
  if (to >= log.last.index) return
  const tail = [...log.entries(next(to), log.last.index)]
  takeBack(connections, log, applier, origins, tail, to)
}

function takeBack(
  connections: Connections,
  log: Log,
  applier: Applier,
  origins: Origins,
  tail: readonly Entry[],
  to: LogIndex,
): void {
  const applied = tail.filter(({ index }) => index <= log.applied)
  applier.undo(applied, () => {
    log.deleteAbove(to)
    origins.cutAbove(to)
    if (to < log.applied) log.saveApplied(connections.applier, to)
    if (to < log.state.commit) log.saveCommit(to)
  })
  log.notedTruncated(to)
  if (to < log.state.commit) log.notedCommit(to)
  origins.load()
}

/** Entries without transactions are nobody's loss. */
function keep(path: string, log: Log, tail: readonly Entry[], at: number): LostTail | null {
  const entries = tail.filter(hasTransactions)
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

/** What others wrote is not lost; what origins only tell each other, or hand on, is no transaction. */
function hasTransactions({ kind, body }: Entry): boolean {
  if (kind !== 'data' && kind !== 'schema') return false
  const { transactions, own, operations } = decodeBatch(body)
  return transactions > 0 || (own === undefined && operations.length > 0)
}
