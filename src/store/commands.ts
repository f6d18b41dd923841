/** The commands about the log and the file as such: those that run no client's SQL. */
import { assert } from '../base/assert.ts'
import { type LogIndex, next, toLogIndex } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import type { Origin } from '../core/order/clock/stamp.ts'
import type { Entry } from '../model/entry.ts'
import { checkEntry, sealEntry } from '../model/entry-codec.ts'
import { decodeOriginOperations, encodeMergeOperations } from '../model/origin-codec.ts'
import type { OriginEntry } from '../model/origin-entry.ts'
import type { Applier } from './apply/apply.ts'
import { takeBackAbove } from './apply/truncate.ts'
import type { Connections } from './connections.ts'
import type { Log } from './log.ts'
import type { Origins } from './origins/origins.ts'
import { inherit } from './origins/serving.ts'
import { checkAdoptable } from './schema/schema-guard.ts'
import type { StoreCommand } from './types.ts'

/** What belongs to one opening of the file. */
export interface Opened {
  readonly connections: Connections
  readonly log: Log
  readonly applier: Applier
  readonly origins: Origins
}

type Found = Extract<StoreCommand, { kind: 'found' }>

/**
 * Follower: logs entries that follow the last one, in one transaction, and applies nothing.
 *
 * Throws LOG_CORRUPT if one does not match its checksum; nothing was logged.
 */
export function append({ connections, log, origins }: Opened, entries: readonly Entry[]): void {
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
  origins.forgetLast()
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

/**
 * Leader: logs what came of other origins, which is applied when it is committed.
 *
 * Throws LOG_CORRUPT if an entry is not as its origin made it, TOO_LARGE; nothing was logged.
 */
export function logMerge(
  { connections, log }: Opened,
  { term, at, operations }: Extract<StoreCommand, { kind: 'merge' }>,
): Entry {
  for (const operation of operations) {
    // Once it is logged, all replicas must apply it.
    if (operation.kind === 'take') checkOriginEntry(operation.entry)
  }
  const body = encodeMergeOperations(operations)
  if (body.length > LIMITS.entryBytesMax) {
    throw new QuorateError('TOO_LARGE', `Entries of ${body.length} bytes can't be logged as one.`)
  }
  const entry = sealEntry({ index: next(log.last.index), term, kind: 'merge', at, body })
  const { applier } = connections
  connections.transaction(applier, () => log.write(applier, entry))
  log.notedEntries([entry])
  return entry
}

function checkOriginEntry({ origin, sequence, body }: OriginEntry): void {
  try {
    decodeOriginOperations(body)
  } catch (cause) {
    const detail = `Entry ${sequence} of ${origin} can't be read.`
    throw new QuorateError('LOG_CORRUPT', detail, {}, { cause })
  }
}

/** Drops entries through `to`. */
export function compact({ log, origins }: Opened, to: LogIndex): void {
  assert(to <= log.applied, () => `compaction to ${to} with ${log.applied} applied`)
  if (to <= log.base.index) return
  origins.transaction(() => {
    origins.cutThrough(to)
    log.deleteThrough(to)
  })
  log.notedDropped(to)
}

/**
 * Makes the file part of a cluster. Throws NOT_ADOPTABLE with every reason, WRONG_CLUSTER if the
 * file belongs to one already, or is no snapshot from which a group of several can begin.
 */
export function found(opened: Opened, command: Found): void {
  const { connections, log, origins } = opened
  const { identity, base, members, origin } = command
  const cluster = origin?.cluster ?? null
  if (origin !== undefined && cluster === null) {
    foundGroup(opened, command, origin.self)
    return
  }
  if (log.identity !== null) {
    const { cluster: its, node } = log.identity
    throw new QuorateError('WRONG_CLUSTER', `The file belongs to node ${node} of ${its}.`)
  }
  const { applier, path } = connections
  const problems =
    base.index === 0 ? contentOf(connections) : checkAdoptable(applier, cluster !== null)
  if (problems.length > 0) {
    throw new QuorateError('NOT_ADOPTABLE', `${path} can't be replicated: ${problems.join(' ')}`)
  }
  origins.transaction(() => {
    log.create(identity, base, members)
    if (origin !== undefined && cluster !== null) origins.create(origin.self, cluster)
  })
  log.load()
}

/**
 * A new group begins with the rows of another one: a log of its own over the same content. What the
 * other's leader was ahead of its majority is taken back first; it comes the way of all entries.
 */
function foundGroup(opened: Opened, { identity, base, members }: Found, self: Origin): void {
  const { connections, log, applier, origins } = opened
  const { state } = origins
  if (log.identity?.cluster !== identity.cluster || state === null) {
    const detail = `${connections.path} is no snapshot of a node of cluster ${identity.cluster} with several groups.`
    throw new QuorateError('WRONG_CLUSTER', detail)
  }
  const standing = state.cluster.origins.find(({ origin }) => origin === self)?.standing
  if (standing?.kind !== 'writes') {
    const detail = `The snapshot in ${connections.path} does not know ${self} as a group that writes.`
    throw new QuorateError('WRONG_CLUSTER', detail)
  }
  takeBackAbove(connections, log, applier, origins, surelyCommitted(log))
  origins.transaction(() => {
    origins.restart(self, base.index)
    inherit(origins, log)
    log.restart(identity, base, members)
  })
  log.load()
  origins.load()
}

/** A joiner's file must be empty: what it holds would be lost to the snapshot. */
function contentOf({ applier }: Connections): readonly string[] {
  const names = applier.internal("select name from sqlite_schema where type = 'table'").rows()
  return names.map(([name]) => `It joins a cluster but holds the table ${name} already.`)
}

/**
 * After a snapshot has taken the file's place: this node's identity, and a log that begins after
 * what is surely committed of it. A leader's database may be ahead of that; the entries that can
 * take it back stay. With several origins all stay: should this node lead one day, other groups may
 * ask it for them.
 */
export function adoptSnapshot({ log, origins }: Opened, node: string): void {
  const { identity } = log
  const committed = surelyCommitted(log)
  if (identity === null) throw new QuorateError('LOG_CORRUPT', 'The snapshot holds no replica.')
  origins.transaction(() => {
    if (origins.state === null && committed > log.base.index) log.deleteThrough(committed)
    log.setIdentity({ cluster: identity.cluster, node })
  })
  log.load()
}

/** Through where applied entries are known to be committed. */
function surelyCommitted({ base, applied, state: { commit } }: Log): LogIndex {
  return toLogIndex(Math.max(base.index, Math.min(applied, commit)))
}
