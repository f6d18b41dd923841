/** What the exchange asks a store for: where it stands, and entries to hand on. */
import { present } from '../../base/assert.ts'
import { type LogIndex, next } from '../../base/brand.ts'
import type { ExchangeState } from '../../core/order/clock/exchange/types.ts'
import { type Frontier, holds, type Range } from '../../core/order/clock/frontier.ts'
import type { Origin } from '../../core/order/clock/stamp.ts'
import type { Entry } from '../../model/entry.ts'
import { decodeOwn } from '../../model/entry-codec.ts'
import { decodeMergeOperations } from '../../model/origin-codec.ts'
import type { OriginEntry } from '../../model/origin-entry.ts'
import type { Log } from '../log.ts'
import type { StoreCommand } from '../types.ts'
import type { Origins } from './origins.ts'

/**
 * All that an exchange begins with, as of what is applied. To be asked for when everything applied
 * is committed, or others would be given what may still be taken back.
 */
export function exchangeState(origins: Origins, log: Log): ExchangeState {
  const { tables, unnoted } = origins
  const names = [...new Set([...tables.origins, ...unnoted.map(({ head }) => head.origin)])]
  const about = names.map((origin) => {
    const here = unnoted.filter(({ head }) => head.origin === origin)
    const last = here.at(-1)?.head ?? tables.head(origin, tables.heldOf(origin))
    const latest = present(last, () => `the last entry of ${origin}`)
    const applied = here.at(-1)?.head.sequence ?? tables.appliedOf(origin)
    const asking = here.findLast(({ head }) => head.answer !== 'none')?.head
    const wanted = asking ?? tables.wanted(origin, applied)
    // What waits for its time is here, also when the log has forgotten it.
    const base = Math.min(tables.goneOf(origin, log.base.index), applied)
    return { origin, latest, applied, wanted, base }
  })
  const marks = about.flatMap(({ origin, wanted }) =>
    wanted === null ? [] : [[origin, { sequence: wanted.sequence, time: wanted.time }] as const],
  )
  return {
    held: frontier(about.map(({ origin, latest }) => [origin, latest.sequence])),
    applied: frontier(about.map(({ origin, applied }) => [origin, applied])),
    base: frontier(about.map(({ origin, base }) => [origin, base])),
    latest: about.map(({ latest }) => latest),
    wanted: new Map(marks),
    unapplied: tables.kept,
    stable: tables.stable,
  }
}

function frontier(pairs: readonly (readonly [Origin, number])[]): Frontier {
  return new Map(pairs.filter(([, sequence]) => sequence > 0))
}

/**
 * Entries of origins in the order of the log, those of the ranges only and as far as they are
 * applied: at least one if there is one, and no more than the limits. What the log has forgotten is
 * left out, unless it still waits for its time. Throws LOG_CORRUPT.
 */
export function readOrigins(
  origins: Origins,
  log: Log,
  { ranges, bytesMax, entriesMax }: Extract<StoreCommand, { kind: 'readOrigins' }>,
): readonly OriginEntry[] {
  const entries: OriginEntry[] = []
  let bytes = 0
  for (const entry of entriesOf(origins, log, ranges, Math.max(1, entriesMax))) {
    bytes += entry.body.length
    if (entries.length > 0 && (bytes > bytesMax || entries.length >= entriesMax)) return entries
    entries.push(entry)
  }
  return entries
}

/** One by one, so that no more is read than goes. */
function* entriesOf(
  origins: Origins,
  log: Log,
  ranges: readonly Range[],
  most: number,
): Generator<OriginEntry> {
  const isWanted = (entry: Pick<OriginEntry, 'origin' | 'sequence'>): boolean => {
    return ranges.some((range) => isIn(range, entry))
  }
  const { tables } = origins
  const inherited = ranges.flatMap((range) => tables.inherited(range, most))
  for (const each of inherited.sort((a, b) => a.number - b.number)) {
    yield tables.inheritedEntry(each)
  }
  for (const each of tables.keptBelow(log.base.index).filter(isWanted)) {
    yield present(tables.keptEntry(each.origin, each.sequence), () => 'an entry kept')
  }
  for (const index of placesOf(origins, log, ranges, most)) {
    for (const logged of log.entries(index, index)) yield* entriesIn(logged).filter(isWanted)
  }
}

/**
 * A new group begins with a file whose log is about to go: keeps those of its entries that some other
 * group may lack, in a transaction of the applier's. Should everybody else who has them be lost, it
 * can hand them on.
 */
export function inherit(origins: Origins, log: Log): void {
  const { tables } = origins
  const { self } = tables
  const known = tables.cluster.origins
    .filter(({ origin, standing }) => standing.kind !== 'removed' && origin !== self)
    .map(({ origin }) => tables.knownOf(origin))
  const applied = new Map(tables.origins.map((origin) => [origin, tables.appliedOf(origin)]))
  const { base, last } = log
  if (last.index === base.index) return
  let number = 0
  for (const logged of log.entries(next(base.index), last.index)) {
    for (const entry of entriesIn(logged)) {
      const { origin, sequence } = entry
      const isLacked = known.some((frontier) => !holds(frontier, origin, sequence))
      // What waits for its time is kept anyway.
      if (!isLacked || !holds(applied, origin, sequence)) continue
      number += 1
      tables.inherit(entry, number)
    }
  }
}

/** Where in the log the first of the entries are. */
function placesOf(
  origins: Origins,
  log: Log,
  ranges: readonly Range[],
  most: number,
): readonly LogIndex[] {
  const { tables, unnoted } = origins
  const found = new Set<LogIndex>()
  for (const range of ranges) {
    const { origin, first, last } = range
    for (const { index } of tables.places(origin, first, last, log.base.index, most)) {
      found.add(index)
    }
    for (const { head, index } of unnoted) if (isIn(range, head)) found.add(index)
  }
  return [...found].sort((a, b) => a - b)
}

function isIn(
  { origin, first, last }: Range,
  entry: Pick<OriginEntry, 'origin' | 'sequence'>,
): boolean {
  return entry.origin === origin && entry.sequence >= first && entry.sequence <= last
}

/** Entries of origins that an entry of the log holds, in their order. */
function entriesIn({ kind, body }: Entry): readonly OriginEntry[] {
  if (kind === 'merge') {
    return decodeMergeOperations(body).flatMap((operation) =>
      operation.kind === 'take' ? [operation.entry] : [],
    )
  }
  const own = kind === 'data' || kind === 'schema' ? decodeOwn(body) : null
  return own === null ? [] : [own]
}
