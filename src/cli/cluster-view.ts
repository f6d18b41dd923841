/** A cluster as a table: one pure function from statuses to lines, for `status` and the demo. */
import type { NodeStatus } from '../model/status.ts'
import { bytes, type Cell, count, type Paint, type TableColumn, tableLines } from './terminal.ts'

/** One node at one moment. */
export interface NodeSample {
  readonly name: string
  readonly url: string
  /** The group that it is of, where there are several. */
  readonly group?: string
  /** What it said itself; null: it did not answer. */
  readonly status: NodeStatus | null
  /** What the onlooker knows of it besides: killed, cut off, starting. */
  readonly note: string | null
  /** Since the sample before; null where there is none. */
  readonly rates: { readonly reads: number; readonly writes: number } | null
}

const COLUMNS: readonly TableColumn[] = [
  { title: 'node' },
  { title: 'role', widthMin: 9 },
  { title: 'state', widthMin: 9 },
  { title: 'term', align: 'right' },
  { title: 'committed', align: 'right' },
  { title: 'applied', align: 'right' },
  { title: 'lag', align: 'right', widthMin: 6 },
  { title: 'reads/s', align: 'right' },
  { title: 'writes/s', align: 'right' },
  { title: 'memory', align: 'right', widthMin: 8 },
  { title: 'url' },
]

/**
 * One line for each node, below a head.
 *
 * @param zones of groups, by their names
 */
export function clusterLines(
  samples: readonly NodeSample[],
  paint: Paint,
  zones: ReadonlyMap<string, string> = new Map(),
): string[] {
  // Positions are those of a group's own log.
  const groups = [...new Set(samples.map(({ group }) => group))]
  const committed = new Map(
    groups.map((group) => [group, committedOf(samples.filter((one) => one.group === group))]),
  )
  const rows = samples.map((sample) => rowOf(sample, committed.get(sample.group) ?? 0))
  if (groups.every((group) => group === undefined)) return tableLines(COLUMNS, rows, paint)
  const zoned = zones.size > 0
  return tableLines(
    [{ title: 'group' }, ...(zoned ? [{ title: 'zone' }] : []), ...COLUMNS],
    rows.map((row, at) => {
      const { group = '' } = samples[at] ?? {}
      return [group, ...(zoned ? [zones.get(group) ?? '·'] : []), ...row]
    }),
    paint,
  )
}

/** The highest committed position that any node knows. */
export function committedOf(samples: readonly NodeSample[]): number {
  return Math.max(0, ...samples.map(({ status }) => status?.log.committed ?? 0))
}

function rowOf(sample: NodeSample, committed: number): Cell[] {
  const { name, url, status, rates } = sample
  const state = stateOf(sample)
  const tail = { text: url, style: 'dim' } as const
  const nothing: Cell = { text: '·', style: 'dim' }
  if (status === null) {
    const empty = COLUMNS.slice(3, -1).map(() => nothing)
    return [{ text: name, style: 'dim' }, nothing, state, ...empty, tail]
  }
  // A leader has applied what no majority holds yet, and the samples are not of the same moment.
  const lag = Math.max(0, committed - status.log.applied)
  return [
    status.role === 'leader' ? { text: name, style: 'bold' } : { text: name },
    status.role === 'leader' ? { text: status.role, style: 'green' } : { text: status.role },
    state,
    { text: count(status.term) },
    { text: count(status.log.committed) },
    { text: count(status.log.applied) },
    lag > 1000 ? { text: count(lag), style: 'yellow' } : { text: count(lag) },
    rates === null ? nothing : { text: count(rates.reads) },
    rates === null ? nothing : { text: count(rates.writes) },
    { text: bytes(status.memoryBytes) },
    tail,
  ]
}

function stateOf({ status, note }: NodeSample): Cell {
  if (note !== null) return { text: note, style: note === 'starting' ? 'yellow' : 'red' }
  if (status === null) return { text: 'no answer', style: 'red' }
  return status.ready ? { text: 'ready' } : { text: 'not ready', style: 'yellow' }
}

/** What a node did between two statuses of it, per second; null across a restart. */
export function ratesBetween(
  before: NodeStatus | null,
  after: NodeStatus | null,
): NodeSample['rates'] {
  if (before === null || after === null) return null
  const seconds = (after.uptimeMs - before.uptimeMs) / 1000
  if (seconds <= 0) return null
  return {
    reads: (after.counters.reads - before.counters.reads) / seconds,
    writes: (after.counters.writes - before.counters.writes) / seconds,
  }
}
