/**
 * The demo's steady load: several client sessions, each doing one thing after the other, through the
 * same client library that applications use. It keeps the ledger of what it was told.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { QuorateError } from '../../base/errors.ts'
import { type Prng, prngFromSeed } from '../../base/prng.ts'
import { type BatchItem, connect, type RemoteDb } from '../../client/index.ts'
import { nodeTransport } from '../../client/node-transport.ts'
import { Latencies } from './latencies.ts'
import type { ClientRecord } from './ledger.ts'

export interface LoadOptions {
  /** Nodes of each group: a client talks to those of one, and to others of it when one fails. */
  readonly groups: readonly (readonly string[])[]
  readonly cityIds: readonly number[]
  readonly clients: number
  /** Pause of a client between two requests, ms. */
  readonly thinkMs: number
  /** Whether groups write the same rows on purpose, see claims in ledger.ts. */
  readonly claims: boolean
}

export interface LoadCounts {
  readonly acknowledged: number
  readonly unknown: number
  readonly refused: number
  readonly reads: number
  readonly readsFailed: number
  /** Reads that did not show what their own session had written: must stay 0. */
  readonly staleReads: number
}

const TIMEOUT_MS = 10_000
/** After an error, so that a cluster that is down isn't hammered. */
const PAUSE_AFTER_ERROR_MS = 50

const WORDS = ['san', 'new', 'port', 'villa', 'saint', 'ben', 'la', 'novo']

const POINT = `SELECT city.name, city.population, country.name AS country
  FROM city JOIN country ON country.code = city.country WHERE city.id = ?`
const SEARCH = `SELECT city.name, city.population
  FROM city_search JOIN city ON city.id = city_search.rowid
  WHERE city_search MATCH ? LIMIT 10`
const VISIT = 'INSERT INTO visit (client, number, city, at) VALUES (?, ?, ?, ?)'
const COUNT = 'UPDATE client SET visits = visits + 1 WHERE name = ?'
const UPSERT = `INSERT INTO city
  SELECT id, name, country, region, ?, latitude, longitude FROM city WHERE id = ?
  ON CONFLICT (id) DO UPDATE SET population = excluded.population`
/** There and back again, so that the full-text index has something to do and names stay names. */
const RENAME = `UPDATE city SET name = iif(name LIKE '% favourite',
  substr(name, 1, length(name) - 10), name || ' favourite') WHERE id = ?`
const REVIEW = 'INSERT INTO review (visit, stars, words) VALUES (?, ?, ?)'
const CLAIM = 'INSERT INTO seat (label, client, number) VALUES (?, ?, ?)'
/** So many that both sides of a cut claim some of the same. */
const SEATS = 2_000

class Client {
  readonly db: RemoteDb
  /** Another session for reads of whatever replica: it stays at one node while that answers. */
  reader: RemoteDb
  readonly prng: Prng
  readonly record: ClientRecord
  /** Index of the group that it writes to. */
  readonly group: number
  number = 0

  constructor(name: string, group: number, db: RemoteDb, reader: RemoteDb, prng: Prng) {
    this.db = db
    this.group = group
    this.reader = reader
    this.prng = prng
    this.record = { name, acknowledged: new Set(), unknown: new Set(), claims: new Set() }
  }
}

