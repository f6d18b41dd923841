/** The demo's live picture: a pure function from what is known to lines. */
import { clusterLines, committedOf, type NodeSample } from '../cluster-view.ts'
import { bytes, clip, clock, count, counted, milliseconds, type Paint } from '../terminal.ts'
import type { DemoEvent } from './cluster.ts'

export interface DemoView {
  readonly rows: number
  readonly dir: string
  readonly removed: boolean
  /** performance.now() of the start, and now. */
  readonly startedAt: number
  readonly now: number
  readonly nodes: readonly NodeSample[]
  readonly load: {
    readonly writesPerSecond: number
    readonly readsPerSecond: number
    readonly p50Ms: number
    readonly p99Ms: number
    readonly acknowledged: number
    readonly unknown: number
    readonly refused: number
    readonly staleReads: number
  }
  readonly failoverMs: number | null
  readonly events: readonly DemoEvent[]
  /** The last thing a key could not do; null if there is none. */
  readonly trouble: string | null
}

const KEYS: readonly (readonly [string, string])[] = [
  ['k', 'kill leader'],
  ['1-9', 'kill/start node'],
  ['c', 'cut off'],
  ['h', 'heal'],
  ['a', 'add node'],
  ['t', 'transfer'],
  ['q', 'quit'],
]

/** All lines of the picture, at most `height` of them, none wider than `width`. */
export function demoLines(view: DemoView, paint: Paint, width: number, height: number): string[] {
  const head = [...headLines(view, paint), '', ...clusterLines(view.nodes, paint)]
  const middle = ['', ...loadLines(view, paint), '']
  const keys = ['', KEYS.map(([key, does]) => `${paint('bold', key)} ${does}`).join('   ')]
  const room = height - head.length - middle.length - keys.length - 1
  const events = view.events.slice(-Math.max(0, room)).map((event) => eventLine(view, event, paint))
  const title = paint('dim', 'events')
  return [...head, ...middle, title, ...events, ...keys].map((line) => clip(line, width))
}

/** What runs, where, and how to get at it. */
export function headLines(view: DemoView, paint: Paint): string[] {
  const url = view.nodes.find(({ status }) => status !== null)?.url ?? view.nodes[0]?.url ?? ''
  const groups = new Set(view.nodes.map(({ group }) => group)).size
  const leaders = groups > 1 ? counted(groups, 'leader') : 'one leader'
  const what = `${counted(view.nodes.length, 'node')}, ${leaders}, ${count(view.rows)} cities`
  return [
    `${paint('bold', 'Quorate demo')}: ${what}   ${paint('dim', clock(view.now - view.startedAt))}`,
    `connect  npx quorate sql --url ${url} "select count(*) from visit"`,
    `files    ${view.dir}${view.removed ? paint('dim', ' (removed at the end)') : ''}`,
  ]
}

function loadLines(view: DemoView, paint: Paint): string[] {
  const { load } = view
  const bad = (value: number): string => (value === 0 ? '0' : paint('yellow', count(value)))
  const rates = [
    `writes ${count(load.writesPerSecond)}/s`.padEnd(16),
    `reads ${count(load.readsPerSecond)}/s`.padEnd(16),
    `p50 ${milliseconds(load.p50Ms)}`.padEnd(16),
    `p99 ${milliseconds(load.p99Ms)}`,
  ]
  const sums = [
    `acknowledged ${count(load.acknowledged)}`,
    `unknown ${bad(load.unknown)}`,
    `refused ${bad(load.refused)}`,
    `stale reads ${bad(load.staleReads)}`,
    view.failoverMs === null ? '' : `last failover ${milliseconds(view.failoverMs)}`,
  ]
  const lines = [rates.join(''), sums.filter((text) => text !== '').join('   ')]
  if (view.trouble !== null) lines.push(paint('red', view.trouble))
  return lines
}

function eventLine(view: DemoView, event: DemoEvent, paint: Paint): string {
  const at = clock(Math.max(0, event.at - view.startedAt))
  const own = event.source === 'demo'
  const text = own ? paint('cyan', event.text) : event.text
  const styled =
    event.level === 'error'
      ? paint('red', text)
      : event.level === 'warn'
        ? paint('yellow', text)
        : text
  return `${paint('dim', at)}  ${(own ? '' : event.source).padEnd(2)} ${styled}`
}

/** One line for logs, where no picture can be drawn. */
export function plainLine(view: DemoView): string {
  const leader = view.nodes.find(({ status }) => status?.role === 'leader')
  const committed = committedOf(view.nodes)
  const states = view.nodes.map(({ name, status, note }) => {
    if (note !== null) return `${name} ${note}`
    return status === null
      ? `${name} no answer`
      : `${name} -${count(Math.max(0, committed - status.log.applied))}`
  })
  const memory = view.nodes.reduce((sum, { status }) => sum + (status?.memoryBytes ?? 0), 0)
  return [
    clock(view.now - view.startedAt),
    leader === undefined ? 'no leader' : `leader ${leader.name} term ${leader.status?.term}`,
    `position ${count(committed)}`,
    states.join(', '),
    `${count(view.load.writesPerSecond)} writes/s`,
    `${count(view.load.readsPerSecond)} reads/s`,
    `p99 ${milliseconds(view.load.p99Ms)}`,
    bytes(memory),
  ].join('  ')
}
