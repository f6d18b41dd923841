/**
 * A cluster of several groups for tests: drivers with real stores on real files, in one thread and
 * in virtual time. Nothing fails by itself, and the same test does the same each time.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { assert, present } from '../../base/assert.ts'
import { type NodeId, toLogIndex, toNodeId, toTerm } from '../../base/brand.ts'
import { prngFromSeed } from '../../base/prng.ts'
import type { HardState } from '../../core/order/leader/types.ts'
import { entryChecksum } from '../../model/entry-codec.ts'
import type { Members } from '../../model/members.ts'
import type { PeerMessage } from '../../model/message.ts'
import type { Cluster } from '../../model/origin-entry.ts'
import type { Program, Value } from '../../model/program.ts'
import type {
  AckLevel,
  GroupAdmission,
  NodeReply,
  NodeRequest,
  ReadLevel,
  SessionToken,
} from '../../model/request.ts'
import { decodeMessage, encodeMessage } from '../../model/wire.ts'
import { FlushTracker } from '../../store/flush.ts'
import { Reader } from '../../store/read/reader.ts'
import { Store } from '../../store/store.ts'
import { NodeDriver, type NodeDriverOptions } from '../driver.ts'
import type { NodeEvent, Ports } from '../ports.ts'

const TICK_MS = 20
const LINK_MS = 1
const STORE_MS = 0.2
const FLUSH_MS = 0.5
const EPOCH_MS = 1_767_225_600_000
const CHECKSUMS = { crc32, entry: entryChecksum }

interface Cleanup {
  after(run: () => void): void
}

interface Event {
  readonly at: number
  readonly number: number
  readonly run: () => void
}

export interface TestNode {
  readonly id: NodeId
  readonly group: string
  readonly path: string
  readonly events: NodeEvent[]
  /** Beside the world's, ms. */
  skewMs: number
  hard: HardState
  running: { readonly driver: NodeDriver; readonly store: Store; readonly reader: Reader } | null
}

export interface WorldOptions {
  /** Name of a group to its number of nodes; the first is the keeper. */
  readonly groups: Readonly<Record<string, number>>
  /** Of groups, by their names. */
  readonly zones?: Readonly<Record<string, string>>
  readonly tables?: string
  readonly driver?: Partial<NodeDriverOptions>
  /** One leader, no origins: the first group only. */
  readonly isSingle?: boolean
}

export class GroupWorld {
  readonly nodes = new Map<string, TestNode>()
  readonly #options: WorldOptions
  readonly #folder: string
  readonly #cuts = new Set<string>()
  #events: Event[] = []
  #count = 0
  now = 0

  constructor(t: Cleanup, options: WorldOptions) {
    this.#options = options
    const folder = mkdtempSync(join(tmpdir(), 'quorate-groups-'))
    this.#folder = folder
    t.after(() => {
      for (const node of this.nodes.values()) this.crash(node.id)
      rmSync(folder, { recursive: true })
    })
    for (const [group, count] of Object.entries(options.groups)) this.#found(folder, group, count)
    for (const name of this.nodes.keys()) this.start(name)
  }

  #found(folder: string, group: string, count: number): void {
    const ids = Array.from({ length: count }, (_, i) => toNodeId(`${group}${i + 1}`))
    const origin = this.#options.isSingle ? null : { self: group, cluster: this.#cluster() }
    for (const id of ids) {
      const path = join(folder, `${id}.db`)
      const db = new DatabaseSync(path)
      db.exec(this.#options.tables ?? 'create table kv (id integer primary key, value, n integer)')
      db.close()
      this.#make(path, group, id, ids, origin)
    }
  }