export class Load {
  readonly #options: LoadOptions
  /** Shared: the clients are opened and closed together. */
  readonly #transport = nodeTransport()
  readonly #clients: Client[] = []
  readonly #probes: Client[] = []
  readonly #counts = {
    acknowledged: 0,
    unknown: 0,
    refused: 0,
    reads: 0,
    readsFailed: 0,
    staleReads: 0,
  }
  #loops: Promise<void>[] = []
  #stopping = false
  #startedAt = 0
  #stoppedAt = 0
  #lastAckAt: number | null = null
  #awaited: {
    readonly since: number
    readonly group: number
    readonly done: (at: number) => void
  } | null = null
  readonly #byGroup: number[]
  #recent = new Latencies()
  /** Of all acknowledged writes. */
  readonly latencies = new Latencies()

  constructor(options: LoadOptions) {
    this.#options = options
    this.#byGroup = options.groups.map(() => 0)
    for (let at = 0; at < options.clients; at += 1) {
      const name = `client-${String(at + 1).padStart(2, '0')}`
      this.#clients.push(this.#makeClient(name, at))
    }
    // One more of each group, idle until a failover is measured.
    for (const at of options.groups.keys()) {
      this.#probes.push(this.#makeClient(`probe-${at + 1}`, at))
    }
  }

  get counts(): LoadCounts {
    return { ...this.#counts }
  }

  get records(): readonly ClientRecord[] {
    return [...this.#clients, ...this.#probes].map(({ record }) => record)
  }

  /** Acknowledged writes of each group's clients. */
  get acknowledgedByGroup(): readonly number[] {
    return [...this.#byGroup]
  }

  /** How long it has run, or ran, in seconds. */
  get seconds(): number {
    const end = this.#stoppedAt > 0 ? this.#stoppedAt : performance.now()
    return (end - this.#startedAt) / 1000
  }

  /** When the last write was acknowledged, by performance.now(). */
  get lastAckAt(): number | null {
    return this.#lastAckAt
  }

  /** Latencies of the writes since this was asked the last time. */
  takeRecent(): Latencies {
    const recent = this.#recent
    this.#recent = new Latencies()
    return recent
  }

  /** Registers the clients, then lets them run until stop(). */
  async start(): Promise<void> {
    const [first] = this.#clients
    const items = this.records.map(
      ({ name }): BatchItem => ['INSERT INTO client (name) VALUES (?)', [name]],
    )
    await first?.db.batch(items)
    await Promise.all(this.#probes.map((probe) => this.#untilThere(probe)))
    this.#startedAt = performance.now()
    this.#loops = this.#clients.map((client) => this.#run(client))
  }

  /** What one group wrote takes a moment to come to the others. */
  async #untilThere({ db, record }: Client): Promise<void> {
    const sql = 'SELECT 1 FROM client WHERE name = ?'
    const deadline = performance.now() + TIMEOUT_MS
    while ((await db.query(sql, [record.name])).length === 0) {
      if (performance.now() > deadline) throw new Error('the clients are not known to all groups')
      await sleep(PAUSE_AFTER_ERROR_MS)
    }
  }

  /** Lets what is under way end, and closes the connections. */
  async stop(): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    await Promise.all(this.#loops)
    this.#stoppedAt = performance.now()
    this.close()
  }

  /** Ends everything at once; what was under way is then unknown. */
  close(): void {
    this.#stopping = true
    for (const { db, reader } of [...this.#clients, ...this.#probes]) {
      db.close()
      reader.close()
    }
  }

  /**
   * Waits for the first acknowledged write that was begun from now on, and begins one at once, so
   * that the time to it doesn't depend on when a client comes round to write.
   *
   * @param group index of the group that is asked
   * @returns when it was acknowledged, by performance.now()
   */
  async firstAckFromNow(group = 0): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>()
    this.#awaited = { since: performance.now(), group, done: resolve }
    const probe = this.#probes[group]
    if (probe !== undefined) {
      const loop = async (): Promise<void> => {
        while (this.#awaited !== null && !this.#stopping) await this.#write(probe, [])
      }
      this.#loops.push(loop())
    }
    return await promise
  }

  /** Spreads the reads over these nodes of each group, after one came back or was added. */
  spread(groups: readonly (readonly string[])[]): void {
    this.#clients.forEach((client, at) => {
      client.reader = this.#connect(at, groups[client.group] ?? [])
    })
  }

  #makeClient(name: string, at: number): Client {
    const { groups } = this.#options
    const group = at % groups.length
    const urls = groups[group] ?? []
    const [db, reader] = [this.#connect(at, urls), this.#connect(at, urls)]
    return new Client(name, group, db, reader, prngFromSeed(at))
  }

  #connect(at: number, urls: readonly string[]): RemoteDb {
    const own = Math.floor(at / this.#options.groups.length) % urls.length
    const rotated = [...urls.slice(own), ...urls.slice(0, own)]
    return connect(rotated, { transport: this.#transport, timeoutMs: TIMEOUT_MS })
  }

  async #run(client: Client): Promise<void> {
    while (!this.#stopping) {
      const failed = await this.#one(client)
      await sleep(failed ? PAUSE_AFTER_ERROR_MS : this.#options.thinkMs)
    }
  }

  /** One request of the mix; true if it failed. */
  async #one(client: Client): Promise<boolean> {
    const { prng } = client
    const city = prng.pick(this.#options.cityIds)
    const draw = prng.intInclusive(1, 100)
    if (draw <= 40) {
      return await this.#read(() => client.reader.query(POINT, [city], { read: 'local' }))
    }
    if (draw <= 48) {
      return await this.#read(() => client.reader.query(SEARCH, [prng.pick(WORDS)]))
    }
    if (draw <= 53) return await this.#readOwn(client)
    if (draw <= 58 && this.#options.claims) return await this.#claim(client)
    if (draw <= 85) return await this.#write(client, [])
    if (draw <= 94) {
      const population = prng.intInclusive(1_000, 9_000_000)
      return await this.#write(client, [[UPSERT, [population, city]]])
    }
    if (draw <= 97) return await this.#write(client, [[RENAME, [city]]])
    return await this.#transact(client)
  }

  async #read(run: () => Promise<unknown>): Promise<boolean> {
    try {
      await run()
      this.#counts.reads += 1
      return false
    } catch {
      this.#counts.readsFailed += 1
      return true
    }
  }

  /** A session must see its own writes, whichever node answers. */
  async #readOwn(client: Client): Promise<boolean> {
    const { name, acknowledged } = client.record
    const sql = 'SELECT visits FROM client WHERE name = ?'
    return await this.#read(async () => {
      const [row] = await client.db.query(sql, [name], { read: 'session' })
      if (Number(row?.['visits'] ?? 0) < acknowledged.size) this.#counts.staleReads += 1
    })
  }

  #write(client: Client, before: readonly BatchItem[]): Promise<boolean> {
    const { name } = client.record
    const city = client.prng.pick(this.#options.cityIds)
    return this.#account(client, (number) =>
      client.db.batch([...before, [VISIT, [name, number, city, Date.now()]], [COUNT, [name]]]),
    )
  }

  /** Takes a seat that somebody on the other side may take as well. */
  async #claim(client: Client): Promise<boolean> {
    const { db, prng, record } = client
    client.number += 1
    const { number } = client
    const began = performance.now()
    try {
      await db.execute(CLAIM, [`seat-${prng.intInclusive(1, SEATS)}`, record.name, number])
      record.claims.add(number)
      this.#acknowledged(client, began)
      return false
    } catch (error) {
      if (isUnknown(error)) this.#counts.unknown += 1
      else if (!isTaken(error)) this.#counts.refused += 1
      return !isTaken(error)
    }
  }

  /** An interactive transaction over four tables. */
  #transact(client: Client): Promise<boolean> {
    const { db, prng, record } = client
    const city = prng.pick(this.#options.cityIds)
    return this.#account(client, (number) =>
      db.transaction(async (tx) => {
        const visit = await tx.execute(VISIT, [record.name, number, city, Date.now()])
        const stars = prng.intInclusive(1, 5)
        await tx.execute(REVIEW, [visit.lastInsertRowid, stars, `seen by ${record.name}`])
        await tx.execute('UPDATE city SET population = population + 1 WHERE id = ?', [city])
        await tx.execute(COUNT, [record.name])
      }),
    )
  }

  async #account(client: Client, run: (number: number) => Promise<unknown>): Promise<boolean> {
    client.number += 1
    const { number } = client
    const began = performance.now()
    try {
      await run(number)
      client.record.acknowledged.add(number)
      this.#acknowledged(client, began)
      return false
    } catch (error) {
      if (isUnknown(error)) {
        client.record.unknown.add(number)
        this.#counts.unknown += 1
      } else this.#counts.refused += 1
      return true
    }
  }

  #acknowledged({ group }: Client, began: number): void {
    const now = performance.now()
    this.#counts.acknowledged += 1
    this.#byGroup[group] = (this.#byGroup[group] ?? 0) + 1
    this.latencies.add(now - began)
    this.#recent.add(now - began)
    this.#lastAckAt = now
    if (this.#awaited?.group === group && began >= this.#awaited.since) {
      const { done } = this.#awaited
      this.#awaited = null
      done(now)
    }
  }
}

/** The seat is taken already: an answer like any other. */
function isTaken(error: unknown): boolean {
  return error instanceof QuorateError && error.code === 'SQL_CONSTRAINT'
}

/** Only errors with a code other than UNKNOWN_OUTCOME say that nothing was run. */
function isUnknown(error: unknown): boolean {
  return !(error instanceof QuorateError) || error.code === 'UNKNOWN_OUTCOME'
}
