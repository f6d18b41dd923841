/**
 * A node of a simulated world: the production driver, order, store and reader on a real file, with
 * virtual ports around them. It can crash at any step and start again from what its disk kept.
 */
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { NodeId } from '../base/brand.ts'
import { toLogIndex, toTerm } from '../base/brand.ts'
import type { Prng } from '../base/prng.ts'
import type { HardState, LogState } from '../core/order/leader/types.ts'
import type { Entry } from '../model/entry.ts'
import type { NodeReply, NodeRequest } from '../model/request.ts'
import type { CreateOrder, NodeDriverOptions } from '../node/driver.ts'
import { NodeDriver } from '../node/driver.ts'
import type { Ports, StorePort } from '../node/ports.ts'
import type { OpenOptions } from '../store/connections.ts'
import { Reader } from '../store/read/reader.ts'
import { Store } from '../store/store.ts'
import type { StoreCommand, StoreReply } from '../store/types.ts'
import type { View } from './checkers.ts'
import { ContentReader } from './content.ts'
import { checkpointFile, copyDatabase, verifyFile } from './database-file.ts'
import { SimDisk } from './disk.ts'
import { NodeLedger } from './ledger.ts'
import type { SimNetwork } from './network.ts'
import type { Profile } from './profile.ts'
import { SimReaderPort } from './reader-port.ts'
import type { Schedule } from './schedule.ts'
import { Lifetime } from './schedule.ts'
import { SimSnapshotPort } from './snapshot-port.ts'
import type { RunsCommands } from './store-port.ts'
import { SimStorePort } from './store-port.ts'

/** What a test may replace in a node, to plant a fault in it. */
export interface Parts {
  readonly createOrder?: CreateOrder
  readonly wrapStore?: (store: RunsCommands) => RunsCommands
  /** What is left of the hard state after a crash. */
  readonly forget?: (state: HardState) => HardState
  readonly wrapStorePort?: (port: StorePort) => StorePort
  /** What the store of the node of this name is opened with. */
  readonly openOptions?: (name: string) => OpenOptions
  readonly driver?: Partial<NodeDriverOptions>
  /** What the node makes of a client's request before it looks at it. */
  readonly wrapRequest?: (request: NodeRequest) => NodeRequest
  /** Whether a fresh node is to found a group, as it sees it; `founder`: who the cluster says is to. */
  readonly mayFound?: (founder: string, node: string) => boolean
}

/** Told of everything that a node does, as it does it. */
export interface NodeWatch {
  ran(node: SimNode, command: StoreCommand, reply: StoreReply): void
  note(who: string, what: string): void
  /** A vote has been made durable. */
  voted(node: SimNode): void
}

export interface SimNodeOptions {
  readonly id: NodeId
  readonly name: string
  readonly cluster: string
  readonly schedule: Schedule
  readonly network: SimNetwork
  readonly prng: Prng
  readonly profile: Profile
  /** How fast its disk is now. */
  readonly speed: () => Profile['disk']
  /** How long its ticks are now, percent of what they should be. */
  readonly tickPercent: () => number
  /** Of this node alone; the database is there already. */
  readonly file: string
  readonly parts: Parts
  /** What it is told beside what all are told. */
  readonly driver: Partial<NodeDriverOptions>
  readonly watch: NodeWatch
  /** Whether what lies behind virtual tables is equal on all replicas. */
  readonly shadows: boolean
}

export const TICK_US = 50_000
const HEARTBEAT_TICKS = 2
const ELECTION_TICKS = 10
/** 2026-01-01, so that wall clocks are plausible. */
const EPOCH_MS = 1_767_225_600_000

/** What there is only while the process runs. */
interface Running {
  readonly life: Lifetime
  readonly store: Store
  readonly reader: Reader
  readonly port: SimStorePort
  driver: NodeDriver
}

export class SimNode {
  readonly id: NodeId
  readonly name: string
  readonly disk: SimDisk
  readonly content: ContentReader
  ledger: NodeLedger
  /** How far its wall clock is off. */
  clockOffsetMs: number
  /** How fast it runs. */
  clockRate: number
  readonly #options: SimNodeOptions
  readonly #prng: Prng
  #hard: HardState = { term: toTerm(0), vote: null }
  #running: Running | null = null
  #runs = 0

