/**
 * Prometheus metrics: what NodeStatus knows, read when somebody scrapes, and the time of requests
 * by kind and level. Names start with quorate_; units are seconds and bytes.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { LIMITS } from '../base/limits.ts'
import type { AckLevel, NodeReply, NodeRequest, ReadLevel } from '../model/request.ts'
import type { NodeStatus, OriginsStatus } from '../model/status.ts'

const SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5]

interface SeriesOf<Status> {
  readonly help: string
  readonly of: (status: Status) => number
}

type Series = SeriesOf<NodeStatus>

const GAUGES: Readonly<Record<string, Series>> = {
  ready: { help: '1 if the node can serve its default levels.', of: (s) => Number(s.ready) },
  leader: { help: '1 if the node leads.', of: (s) => Number(s.role === 'leader') },
  term: { help: 'Raft term.', of: (s) => s.term },
  log_first: { help: 'First log entry that is kept.', of: (s) => s.log.first },
  log_last: { help: 'Last log entry.', of: (s) => s.log.last },
  log_durable: { help: 'Last entry flushed to disk.', of: (s) => s.log.durable },
  log_committed: { help: 'Last entry known to be committed.', of: (s) => s.log.committed },
  log_applied: { help: 'Last entry applied to the database.', of: (s) => s.log.applied },
  members: { help: 'Members of the group.', of: (s) => s.members.length },
  members_connected: {
    help: 'Members with a link to this node, itself included.',
    of: (s) => s.members.filter((member) => member.connected).length,
  },
  alarms: { help: 'Things that need a person.', of: (s) => s.alarms.length },
  lost_files: { help: 'Tails taken back and kept.', of: (s) => s.lostFiles },
  memory_bytes: { help: 'Resident memory of the process.', of: (s) => s.memoryBytes },
  database_bytes: { help: 'Size of the database file.', of: (s) => s.databaseBytes },
  wal_bytes: { help: 'Size of the write-ahead log file.', of: (s) => s.walBytes },
  uptime_seconds: { help: 'Time since the node started.', of: (s) => s.uptimeMs / 1000 },
}

/** Only with several groups; those that a follower can't know are NaN there. */
const GROUP_GAUGES: Readonly<Record<string, SeriesOf<OriginsStatus>>> = {
  groups: { help: 'Groups that write.', of: (o) => writing(o).length },
  groups_linked: {
    help: 'Groups with a link to their leader, the own one included; only at a leader.',
    of: (o) => writing(o).reduce((sum, { linked }) => sum + Number(linked ?? Number.NaN), 0),
  },
  groups_behind: {
    help: 'Entries that some group holds and this node has not applied; only at a leader.',
    of: (o) => o.groups.reduce((sum, { behind }) => sum + (behind ?? Number.NaN), 0),
  },
  writes_held: {
    help: '1 while nobody may write because the schema or a rule is about to change.',
    of: (o) => Number(o.held),
  },
  stable_lag_seconds: {
    help: 'How far behind the clock the order of writes is final; only at a leader.',
    of: (o) => (o.stableLagMs ?? Number.NaN) / 1000,
  },
}

function writing({ groups }: OriginsStatus): OriginsStatus['groups'] {
  return groups.filter(({ standing }) => standing === 'writes')
}

const COUNTERS: Readonly<Record<string, Series>> = {
  writes_total: { help: 'Writes answered.', of: (s) => s.counters.writes },
  reads_total: { help: 'Reads answered.', of: (s) => s.counters.reads },
  batches_total: { help: 'Batches of writes run.', of: (s) => s.counters.batches },
  elections_total: { help: 'Elections seen.', of: (s) => s.counters.elections },
  snapshots_sent_total: { help: 'Snapshots sent.', of: (s) => s.counters.snapshotsSent },
  snapshots_installed_total: {
    help: 'Snapshots installed.',
    of: (s) => s.counters.snapshotsInstalled,
  },
  taken_back_total: { help: 'Transactions taken back.', of: (s) => s.counters.takenBack },
}

export interface Metrics {
  /** Runs a request and notes how long it took. */
  measure(request: NodeRequest): Promise<NodeReply>
  /** The text that Prometheus scrapes. */
  text(): Promise<string>
  readonly contentType: string
}

/**
 * @param status read once for each scrape
 * @param more another registry whose metrics are shown too
 */
export function createMetrics(
  ask: (request: NodeRequest) => Promise<NodeReply>,
  status: () => NodeStatus,
  more: Registry | undefined,
): Metrics {
  const registry = new Registry()
  const scraped = addStatus(registry)
  const observe = addTimes(registry)
  return {
    measure: async (request) => {
      const started = performance.now()
      const reply = await ask(request)
      observe(request, reply, (performance.now() - started) / 1000)
      return reply
    },
    text: async () => {
      scraped(status())
      const texts = await Promise.all([registry.metrics(), more?.metrics() ?? ''])
      return texts.join('')
    },
    contentType: registry.contentType,
  }
}

function addStatus(registry: Registry): (status: NodeStatus) => void {
  const registers = [registry]
  const gauges = Object.entries(GAUGES).map(([name, { help, of }]) => {
    const gauge = new Gauge({ name: `quorate_${name}`, help, registers })
    return (status: NodeStatus) => gauge.set(of(status))
  })
  const counters = Object.entries(COUNTERS).map(([name, { help, of }]) => {
    const counter = new Counter({ name: `quorate_${name}`, help, registers })
    return (status: NodeStatus) => {
      counter.reset()
      counter.inc(of(status))
    }
  })
  const ofGroups = addGroups(registry)
  return (status) => {
    for (const set of [...gauges, ...counters]) set(status)
    if (status.origins !== null) ofGroups(status.origins)
  }
}

/** Made when they are first needed: a cluster with one leader shows none of them. */
function addGroups(registry: Registry): (status: OriginsStatus) => void {
  const gauges = new Map<string, Gauge>()
  return (status) => {
    for (const [name, { help, of }] of Object.entries(GROUP_GAUGES)) {
      const gauge =
        gauges.get(name) ?? new Gauge({ name: `quorate_${name}`, help, registers: [registry] })
      gauges.set(name, gauge)
      gauge.set(of(status))
    }
  }
}

function addTimes(registry: Registry) {
  const histogram = new Histogram({
    name: 'quorate_request_seconds',
    help: 'Time from a request to its answer.',
    labelNames: ['kind', 'level', 'outcome'],
    buckets: SECONDS,
    registers: [registry],
  })
  // Looking labels up costs more than observing, so each combination is looked up once.
  const children = new Map<string, { observe(seconds: number): void }>()
  return (request: NodeRequest, reply: NodeReply, seconds: number): void => {
    const { kind } = request
    const level = levelOf(request)
    const outcome = reply.kind === 'error' ? reply.error.code : 'ok'
    const key = `${kind} ${level} ${outcome}`
    let child = children.get(key)
    if (child === undefined) {
      child = histogram.labels({ kind, level, outcome })
      children.set(key, child)
    }
    child.observe(seconds)
  }
}

function levelOf(request: NodeRequest): string {
  if (request.kind === 'read' || request.kind === 'cursor') return labelOf(request.level)
  if (request.kind === 'fetch' || request.kind === 'closeCursor') return 'local'
  return request.kind === 'admin' ? request.command.kind : labelOf(request.ack)
}

/** Large numbers are one label: callers choose them, and each label is kept for ever. */
function labelOf(level: AckLevel | ReadLevel): string {
  return typeof level === 'number' && level > LIMITS.votersMax ? 'more' : String(level)
}
