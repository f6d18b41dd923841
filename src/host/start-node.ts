/**
 * Puts a node together: the driver with its threads, sockets and disks, and the server in front of
 * it. What decides is elsewhere; this is the wiring, and the order of starting and stopping.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { present } from '../base/assert.ts'
import { type NodeId, toTerm } from '../base/brand.ts'
import { type ErrorData, QuorateError } from '../base/errors.ts'
import { prngFromSeed } from '../base/prng.ts'
import { RELEASE } from '../base/release.ts'
import { entryChecksum } from '../model/entry-codec.ts'
import type { Strategy } from '../model/origin-entry.ts'
import type { NodeReply, NodeRequest } from '../model/request.ts'
import type { NodeStatus } from '../model/status.ts'
import { PEER_PATH, PeerTransport } from '../net/peer-transport.ts'
import { NodeDriver } from '../node/driver.ts'
import { type DefaultLevels, levelsOf, type NodeOptions } from '../node/options.ts'
import type { NodeEvent } from '../node/ports.ts'
import { statusOf } from '../node/status.ts'
import { createHttpServer, type HttpServer } from '../server/http-server.ts'
import { loadJwtKeys } from '../server/jwt-keys.ts'
import { type FileLock, lockFolder } from '../store/files/file-lock.ts'
import {
  drawNodeId,
  loadHardState,
  loadIdentity,
  openFolder,
  saveHardState,
} from '../store/files/hard-state.ts'
import { type OpenMaintenance, openMaintenance } from '../store/files/maintenance-port.ts'
import { resumeInstall } from '../store/files/snapshot-install.ts'
import { type OpenReaders, openReaders } from '../store/read/reader-port.ts'
import { assertAdoptable } from '../store/schema/adoption.ts'
import type { OpenStore } from '../store/store-port.ts'
import type { StoreState } from '../store/types.ts'
import { belong } from './belonging.ts'
import { Promises } from './founding.ts'
import { NodeFace } from './node-face.ts'
import { openStore } from './open-store.ts'

/** Length of a tick: elections and heartbeats are counted in them. */
const TICK_MS = 20
/** A node that stops as leader waits this long for another to take over. */
const HANDOVER_MS = 2_000
/** One attempt to tell the group of a new URL. */
const URL_UPDATE_MS = 10_000

/** A node at work. */
export interface RunningNode {
  /** Where others reach it. */
  readonly url: string
  readonly id: NodeId
  /** Of calls that name none. */
  readonly levels: DefaultLevels
  request(request: NodeRequest, done: (reply: NodeReply) => void): void
  /** Whatever `work` requests is taken in together, which costs less than one by one. */
  together(work: () => void): void
  status(): NodeStatus
  /** @returns a function that ends the subscription */
  onEvent(listener: (event: NodeEvent) => void): () => void
  /** Tells how far the database has come, now and whenever it moves. */
  watch(listener: (index: number) => void): () => void
  /** Resolves with the reason when the node can't go on by itself. */
  readonly failed: Promise<ErrorData>
  /**
   * Threads in the middle of a statement, which nothing can interrupt. Neither process.exit nor the
   * end of the thread that the node is in comes to pass before they are through.
   */
  readonly running: number
  /** Hands leadership over, answers what is under way, closes everything. */
  stop(): Promise<void>
}

/**
 * Starts a node and resolves when it belongs to a cluster and answers requests.
 *
 * @param signal aborts the wait for admission
 * @param listener is told what happens from the beginning
 * @throws QuorateError NOT_ADOPTABLE, FILE_IN_USE, FILE_IS_COPY, NAME_IN_USE, WRONG_CLUSTER,
 *   BAD_CONFIG, LOG_CORRUPT
 */
export async function startNode(
  options: NodeOptions,
  signal: AbortSignal = new AbortController().signal,
  listener: (event: NodeEvent) => void = () => {},
): Promise<RunningNode> {
  const node = new Host(options)
  node.onEvent(listener)
  try {
    await node.start(signal)
  } catch (error) {
    await node.close()
    throw error
  }
  return node
}

class Host implements RunningNode {
  readonly #options: NodeOptions
  readonly #folder: string
  readonly #lock: FileLock
  readonly #promises: Promises
  readonly #face: NodeFace
  readonly #server: HttpServer
  readonly #prng = prngFromSeed(randomInt(2 ** 32))
  readonly #failed = Promise.withResolvers<ErrorData>()
  #strategy: Strategy = 'leader'
  #id: NodeId
  #url = ''
  #store: OpenStore | null = null
  #readers: OpenReaders | null = null
  #maintenance: OpenMaintenance | null = null
  #transport: PeerTransport | null = null
  #driver: NodeDriver | null = null
  #timer: NodeJS.Timeout | null = null
  #closed = false
  readonly failed = this.#failed.promise

