/**
 * Origins that write the same tables; what they wrote arrives everywhere in every order, twice, and
 * across restarts. All replicas must hold the same rows as the twin, which runs everything in stamp
 * order from the start, and every constraint of the schema must hold.
 */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { type Prng, prngFromSeed } from '../../../base/prng.ts'
import type { Frontier } from '../../../core/order/clock/frontier.ts'
import { compareStamps } from '../../../core/order/clock/stamp.ts'
import { readChangeset } from '../../../model/changeset.ts'
import type { Transaction } from '../merge-tables.ts'
import { OrderedTransactions } from '../ordered.ts'
import { type MergeParts, PARTS } from '../parts.ts'
import { type MergeFunctions, setRule } from '../rule-book.ts'
import { BASE, ODD_VALUES, RULES, SCHEMA, STATEMENTS, THEMED } from './schema.ts'

export const FUNCTIONS: MergeFunctions = new Map([
  ['sum', (_base, ours, theirs) => BigInt(Number(ours) + Number(theirs)) % 1000n],
])

/** What histories reached, so that a test that proves nothing is noticed. */
export class Coverage {
  readonly counts = new Map<string, number>()

  add(what: string, count = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + count)
  }
}

const TEMPLATE = template()

function template(): Uint8Array {
  const db = new DatabaseSync(':memory:')
  db.exec(SCHEMA)
  db.exec(BASE)
  for (const rule of RULES) setRule(db, rule, FUNCTIONS)
  new OrderedTransactions(db, FUNCTIONS)
  const bytes = db.serialize()
  db.close()
  return bytes
}

export class Replica {
  readonly db: DatabaseSync
  readonly #parts: MergeParts
  /** As a group's log has it: what came, in that order. Null: there is no log. */
  readonly #log: Transaction[] | null
  /** So much of the log was in the file at the last commit. */
  #saved = 0
  ordered: OrderedTransactions

  /** @param logs what comes is in a log, so that it need not be in the file at once */
  constructor(parts: MergeParts = PARTS, logs = false) {
    this.#parts = parts
    this.#log = logs ? [] : null
    this.db = new DatabaseSync(':memory:', { enableForeignKeyConstraints: false })
    this.db.deserialize(TEMPLATE)
    this.ordered = new OrderedTransactions(this.db, FUNCTIONS, parts)
  }

