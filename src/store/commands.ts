/** The commands about the log and the file as such: those that run no client's SQL. */
import { assert } from '../base/assert.ts'
import { type LogIndex, toLogIndex } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import type { Entry } from '../model/entry.ts'
import { checkEntry } from '../model/entry-codec.ts'
import type { Connections } from './connections.ts'
import type { Log } from './log.ts'
import { checkAdoptable } from './schema-guard.ts'
import type { StoreCommand } from './types.ts'

type Found = Extract<StoreCommand, { kind: 'found' }>

/**
 * Follower: logs entries that follow the last one, in one transaction, and applies nothing.
 *
 * Throws LOG_CORRUPT if one does not match its checksum; nothing was logged.
 */
export function append(connections: Connections, log: Log, entries: readonly Entry[]): void {
  const { applier } = connections
  let { term, index } = log.last
  for (const entry of entries) {
    assert(entry.index === index + 1, () => `append of ${entry.index} after ${index}`)
    assert(entry.term >= term, () => `append of term ${entry.term} after ${term}`)
    checkEntry(entry)
    term = entry.term
    index = entry.index
  }
  if (entries.length === 0) return
  connections.transaction(applier, () => {
    for (const entry of entries) log.write(applier, entry)
  })
  log.notedEntries(entries)
}

/**
 * Entries from..to as far as the log has them, stopping before one that would exceed bytesMax, at
 * least one. None if `from` is not in the log: it may have been compacted or cut off since it was
 * asked for.
 */
export function read(log: Log, from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] {
  const { base, last } = log
  if (from <= base.index || from > last.index) return []
  const entries: Entry[] = []
  let bytes = 0
  for (const entry of log.entries(from, to < last.index ? to : last.index)) {
    bytes += entry.body.length
    if (entries.length > 0 && bytes > bytesMax) break
    entries.push(entry)
  }
  return entries
}

/** Drops entries through `to`. */
export function compact(connections: Connections, log: Log, to: LogIndex): void {
  assert(to <= log.applied, () => `compaction to ${to} with ${log.applied} applied`)
  if (to <= log.base.index) return
  connections.transaction(connections.applier, () => log.deleteThrough(to))
  log.load()
}

/**
 * Makes the file part of a cluster. Throws NOT_ADOPTABLE with every reason, WRONG_CLUSTER if the
 * file belongs to one already.
 */
export function found(connections: Connections, log: Log, command: Found): void {
  const { identity, base, members } = command
  if (log.identity !== null) {
    const { cluster, node } = log.identity
    throw new QuorateError('WRONG_CLUSTER', `The file belongs to node ${node} of ${cluster}.`)
  }
  const { applier, path } = connections
  const problems = base.index === 0 ? contentOf(connections) : checkAdoptable(applier)
  if (problems.length > 0) {
    throw new QuorateError('NOT_ADOPTABLE', `${path} can't be replicated: ${problems.join(' ')}`)
  }
  connections.transaction(applier, () => log.create(identity, base, members))
  log.load()
}

/** A joiner's file must be empty: what it holds would be lost to the snapshot. */
function contentOf({ applier }: Connections): readonly string[] {
  const names = applier.internal("select name from sqlite_schema where type = 'table'").rows()
  return names.map(([name]) => `It joins a cluster but holds the table ${name} already.`)
}

/**
 * After a snapshot has taken the file's place: this node's identity, and a log that begins after
 * what is surely committed of it. A leader's database may be ahead of that; the entries that can
 * take it back stay.
 */
export function adoptSnapshot(connections: Connections, log: Log, node: string): void {
  const { identity, applied } = log
  const committed = Math.min(applied, log.state.log.commit)
  if (identity === null) throw new QuorateError('LOG_CORRUPT', 'The snapshot holds no replica.')
  connections.transaction(connections.applier, () => {
    if (committed > log.base.index) log.deleteThrough(toLogIndex(committed))
    log.setIdentity({ cluster: identity.cluster, node })
  })
  log.load()
}