  constructor(options: SimNodeOptions) {
    const { id, name, file, prng, profile } = options
    this.#options = options
    this.#prng = prng.fork()
    this.id = id
    this.name = name
    mkdirSync(dirname(file), { recursive: true })
    this.disk = new SimDisk(file)
    this.content = new ContentReader(file, options.shadows)
    this.clockOffsetMs = profile.clockSkewMs === 0 ? 0 : prng.intInclusive(0, profile.clockSkewMs)
    const { clockDriftPermille: drift } = profile
    this.clockRate = drift === 0 ? 1 : 1 + prng.intInclusive(-drift, drift) / 1_000
    const store = this.#open()
    const { log } = store
    this.ledger = new NodeLedger(id, log, readLog(store, log))
    this.disk.settled()
    this.#start(store, log)
  }

  get up(): boolean {
    return this.#running !== null
  }

  get paused(): boolean {
    return this.#running?.life.paused === true
  }

  get driver(): NodeDriver | null {
    return this.#running?.driver ?? null
  }

  /** What its wall clock shows. */
  get wallMs(): number {
    const { schedule } = this.#options
    return EPOCH_MS + Math.floor((schedule.now / 1000) * this.clockRate) + this.clockOffsetMs
  }

  /** For the checkers; null while it is down. */
  get view(): View | null {
    if (this.#running === null) return null
    const { order } = this.#running.driver
    const { role, term, commit, members } = order
    const termAt = (index: number) => order.termAt(toLogIndex(index))
    return { id: this.id, role, term, commit, termAt, members, ledger: this.ledger }
  }

  request(request: NodeRequest, done: (reply: NodeReply) => void): void {
    // Not even an application in the same process gets an answer from one that is paused.
    const running = this.#running
    if (running === null) return
    const { schedule, parts } = this.#options
    const taken = parts.wrapRequest?.(request) ?? request
    schedule.after(10, running.life, () => running.driver.request(taken, done))
  }

  /** Power off: the disk keeps what it keeps, callers hear nothing. */
  crash(): void {
    const running = this.#running
    if (running === null) return
    const { network, watch } = this.#options
    const lost = this.disk.crash(this.#prng)
    watch.note(this.name, `crash, ${lost} bytes of WAL lost`)
    running.life.end()
    this.#running = null
    this.#hard = this.#options.parts.forget?.(this.#hard) ?? this.#hard
    network.detach(this.id)
    this.content.close()
    running.reader.close()
    running.store.close()
    this.disk.restore()
  }

  /** Starts the process again. Returns the ledger of before. */
  restart(): NodeLedger {
    const before = this.ledger
    const store = this.#open()
    this.disk.reopened()
    const { log } = store
    this.ledger = new NodeLedger(this.id, log, readLog(store, log))
    this.#options.watch.note(this.name, `restart at ${log.last.index} of term ${log.last.term}`)
    this.#start(store, log)
    return before
  }

  pause(): void {
    this.#running?.life.pause()
  }

  resume(): void {
    if (this.#running !== null) this.#options.schedule.resume(this.#running.life)
  }

  checkpoint(): void {
    this.#running?.port.checkpoint()
  }

  /** Ends for good, without a crash. */
  close(): void {
    this.#running?.life.end()
    this.content.close()
    this.#running?.reader.close()
    this.#running?.store.close()
    this.#running = null
  }

  #open(): Store {
    const { name, parts } = this.#options
    return Store.open(this.disk.file, parts.openOptions?.(name))
  }

  #start(store: Store, log: LogState): void {
    this.#runs += 1
    const { id, network, parts } = this.#options
    const life = new Lifetime()
    const reader = new Reader(this.disk.file)
    const port = this.#storePort(store, life)
    const ports = this.#ports({ life, reader, port: parts.wrapStorePort?.(port) ?? port })
    network.attach({
      id,
      life,
      receive: (from, message) => this.driver?.receive(from, message),
      link: (peer, up) => this.driver?.link(peer, up),
    })
    const state = { ...store.state(), log }
    const driver = new NodeDriver(
      this.#driverOptions(),
      ports,
      this.#prng.fork(),
      this.#hard,
      state,
    )
    this.#running = { life, store, reader, port, driver }
    this.#tick(life)
  }

  #tick(life: Lifetime): void {
    const { schedule, tickPercent } = this.#options
    schedule.after((TICK_US * tickPercent()) / 100, life, () => {
      this.driver?.tick()
      this.#tick(life)
    })
  }