  constructor(options: NodeOptions) {
    this.#options = options
    if (!existsSync(dirname(resolve(options.file)))) {
      throw new QuorateError('BAD_CONFIG', `file: the folder of ${options.file} does not exist.`)
    }
    if (!existsSync(`${options.file}-quorate/identity.json`)) {
      const joins = options.join.length > 0 && options.expect === null
      assertAdoptable(options.file, joins, (options.strategy ?? 'leader') !== 'leader')
    }
    this.#folder = openFolder(options.file)
    this.#lock = lockFolder(this.#folder)
    resumeInstall(options.file)
    this.#id = loadIdentity(this.#folder)?.id ?? drawNodeId(options.name)
    this.#promises = new Promises(this.#folder)
    this.#face = new NodeFace({
      file: options.file,
      allowFaults: options.allowFaults,
      request: (request, done) => this.request(request, done),
      status: () => this.status(),
      position: () => this.#position(),
      meet: (promise) => this.#meet(promise),
      snapshots: () => present(this.#maintenance, () => 'maintenance').snapshots,
      cut: (names) => this.#transport?.setCut(names),
    })
    this.#server = createHttpServer({
      service: this.#face,
      token: options.token,
      jwtKeys: options.authJwtKey === null ? [] : loadJwtKeys(options.authJwtKey),
      levels: () => this.levels,
      upgrades: {
        [PEER_PATH]: (request, socket, head) => {
          if (this.#transport === null) socket.destroy()
          else this.#transport.accept(request, socket, head)
        },
      },
      onError: (error) => this.#emit('server.error', 'error', { detail: String(error) }),
    })
  }

  get id(): NodeId {
    return this.#id
  }

  get url(): string {
    return this.#url
  }

  get levels(): DefaultLevels {
    // A restarted joiner knows it only from the first snapshot.
    const strategy = this.#driver?.origins?.state.cluster.strategy ?? this.#strategy
    return levelsOf(strategy, this.#options)
  }

  get running(): number {
    return this.#readers?.running ?? 0
  }

  async start(signal: AbortSignal): Promise<void> {
    const { file } = this.#options
    await this.#listen()
    const state = await this.#belong(signal)
    const store = present(this.#store, () => 'store')
    this.#readers = await openReaders({ path: file })
    this.#maintenance = await openMaintenance({
      path: file,
      folder: this.#folder,
      finishCheckpoint: (done) => store.checkpoint(done),
      onProblem: ({ code, detail }) => this.#emit('maintenance.failed', 'error', { code, detail }),
    })
    this.#run(state)
    void this.#updateUrl(signal)
  }

  request(request: NodeRequest, done: (reply: NodeReply) => void): void {
    const driver = this.#driver
    if (driver !== null) {
      driver.request(request, done)
      return
    }
    const detail = `${this.#options.name} does not belong to a cluster yet.`
    done({ kind: 'error', error: { code: 'NOT_READY', detail } })
  }

  together(work: () => void): void {
    if (this.#driver === null) work()
    else this.#driver.together(work)
  }

  status(): NodeStatus {
    const { file, name } = this.#options
    const identity = { name, id: this.#id, url: this.#url, release: RELEASE }
    return statusOf(this.#driver, identity, {
      lostFiles: this.#face.lostCount,
      foreignWrites: this.#store?.foreignWrites ?? 0,
      memoryBytes: process.memoryUsage.rss(),
      databaseBytes: sizeOf(file),
      walBytes: sizeOf(`${file}-wal`),
      uptimeMs: Math.round(process.uptime() * 1000),
    })
  }

  onEvent(listener: (event: NodeEvent) => void): () => void {
    return this.#face.events(listener)
  }

  watch(listener: (index: number) => void): () => void {
    return this.#face.watch(listener)
  }

  async stop(): Promise<void> {
    await this.#handOver()
    await this.close()
  }

  /** Closes whatever is open, in the reverse order of opening. */
  async close(): Promise<void> {
    this.#closed = true
    this.#driver?.halt()
    clearInterval(this.#timer ?? undefined)
    // The server waits for its connections to end, and peers' are among them.
    const served = this.#server.close()
    this.#transport?.close()
    await served
    await this.#readers?.close()
    await this.#maintenance?.close()
    await this.#store?.close()
    this.#maintenance?.letGo()
    this.#lock.release()
  }

  // Starting

  async #listen(): Promise<void> {
    const { listen, advertise } = this.#options
    const at = listen.lastIndexOf(':')
    const host = listen.slice(0, at)
    const port = await this.#server.listen(
      host.replace(/^\[|\]$/g, ''),
      Number(listen.slice(at + 1)),
    )
    this.#url = advertise ?? `http://${host}:${port}`
  }

  /** Opens the file, as a member of a cluster. */
  async #belong(signal: AbortSignal): Promise<StoreState> {
    const { id, state, strategy } = await belong({
      options: this.#options,
      folder: this.#folder,
      id: this.#id,
      url: this.#url,
      promises: this.#promises,
      files: { open: () => this.#openStore(), shut: () => this.#shutStore() },
      tell: (reason) => this.#emit('join.waiting', 'warn', { reason }),
      signal,
    })
    this.#id = id
    this.#strategy = strategy
    this.#compareZone(state)
    return state
  }

  /** What the groups agreed on counts; whoever believes in the option should know. */
  #compareZone({ origins }: StoreState): void {
    const { zone: told } = this.#options
    const own = origins?.cluster.origins.find(({ origin }) => origin === origins.self)
    if (told === null || own === undefined || own.zone === told) return
    this.#emit('zone.differs', 'warn', { told, group: own.name, zone: own.zone ?? '' })
  }

  async #openStore(): Promise<OpenStore> {
    const store = await openStore(this.#options.file, this.#options)
    store.onFatal((error) => this.#fail(error))
    this.#store = store
    return store
  }

  async #shutStore(): Promise<void> {
    const store = this.#store
    this.#store = null
    await store?.close()
  }

  /** A node that moved tells the others where it is now. */
  async #updateUrl(signal: AbortSignal): Promise<void> {
    const { name, role, priority } = this.#options
    const command = { kind: 'join', id: this.#id, name, url: this.#url, role, priority } as const
    while (!signal.aborted && !this.#closed && this.#driver !== null) {
      const known = this.#driver.order.members.members.find(({ id }) => id === this.#id)
      if (known === undefined || (known.url === this.#url && known.priority === priority)) return
      const reply = await this.#face.request({ kind: 'admin', command, timeoutMs: URL_UPDATE_MS })
      if (reply.kind !== 'error') return
      this.#emit('members.urlNotUpdated', 'warn', { code: reply.error.code, url: this.#url })
      await sleep(URL_UPDATE_MS / 10)
    }
  }

  #run(state: StoreState): void {
    const { name, token, electionTimeoutMs, heartbeatMs } = this.#options
    const identity = present(state.identity, () => 'identity of the file')
    const store = present(this.#store, () => 'store')
    const transport = new PeerTransport({
      id: this.#id,
      name,
      cluster: identity.cluster,
      release: RELEASE,
      token,
      checksums: { crc32, entry: entryChecksum },
      prng: this.#prng.fork(),
      onMessage: (from, message) => this.#driver?.receive(from, message),
      onLink: (peer, up) => this.#driver?.link(peer, up),
      onEvent: (event) => this.#face.emit(event),
    })
    this.#transport = transport
    this.#driver = new NodeDriver(
      {
        self: this.#id,
        name,
        cluster: identity.cluster,
        transactionIdleMs: this.#options.transactionIdleMs,
        retainEntries: this.#options.logRetainEntries,
        retainBytes: this.#options.logRetainBytes,
        heartbeatTicks: Math.max(1, Math.round(heartbeatMs / TICK_MS)),
        electionTicks: Math.max(3, Math.round(electionTimeoutMs / TICK_MS)),
        session: `${this.#id}/${randomBytes(6).toString('hex')}`,
        exchangeWith: this.#options.exchangeWith,
        driftMaxMs: this.#options.allowClockDrift,
      },
      {
        store: store.port,
        reader: present(this.#readers, () => 'readers').port,
        snapshots: present(this.#maintenance, () => 'maintenance').snapshots,
        transport,
        clock: {
          now: Date.now,
          monotonic: () => performance.now(),
          after: (ms, callback) => setTimeout(callback, ms),
        },
        saveHardState: (hardState) => saveHardState(this.#folder, hardState),
        events: this.#face,
      },
      this.#prng.fork(),
      loadHardState(this.#folder) ?? { term: toTerm(0), vote: null },
      state,
    )
    this.#timer = setInterval(() => {
      this.#driver?.tick()
      this.#face.tick()
    }, TICK_MS)
  }

  #position(): number | null {
    return this.#driver?.order.settled ?? null
  }

  #meet(asked: string | null): unknown {
    const cluster = loadIdentity(this.#folder)?.cluster ?? null
    const free = cluster === null && this.#options.join.length > 0
    const promised = asked !== null && free ? this.#promises.make(asked) : this.#promises.to
    const strategy = this.#driver === null ? null : this.#strategy
    return { id: this.#id, url: this.#url, cluster, strategy, promised }
  }

  // Stopping

  async #handOver(): Promise<void> {
    const driver = this.#driver
    if (driver === null || driver.order.role !== 'leader') return
    const ended = Promise.withResolvers<void>()
    const unsubscribe = this.#face.events((event) => {
      if (event.name === 'leader.lost') ended.resolve()
    })
    const alone =
      driver.order.members.members.filter((member) => member.role === 'voter').length < 2
    driver.stop()
    const timer = setTimeout(ended.resolve, alone ? 0 : HANDOVER_MS)
    await ended.promise
    clearTimeout(timer)
    unsubscribe()
  }

  #fail(error: ErrorData): void {
    this.#driver?.halt()
    this.#emit('node.failed', 'error', { code: error.code, detail: error.detail })
    this.#failed.resolve(error)
  }

  #emit(name: string, level: NodeEvent['level'], facts: NodeEvent['facts']): void {
    this.#face.emit({ name, level, facts })
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