  #make(
    path: string,
    group: string,
    id: NodeId,
    ids: readonly NodeId[],
    origin: { readonly self: string; readonly cluster: Cluster | null } | null,
  ): void {
    const members: Members = {
      cluster: 'c',
      members: ids.map((each) => ({
        ...{ id: each, name: each, url: `http://${each}`, role: 'voter', wants: 'voter' },
        priority: 1,
      })),
    }
    const store = Store.open(path)
    const reply = store.run({
      kind: 'found',
      ticket: 0,
      identity: { cluster: 'c', node: id },
      base: { term: toTerm(1), index: toLogIndex(1) },
      members,
      ...(origin === null ? {} : { origin }),
    })
    assert(reply.kind === 'done', () => `not founded: ${JSON.stringify(reply)}`)
    store.close()
    const hard = { term: toTerm(1), vote: null }
    this.nodes.set(id, { id, group, path, events: [], skewMs: 0, hard, running: null })
  }

  /** A new group of one node, which begins with a copy of another node's file. */
  join(group: string, via: string): void {
    const id = toNodeId(`${group}1`)
    const command = { kind: 'joinGroup', group, node: id } as const
    const reply = this.ask(via, { kind: 'admin', command, timeoutMs: 5_000 })
    assert(reply.kind === 'admin', () => `not let in: ${JSON.stringify(reply)}`)
    const { origin } = reply.value as GroupAdmission
    const path = join(this.#folder, `${id}-${this.#count}.db`)
    const db = new DatabaseSync(this.node(via).path, { readOnly: true })
    db.exec(`vacuum into '${path}'`)
    db.close()
    this.#make(path, group, id, [id], { self: origin, cluster: null })
    this.start(id)
  }

  #cluster(): Cluster {
    const names = Object.keys(this.#options.groups)
    const { zones = {} } = this.#options
    const origins = names.map((name, slot) => {
      const zone = zones[name]
      return {
        ...{ origin: name, name, founder: `${name}1`, slot },
        ...(zone === undefined ? {} : { zone }),
        standing: { kind: 'writes', since: 1 } as const,
      }
    })
    const keeper = names[0] ?? ''
    return { strategy: 'multi-leader', epoch: 1, keeper, origins, floor: new Map() }
  }

  // Nodes

  node(name: string): TestNode {
    return present(this.nodes.get(name), () => `node ${name}`)
  }

  driver(name: string): NodeDriver {
    return present(this.node(name).running, () => `${name} is down`).driver
  }

  get up(): readonly TestNode[] {
    return [...this.nodes.values()].filter(({ running }) => running !== null)
  }

  start(name: string, options: Partial<NodeDriverOptions> = {}): void {
    const node = this.node(name)
    const store = Store.open(node.path)
    const reader = new Reader(node.path)
    this.#count += 1
    const driver = new NodeDriver(
      {
        self: node.id,
        name,
        cluster: 'c',
        transactionIdleMs: 5_000,
        retainEntries: 10_000,
        retainBytes: 64 * 1024 * 1024,
        heartbeatTicks: 2,
        electionTicks: 10,
        session: `${name}:${this.#count}`,
        ...this.#options.driver,
        ...options,
      },
      this.#ports(node, store, reader),
      prngFromSeed(this.#count * 7919),
      node.hard,
      store.state(),
    )
    node.running = { driver, store, reader }
    this.#tick(node, driver)
    for (const { id } of this.up) if (id !== node.id) this.#link(node.id, id, true)
  }

  crash(name: string): void {
    const node = this.node(name)
    if (node.running === null) return
    const { store, reader } = node.running
    node.running = null
    reader.close()
    store.close()
    for (const { id } of this.up) this.#at(1, () => this.#tell(id, node.id, false))
  }

  /** The node that leads a group now. */
  leader(group: string): string {
    const found = this.up.filter((node) => {
      const { order } = this.driver(node.id)
      return node.group === group && order.role === 'leader'
    })
    const best = found.sort((a, b) => this.driver(b.id).order.term - this.driver(a.id).order.term)
    return present(best[0], () => `leader of ${group}`).id
  }

  /** Cuts or mends all links between two groups, or between two nodes. */
  cut(a: string, b: string, cut = true): void {
    for (const one of this.nodes.values()) {
      for (const other of this.nodes.values()) {
        if (![one.id, one.group].some((name) => name === a)) continue
        if (![other.id, other.group].some((name) => name === b)) continue
        if (cut) this.#cuts.add(pair(one.id, other.id))
        else this.#cuts.delete(pair(one.id, other.id))
        this.#link(one.id, other.id, !cut)
      }
    }
  }

  #link(a: NodeId, b: NodeId, up: boolean): void {
    this.#at(LINK_MS, () => {
      const isUp = up && !this.#cuts.has(pair(a, b))
      if (this.node(a).running === null || this.node(b).running === null) return
      this.#tell(a, b, isUp)
      this.#tell(b, a, isUp)
    })
  }

  #tell(to: NodeId, peer: NodeId, up: boolean): void {
    this.node(to).running?.driver.link(peer, up)
  }

  // Time

  #at(ms: number, run: () => void): void {
    this.#count += 1
    this.#events.push({ at: this.now + ms, number: this.#count, run })
  }

  #tick(node: TestNode, driver: NodeDriver): void {
    this.#at(TICK_MS, () => {
      if (node.running?.driver !== driver) return
      driver.tick()
      this.#tick(node, driver)
    })
  }

  /** Lets time pass until something is so; fails if it is not in so many ms. */
  until(what: string, isSo: () => boolean, ms = 20_000): void {
    const end = this.now + ms
    while (!isSo()) {
      assert(this.now < end, () => `not in ${ms} ms: ${what}`)
      this.#step()
    }
  }

  run(ms: number): void {
    const end = this.now + ms
    while (this.now < end) this.#step()
  }

  #step(): void {
    let first = 0
    for (let at = 1; at < this.#events.length; at += 1) {
      const [one, best] = [this.#events[at], this.#events[first]]
      if (one === undefined || best === undefined) continue
      if (one.at < best.at || (one.at === best.at && one.number < best.number)) first = at
    }
    const [event] = this.#events.splice(first, 1)
    const { at, run } = present(event, () => 'something to happen')
    this.now = at
    run()
  }

  // Requests

  /** Asks a node and gives the answer when it has come. */
  ask(name: string, request: NodeRequest): NodeReply {
    const answer = this.begin(name, request)
    this.until(`an answer of ${name}`, () => answer.reply !== null, request.timeoutMs + 5_000)
    return present(answer.reply, () => 'reply')
  }

  /** Asks without waiting. */
  begin(name: string, request: NodeRequest): { reply: NodeReply | null } {
    const answer: { reply: NodeReply | null } = { reply: null }
    this.driver(name).request(request, (reply) => {
      answer.reply = reply
    })
    return answer
  }

  write(name: string, sql: string, ack: AckLevel = 'majority', timeoutMs = 5_000): NodeReply {
    return this.ask(name, { kind: 'write', program: program(sql), ack, timeoutMs })
  }

  /** Must succeed. @returns the token */
  must(name: string, sql: string, ack: AckLevel = 'majority'): SessionToken {
    const reply = this.write(name, sql, ack)
    assert(reply.kind === 'result', () => `${name}: ${sql}: ${JSON.stringify(reply)}`)
    const failed = reply.result.steps.find((step) => step !== null && 'error' in step)
    assert(failed === undefined, () => `${name}: ${sql}: ${JSON.stringify(failed)}`)
    return reply.token
  }

  read(
    name: string,
    sql: string,
    level: ReadLevel = 'local',
    token: SessionToken | null = null,
  ): readonly (readonly Value[])[] | string {
    const timeoutMs = 5_000
    const reply = this.ask(name, { kind: 'read', program: program(sql), level, token, timeoutMs })
    if (reply.kind === 'error') return reply.error.code
    assert(reply.kind === 'result', () => `${name}: ${sql}: ${reply.kind}`)
    const [step] = reply.result.steps
    if (step === undefined || step === null) return []
    return 'ok' in step ? step.ok.rows : step.error.code
  }

  /** Everybody has a leader that exchanges. */
  ready(): void {
    this.until('leaders', () => {
      return Object.keys(this.#options.groups).every((group) => {
        return this.up.some((node) => {
          const { origins, order } = this.driver(node.id)
          if (node.group !== group || order.role !== 'leader') return false
          return this.#options.isSingle ? order.mayExecute : origins?.leading != null
        })
      })
    })
  }

  // Ports

  #ports(node: TestNode, store: Store, reader: Reader): Ports {
    let cursor = 0
    const alive = (): boolean => node.running?.store === store
    const later = (ms: number, run: () => void): void => {
      this.#at(ms, () => {
        if (alive()) run()
      })
    }
    const none = (): never => {
      throw new Error('no snapshots in this world')
    }
    return {
      store: this.#storePort(store, later),
      reader: {
        reopen: () => reader.reopen(),
        read: (given, _timeoutMs, done) => {
          later(STORE_MS, () => {
            const reply = reader.read(given)
            later(STORE_MS, () => done(reply))
          })
        },
        openCursor: (begin, _timeoutMs, done) => {
          cursor += 1
          const reply = reader.open({ ...begin, cursor })
          later(STORE_MS, () => done(reply))
        },
        fetchCursor: (next, _timeoutMs, done) => later(STORE_MS, () => done(reader.fetch(next))),
        closeCursor: (which) => reader.closeCursor(which),
        verify: none,
      },
      snapshots: {
        create: none,
        readChunk: none,
        release: none,
        resumeAt: none,
        writeChunk: none,
        finish: none,
      },
      transport: {
        setPeers: () => {},
        send: (to, message) => this.#send(node.id, to, message),
      },
      clock: {
        now: () => Math.floor(EPOCH_MS + this.now + node.skewMs),
        monotonic: () => this.now,
        after: (ms, callback) => later(ms, callback),
      },
      saveHardState: (state) => {
        node.hard = state
      },
      events: {
        emit: (event) => {
          node.events.push(event)
          assert(event.name !== 'node.halted', () => `${node.id}: ${JSON.stringify(event.facts)}`)
        },
      },
    }
  }

  #storePort(store: Store, later: (ms: number, run: () => void) => void): Ports['store'] {
    const tracker = new FlushTracker()
    let listener: (ticket: number) => void = () => {}
    const flush = (): void => {
      if (!tracker.begin()) return
      later(FLUSH_MS, () => {
        const ticket = tracker.end()
        listener(ticket)
        flush()
      })
    }
    let freeAt = 0
    return {
      onFlushed: (told) => {
        listener = told
      },
      submit: (command, done) => {
        // One after the other, in the order given.
        freeAt = Math.max(freeAt, this.now) + STORE_MS
        later(freeAt - this.now, () => {
          const reply = store.run(command)
          if ('ticket' in command) tracker.wrote(command.ticket)
          flush()
          later(STORE_MS / 2, () => done(reply))
        })
      },
    }
  }

  #send(from: NodeId, to: NodeId, message: PeerMessage): void {
    if (this.#cuts.has(pair(from, to))) return
    const bytes = encodeMessage(message)
    this.#at(LINK_MS, () => {
      const { running } = this.node(to)
      if (running === null || this.#cuts.has(pair(from, to))) return
      running.driver.receive(from, decodeMessage(bytes, CHECKSUMS))
    })
  }
}

/** `ok`, or the code of the reply's error or of the first one among its steps; of others the kind. */
export function codeOf(reply: NodeReply): string {
  if (reply.kind === 'error') return reply.error.code
  if (reply.kind !== 'result') return reply.kind
  const failed = reply.result.steps.find((step) => step !== null && 'error' in step)
  return failed !== undefined && failed !== null && 'error' in failed ? failed.error.code : 'ok'
}

export function program(...sqls: readonly string[]): Program {
  return { atomic: false, steps: sqls.map((sql) => ({ statement: { sql, wantRows: true } })) }
}

function pair(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}