  restart(): void {
    this.ordered = new OrderedTransactions(this.db, FUNCTIONS, this.#parts)
    this.ordered.remember(this.#log?.slice(this.#saved) ?? [])
  }

  merge(transactions: readonly Transaction[]) {
    return this.committing(() => this.ordered.merge(this.logged(transactions)))
  }

  /** Does work in a SQLite transaction. */
  protected committing<T>(work: () => T): T {
    this.db.exec('begin')
    const result = work()
    this.db.exec('commit')
    this.committed()
    return result
  }

  /** Puts transactions into the log. */
  protected logged(transactions: readonly Transaction[]): readonly Transaction[] {
    const log = this.#log
    if (log === null) return transactions
    const logged = transactions.map((each, i) => ({ ...each, at: log.length + 1 + i }))
    log.push(...logged)
    return logged
  }

  protected committed(): void {
    this.#saved = (this.ordered.firstUnsaved ?? (this.#log?.length ?? 0) + 1) - 1
  }

  /** The log loses its last entries, or so many as it had then. */
  protected cutLog(length: number): void {
    this.#log?.splice(length)
    this.#saved = Math.min(this.#saved, length)
  }

  /** Whoever has a log must open the file anew after a rollback. */
  protected get logs(): boolean {
    return this.#log !== null
  }

  protected get logLength(): number {
    return this.#log?.length ?? 0
  }

  /** Runs all that there is from the start, in order, one by one. */
  static twin(all: readonly Transaction[]): Replica {
    const twin = new Replica()
    for (const each of all.toSorted((a, b) => compareStamps(a.stamp, b.stamp))) twin.merge([each])
    return twin
  }

  check(): void {
    deepEqual(this.db.prepare('pragma foreign_key_check').all(), [])
    equal(
      JSON.stringify(this.db.prepare('pragma integrity_check').all()),
      '[{"integrity_check":"ok"}]',
    )
  }

  content(withDeleted: boolean): string[] {
    this.committing(() => this.ordered.save())
    const beside = withDeleted ? ['quorate_conflicts', '_quorate_deleted'] : ['quorate_conflicts']
    const users = `select name from sqlite_schema where type = 'table' and name not like '%quorate%'
      order by name`
    const tables = this.db.prepare(users).all()
    return rowsOf(this.db, [...tables.map(({ name }) => String(name)), ...beside])
  }

  count(table: string): number {
    return Number(this.db.prepare(`select count(*) as n from ${table}`).get()?.['n'])
  }
}

const queries = new Map<string, string>()

/** Each row of all tables as text that tells apart whatever SQLite does. */
function rowsOf(db: DatabaseSync, tables: readonly string[]): string[] {
  return tables.flatMap((table) => {
    const columns = db.prepare(`select name from pragma_table_xinfo('${table}')`).all()
    const known = `${table} ${columns.map(({ name }) => name).join(' ')}`
    let sql = queries.get(known)
    if (sql === undefined) {
      const parts = columns.map(({ name }) => {
        const text = `case typeof("${name}") when 'text' then 't' || hex(cast("${name}" as blob))`
        return `${text} else quote("${name}") end`
      })
      sql = `select '${table} ' || ${parts.join(` || ' ' || `)} as row from ${table} order by 1`
      queries.set(known, sql)
    }
    return db
      .prepare(sql)
      .all()
      .map(({ row }) => String(row))
  })
}

/** What an origin had seen when it made an entry, or promised that none comes before a time. */
interface Mark {
  readonly time: number
  readonly frontier: Frontier
}

interface OriginOptions {
  readonly name: string
  /** How far its clock is ahead. */
  readonly skew: number
  readonly parts: MergeParts
  readonly logs?: boolean
  readonly coverage: Coverage
  /** Which ones it runs. */
  readonly statements: readonly string[]
}

/** Writes as any application does; what it writes is recorded. */
export class Origin extends Replica {
  readonly name: string
  readonly made: Transaction[] = []
  readonly held = new Set<Transaction>()
  readonly marks: Mark[] = []
  readonly #skew: number
  readonly #coverage: Coverage
  readonly #statements: readonly string[]
  forgot = false
  last = 0

  constructor({ name, skew, parts, logs, coverage, statements }: OriginOptions) {
    super(parts, logs)
    this.name = name
    this.#skew = skew
    this.#coverage = coverage
    this.#statements = statements
  }

  /** No later stamp of it is at or before this. */
  promise(now: number): number {
    return Math.max(this.last, now + this.#skew - 1)
  }

  write(prng: Prng, now: number): void {
    this.db.exec('pragma foreign_keys = on; begin')
    const session = this.db.createSession({ db: 'main' })
    for (let n = prng.intInclusive(1, 3); n > 0; n -= 1) this.#statement(prng)
    const changes = session.changeset()
    session.close()
    const refused = this.db.prepare('pragma foreign_key_check').all().length > 0
    if (refused) this.#coverage.add('refused at commit')
    else if (changes.length > 0) this.#adopt(changes, now)
    this.db.exec(refused ? 'rollback' : 'commit')
    this.committed()
    this.db.exec('pragma foreign_keys = off')
  }

  #adopt(changes: Uint8Array, now: number): void {
    const time = this.promise(now) + 1
    const sequence = this.made.length + 1
    const frontier = frontierOf(this.held)
    const made = { stamp: { time, origin: this.name }, sequence, seen: frontier, changes }
    this.ordered.adopt(this.logged([made]))
    this.made.push(made)
    this.held.add(made)
    this.marks.push({ time, frontier })
    this.last = time
  }

  #statement(prng: Prng): void {
    const which = prng.pick(this.#statements)
    const sql = which
      .replaceAll('$V', () => prng.pick(ODD_VALUES))
      .replace(/\$(\d)/g, (_, max) => String(prng.intInclusive(1, Number(max))))
    this.db.exec('savepoint one')
    try {
      this.db.exec(sql)
      this.#coverage.add(`statement ${which}`)
    } catch {
      // Refused where it was made, as any application's.
      this.db.exec('rollback to one')
    }
    this.db.exec('release one')
  }

  receive(transactions: readonly Transaction[], now: number): void {
    const fresh = new Set(transactions.filter((each) => !this.held.has(each)))
    const { merged, takenBack, byRules } = this.merge(transactions)
    equal(merged, fresh.size)
    for (const each of fresh) {
      this.held.add(each)
      this.last = Math.max(this.last, each.stamp.time)
    }
    this.marks.push({ time: this.promise(now), frontier: frontierOf(this.held) })
    this.last = this.promise(now)
    this.#coverage.add('merged', merged)
    this.#coverage.add('taken back', takenBack)
    this.#coverage.add('by rules', byRules)
  }

  /** Crashes in the middle, or something fails that comes after it and goes on. */
  crash(transactions: readonly Transaction[], restarts: boolean): void {
    const { logLength } = this
    this.db.exec('begin')
    this.ordered.merge(this.logged(transactions))
    this.db.exec('rollback')
    this.cutLog(logLength)
    if (restarts || this.logs) this.restart()
  }

  /** A leader that runs ahead and loses what it wrote. */
  lose(prng: Prng, now: number): void {
    const { made, held, marks, last, logLength } = this
    const count = made.length
    for (let n = prng.intInclusive(1, 3); n > 0; n -= 1) this.write(prng, now)
    const lost = made.splice(count)
    for (const each of lost) held.delete(each)
    marks.splice(marks.length - lost.length)
    this.last = last
    this.committing(() => this.ordered.withdraw(lost))
    this.cutLog(logLength)
    this.#coverage.add('lost', lost.length)
  }

  forget(origins: readonly Origin[], all: readonly Transaction[], now: number): void {
    const missing = all.filter((each) => !this.held.has(each)).map(({ stamp }) => stamp.time - 1)
    const stable = Math.min(...origins.map((each) => each.promise(now)), ...missing)
    const seen = origins.map((origin) => {
      const mark = origin.marks.findLast(({ time }) => time <= stable)
      return [origin.name, mark?.frontier ?? new Map<string, number>()] as const
    })
    this.committing(() => this.ordered.forget(stable, new Map(seen)))
    this.forgot = true
  }
}

/** Up to the first of each origin that is missing. */
function frontierOf(held: ReadonlySet<Transaction>): Frontier {
  const names = new Set([...held].map(({ stamp }) => `${stamp.origin} `))
  const byName = new Map<string, Set<number>>([...names].map((name) => [name.trim(), new Set()]))
  for (const { stamp, sequence } of held) byName.get(stamp.origin)?.add(sequence)
  return new Map(
    [...byName].flatMap(([name, sequences]) => {
      let last = 0
      while (sequences.has(last + 1)) last += 1
      return last === 0 ? [] : [[name, last] as const]
    }),
  )
}

export function shuffled<T>(list: readonly T[], prng: Prng): T[] {
  const keyed = list.map((item) => [prng.intInclusive(0, 2 ** 31), item] as const)
  return keyed.sort(([a], [b]) => a - b).map(([, item]) => item)
}

export function statementsFor(prng: Prng): readonly string[] {
  if (prng.percent(15)) return STATEMENTS
  return Array.from({ length: prng.intInclusive(1, 2) }, () => prng.pick(THEMED)).flat()
}

/** One random history; throws if anything is not as it must be. */
export function runHistory(seed: number, coverage: Coverage, parts: MergeParts = PARTS): void {
  const prng = prngFromSeed(seed)
  const count = prng.intInclusive(2, 5)
  const statements = statementsFor(prng)
  const origins = Array.from({ length: count }, (_, i) => {
    const skew = prng.percent(50) ? prng.intInclusive(0, 30) : 0
    return new Origin({
      name: `o${i}`,
      skew,
      parts,
      logs: (seed + i) % 3 > 0,
      coverage,
      statements,
    })
  })
  const forgets = prng.percent(30)
  let now = 100
  const made = () => origins.flatMap((each) => each.made)
  for (let step = prng.intInclusive(10, 50); step > 0; step -= 1) {
    const [origin, other] = shuffled(origins, prng)
    if (origin === undefined || other === undefined) continue
    now += 1
    const theirs = shuffled([...other.held], prng)
    const dice = prng.intInclusive(1, 100)
    if (dice <= 60) origin.write(prng, now)
    else if (dice <= 62) origin.crash(theirs.slice(0, 9), now % 2 === 0)
    else if (dice <= 63) origin.restart()
    else if (dice <= 64) origin.lose(prng, now)
    else if (forgets && dice <= 70) origin.forget(origins, made(), now)
    else {
      const some = prng.percent(50) ? [...other.held] : theirs
      origin.receive(some.slice(0, prng.intInclusive(1, 20)), now)
    }
  }
  const twin = finish(origins, prng, now + 1, coverage)
  joinsLate(
    origins.flatMap((each) => each.made),
    parts,
    twin,
  )
  twin.db.close()
}

/** Everything arrives everywhere. Gives the twin. */
function finish(origins: readonly Origin[], prng: Prng, now: number, coverage: Coverage): Replica {
  const all = origins.flatMap(({ made }) => made)
  const twin = Replica.twin(all)
  twin.check()
  coverage.add('transactions', all.length)
  for (const { kind } of twin.db.prepare('select kind from quorate_conflicts').all()) {
    coverage.add(`conflict ${kind}`)
  }
  for (const origin of origins) {
    const rest = shuffled(all, prng)
    while (rest.length > 0) {
      const some = rest.splice(0, prng.percent(20) ? 40 : prng.intInclusive(1, 6))
      origin.receive(prng.percent(10) ? [...some, ...some] : some, now)
    }
    same(origin.content(!origin.forgot), twin.content(!origin.forgot), origin.name)
    origin.check()
  }
  checkTallies(twin, all)
  for (const origin of origins) {
    origin.forget(origins, all, now + 1_000)
    equal(origin.count('_quorate_transactions') + origin.count('_quorate_deleted'), 0)
    origin.db.close()
  }
  return twin
}

/** Somebody who gets everything at once, so that much of it is applied as one. */
function joinsLate(all: readonly Transaction[], parts: MergeParts, twin: Replica): void {
  const late = new Replica(parts, true)
  late.merge(all)
  same(late.content(true), twin.content(true), 'who joins late')
  late.db.close()
}

export function same(here: readonly string[], there: readonly string[], name: string): void {
  if (here.length === there.length && here.every((row, i) => row === there[i])) return
  const only = (a: readonly string[], b: readonly string[]) => a.filter((row) => !b.includes(row))
  deepEqual({ [name]: only(here, there) }, { [name]: only(there, here) })
  ok(false, `${name}: rows in another order`)
}

/** Counters are the sum of all that anybody counted, whoever wrote at the same time;
 * transactions left out as a whole are not counted. */
function checkTallies(twin: Replica, all: readonly Transaction[]): void {
  const expected = new Map([
    [1n, 0n],
    [2n, 100n],
  ])
  const aborted = twin.db.prepare(`select 1 from quorate_conflicts
    where kind = 'aborted' and time = ? and origin = ?`)
  for (const { stamp, changes } of all) {
    if (aborted.get(stamp.time, stamp.origin) !== undefined) continue
    for (const { table, before, after } of readChangeset(changes)) {
      if (table !== 'tally') continue
      const [id, from, to] = [before?.[0], before?.[1], after?.[1]].map((value) =>
        BigInt(Number(value)),
      )
      expected.set(id ?? 0n, (expected.get(id ?? 0n) ?? 0n) + (to ?? 0n) - (from ?? 0n))
    }
  }
  const rows = twin.db.prepare('select id, n from tally', { readBigInts: true }).all()
  deepEqual(new Map(rows.map(({ id, n }) => [id, n])), expected)
}

/** Every order in which a few transactions can arrive, one by one, some twice, with a restart. */
export function runPermutations(seed: number, coverage: Coverage): void {
  const prng = prngFromSeed(seed)
  const statements = statementsFor(prng)
  const origins = ['o0', 'o1', 'o2'].map(
    (name) => new Origin({ name, skew: 0, parts: PARTS, coverage, statements }),
  )
  let now = 100
  const all = () => origins.flatMap((each) => each.made)
  for (let tries = 0; all().length < 5 && tries < 60; tries += 1) {
    const [origin, other] = shuffled(origins, prng)
    now += 1
    if (prng.percent(70)) origin?.write(prng, now)
    else origin?.receive([...(other?.held ?? [])].slice(0, 2), now)
  }
  const twin = Replica.twin(all())
  for (const [turn, order] of permutations(all()).entries()) {
    const replica = new Replica(PARTS, turn % 2 === 0)
    for (const [i, each] of order.entries()) {
      // Some come twice, beside others.
      const { merged, takenBack, byRules } = replica.merge([each, ...order.slice(i - 1, i)])
      equal(merged, 1)
      if (i === 2) replica.restart()
      coverage.add('taken back', takenBack)
      coverage.add('by rules', byRules)
    }
    same(replica.content(true), twin.content(true), order.map(({ stamp }) => stamp.time).join(' '))
    replica.db.close()
    coverage.add('permutations')
  }
  for (const { db } of [...origins, twin]) db.close()
}

function permutations<T>(list: readonly T[]): T[][] {
  if (list.length <= 1) return [[...list]]
  return list.flatMap((each, i) =>
    permutations(list.toSpliced(i, 1)).map((rest) => [each, ...rest]),
  )
}
