/**
 * Histories in which the schema and the rules change. What only adds to the schema is done by one
 * origin whenever it likes, and reaches the others before anything that was written after it, as
 * dependencies of entries have it. Everything else is done when nobody writes and all have everything.
 */
import { type Prng, prngFromSeed } from '../../../base/prng.ts'
import type { Transaction } from '../merge-tables.ts'
import { PARTS } from '../parts.ts'
import { setRule } from '../rule-book.ts'
import { ADDITIONS, LATER_STATEMENTS, NEW_RULES, REBUILDS } from './changes.ts'
import {
  type Coverage,
  FUNCTIONS,
  Origin,
  Replica,
  same,
  shuffled,
  statementsFor,
} from './world.ts'

/** An origin, and how many additions to the schema it has. */
interface Member {
  readonly origin: Origin
  schema: number
}

class Evolution {
  readonly #prng: Prng
  readonly #coverage: Coverage
  readonly #members: readonly Member[]
  readonly #twin = new Replica()
  readonly #additions: string[] = []
  /** How many additions its writer had. */
  readonly #needs = new Map<Transaction, number>()
  /** How many of these the twin has. */
  #grown = 0
  #settled = new Set<Transaction>()
  #now = 100

  constructor(seed: number, coverage: Coverage) {
    this.#prng = prngFromSeed(seed)
    this.#coverage = coverage
    const count = this.#prng.intInclusive(2, 4)
    const statements = [...statementsFor(this.#prng), ...LATER_STATEMENTS]
    this.#members = Array.from({ length: count }, (_, i) => {
      const skew = this.#prng.percent(50) ? this.#prng.intInclusive(0, 30) : 0
      const options = { name: `o${i}`, skew, parts: PARTS, coverage, statements }
      return { origin: new Origin(options), schema: 0 }
    })
  }

  run(): void {
    for (let phase = this.#prng.intInclusive(2, 4); phase > 0; phase -= 1) {
      for (let step = this.#prng.intInclusive(10, 40); step > 0; step -= 1) this.#step()
      this.#settle()
      this.#change()
    }
    for (const { origin } of this.#members) origin.db.close()
    this.#twin.db.close()
  }

  #step(): void {
    const prng = this.#prng
    const [member, other] = shuffled(this.#members, prng)
    if (member === undefined || other === undefined) return
    this.#now += 1
    const { origin } = member
    const dice = prng.intInclusive(1, 100)
    if (dice <= 55) this.#write(member)
    else if (dice <= 58) origin.restart()
    else if (dice <= 60) origin.lose(prng, this.#now)
    else if (dice <= 68) this.#add()
    else if (dice <= 70) this.#forget(origin)
    else {
      const theirs = prng.percent(50)
        ? [...other.origin.held]
        : shuffled([...other.origin.held], prng)
      this.#deliver(member, theirs.slice(0, prng.intInclusive(1, 20)))
    }
  }

  #write({ origin, schema }: Member): void {
    const known = origin.made.length
    origin.write(this.#prng, this.#now)
    for (const each of origin.made.slice(known)) this.#needs.set(each, schema)
  }

  #deliver(member: Member, transactions: readonly Transaction[]): void {
    this.#grow(member, Math.max(0, ...transactions.map((each) => this.#needs.get(each) ?? 0)))
    member.origin.receive(transactions, this.#now)
  }

  /** The first origin adds to the schema. */
  #add(): void {
    const [keeper] = this.#members
    const sql = this.#prng.pick(ADDITIONS)
    if (keeper === undefined || this.#additions.includes(sql)) return
    this.#grow(keeper, this.#additions.length)
    if (!alter(keeper.origin, sql)) return
    this.#additions.push(sql)
    keeper.schema += 1
    this.#coverage.add(`schema: ${sql.slice(0, 40)}`)
  }

  #grow(member: Member, schema: number): void {
    for (const sql of this.#additions.slice(member.schema, schema)) alterAlike(member.origin, sql)
    member.schema = Math.max(member.schema, schema)
  }

  /** Everybody gets everything; all must be as the twin. */
  #settle(): void {
    this.#now += 1
    const all = this.#members.flatMap(({ origin }) => origin.made)
    for (const sql of this.#additions.slice(this.#grown)) alterAlike(this.#twin, sql)
    this.#grown = this.#additions.length
    const fresh = all.filter((each) => !this.#settled.has(each))
    for (const each of fresh.toSorted((a, b) => order(a, b))) this.#twin.merge([each])
    this.#twin.check()
    for (const member of this.#members) {
      const rest = shuffled(fresh, this.#prng)
      while (rest.length > 0) {
        this.#deliver(member, rest.splice(0, this.#prng.intInclusive(1, 9)))
      }
      this.#grow(member, this.#additions.length)
      const { name } = member.origin
      // Rows that were deleted are kept as wide as they were then.
      same(member.origin.content(false), this.#twin.content(false), name)
      member.origin.check()
    }
    this.#settled = new Set(all)
    this.#coverage.add('transactions', fresh.length)
    this.#coverage.add('quiet points')
    for (const { origin } of this.#members) if (this.#prng.percent(30)) this.#forget(origin)
  }

  #forget(origin: Origin): void {
    const origins = this.#members.map((member) => member.origin)
    const all = origins.flatMap(({ made }) => made)
    origin.forget(origins, all, this.#now)
    this.#coverage.add('forgets')
  }

  /** At a quiet point: what can't be done while others write. */
  #change(): void {
    const replicas = [this.#twin, ...this.#members.map(({ origin }) => origin)]
    if (this.#prng.percent(60)) {
      const sql = this.#prng.pick(REBUILDS)
      if (!alter(this.#twin, sql)) return
      for (const replica of replicas.slice(1)) alterAlike(replica, sql)
      this.#coverage.add(`schema: ${sql.slice(0, 40)}`)
    } else {
      const rule = this.#prng.pick(NEW_RULES)
      try {
        for (const { db } of replicas) setRule(db, rule, FUNCTIONS)
      } catch {
        // There is no such table yet, or any more.
        return
      }
      for (const { ordered } of replicas) ordered.reread()
      this.#coverage.add(`rule: ${rule.table} ${rule.rule}`)
    }
  }
}

/** @returns false: it can't be done, and nothing has changed */
function alter({ db, ordered }: Replica, sql: string): boolean {
  ordered.release()
  db.exec('begin')
  try {
    db.exec(sql)
    db.exec('commit')
    return true
  } catch {
    db.exec('rollback')
    return false
  } finally {
    ordered.reread()
  }
}

function alterAlike(replica: Replica, sql: string): void {
  if (!alter(replica, sql)) throw new Error(`not everywhere: ${sql}`)
}

function order(a: Transaction, b: Transaction): number {
  const { time, origin } = a.stamp
  return time - b.stamp.time || (origin < b.stamp.origin ? -1 : 1)
}

/** One random history of a changing schema; throws if anything is not as it must be. */
export function runEvolution(seed: number, coverage: Coverage): void {
  new Evolution(seed, coverage).run()
}