  #driverOptions(): NodeDriverOptions {
    const { id, name, cluster, profile, parts, driver } = this.#options
    return {
      self: id,
      name,
      cluster,
      transactionIdleMs: 1_000,
      retainEntries: profile.retainEntries,
      retainBytes: 64 * 1024 * 1024,
      heartbeatTicks: HEARTBEAT_TICKS,
      electionTicks: ELECTION_TICKS,
      session: `${name}:${this.#runs}`,
      ...driver,
      ...parts.driver,
      ...(parts.createOrder === undefined ? {} : { createOrder: parts.createOrder }),
    }
  }

  #storePort(store: Store, life: Lifetime): SimStorePort {
    const { schedule, speed, watch, parts } = this.#options
    const { ledger } = this
    return new SimStorePort({
      schedule,
      life,
      prng: this.#prng.fork(),
      speed,
      store: parts.wrapStore?.(store) ?? store,
      disk: this.disk,
      checkpoint: () => checkpointFile(this.disk.file),
      watch: {
        ran: (command, reply) => {
          if (reply.kind === 'installed') {
            this.content.close()
            ledger.replaced(reply.state.log, readLog(store, reply.state.log))
          }
          watch.ran(this, command, reply)
        },
        writes: () => ledger.writes,
        flushed: (writes) => ledger.flushedThrough(writes),
      },
    })
  }

  #ports(own: {
    readonly life: Lifetime
    readonly reader: Reader
    readonly port: StorePort
  }): Ports {
    const { id, schedule, speed, network, watch } = this.#options
    const { life, reader, port } = own
    const device = { schedule, life, speed }
    return {
      store: port,
      reader: new SimReaderPort({
        ...device,
        prng: this.#prng.fork(),
        reader,
        verify: () => verifyFile(this.disk.file),
      }),
      snapshots: new SimSnapshotPort({
        ...device,
        prng: this.#prng.fork(),
        directory: join(dirname(this.disk.file), 'snapshots'),
        prefix: `${this.name}-${this.#runs}`,
        copy: (path) => copyDatabase(this.disk.file, path),
      }),
      transport: {
        setPeers: (peers) => {
          network.setPeers(
            id,
            peers.map((peer) => peer.id),
          )
        },
        send: (to, message) => network.send(id, to, message),
      },
      clock: {
        now: () => this.wallMs,
        monotonic: () => schedule.now / 1000,
        after: (ms, callback) => schedule.after(ms * 1000, life, callback),
      },
      saveHardState: (state) => {
        this.#hard = state
        if (state.vote !== null) watch.voted(this)
      },
      events: {
        emit: ({ name, facts }) => {
          const what = `${name} ${JSON.stringify(facts)}`
          watch.note(this.name, what)
          // No simulated disk breaks: whatever makes a node give up is a bug.
          if (name === 'node.halted') throw new Error(`${this.name}: ${what}`)
        },
      },
    }
  }
}

/** Everything in a log, in pieces as the store gives them. */
export function readLog(store: Store, log: LogState): readonly Entry[] {
  const entries: Entry[] = []
  const { index: base } = log.base
  while (base + entries.length < log.last.index) {
    const from = (base + entries.length + 1) as typeof base
    const command = { kind: 'read', from, to: log.last.index, bytesMax: 1_000_000 } as const
    const reply = store.run(command)
    if (reply.kind !== 'entries' || reply.entries.length === 0) {
      throw new Error(`no entry ${from} in a log from ${base} to ${log.last.index}`)
    }
    entries.push(...reply.entries)
  }
  return entries
}
