/** What is foreseen of a transaction is what SQLite and by-rules.ts make of it, in random histories. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { NOTHING } from '../../core/order/clock/frontier.ts'
import { readExactly } from '../../model/changeset.ts'
import type { Change } from './deciding.ts'
import { type Forecast, type ForecastContext, foresee } from './forecast.ts'
import type { Transaction } from './merge-tables.ts'
import { applyNatively } from './native.ts'
import { OrderedTransactions } from './ordered.ts'
import { type MergeParts, PARTS } from './parts.ts'
import { beyond } from './placed.ts'
import { read } from './reading.ts'
import { RowMemory } from './row-memory.ts'
import { setRule } from './rule-book.ts'
import { Coverage, runHistory } from './testing/world.ts'

/** Everything is in the file when something is foreseen, so that the file can be asked as well. */
const ONE_BY_ONE: Pick<MergeParts, 'createBatch'> = {
  createBatch: () => ({ mayTake: () => false, take: () => {} }),
}

function tried<T>(context: ForecastContext, work: () => T): T {
  context.db.exec('savepoint _test')
  try {
    return work()
  } finally {
    context.db.exec('rollback to _test; release _test')
  }
}

function changesOf(bytes: Uint8Array): readonly Change[] {
  const name = ({ table, before, after }: Change) => `${table} ${String((before ?? after)?.[0])}`
  return [...readExactly(bytes)].sort((a, b) => (name(a) < name(b) ? -1 : 1))
}

/** Asks SQLite and by-rules.ts the same, and tells what was foreseen. */
function checked(...[context, memory, changes]: Parameters<typeof foresee>): Forecast {
  const forecast = foresee(context, memory, changes)
  const { foreignKeys, catalog, rows } = context
  const checks = { foreignKeys, exactly: { catalog, rows } }
  const fits = tried(context, () => applyNatively(context.db, [changes], checks))
  if (forecast.kind === 'by-rules') equal(fits, false, 'it runs as it was made')
  if (forecast.kind !== 'decided') return forecast
  equal(fits, false, 'decided, and it runs as it was made')
  const { effect, conflicts, touched } = forecast
  const stands = tried(
    context,
    () => effect.length === 0 || applyNatively(context.db, [effect], checks),
  )
  if (!stands) return forecast
  const findDeleted = () => null
  const outcome = tried(context, () => PARTS.runByRules({ ...context, findDeleted }, changes))
  deepEqual(changesOf(effect), changesOf(outcome.effect))
  deepEqual(conflicts, outcome.conflicts)
  deepEqual(outcome.deleted, [])
  const footprints = PARTS.createFootprints(catalog)
  const own = footprints.of(changes)
  const [here, there] = [touched, outcome.touched].map((some) => {
    const { written, needed } = beyond(footprints.ofRows(some), own)
    return [written.toSorted(), needed.toSorted()]
  })
  deepEqual(here, there)
  return forecast
}

test('what is foreseen is what happens', () => {
  const seen = new Map<string, number>()
  const parts: MergeParts = {
    ...PARTS,
    ...ONE_BY_ONE,
    foresee: (...about) => {
      const forecast = checked(...about)
      seen.set(forecast.kind, (seen.get(forecast.kind) ?? 0) + 1)
      return forecast
    },
  }
  for (let seed = 1; seed <= 40; seed += 1) runHistory(seed, new Coverage(), parts)
  for (const kind of ['as-made', 'decided', 'by-rules']) {
    ok((seen.get(kind) ?? 0) >= 20, `${kind}: ${seen.get(kind)}`)
  }
})

const HOT = 5
const WRITES = 1_500

/** Writes the same few rows again and again. */
class Side {
  readonly db = new DatabaseSync(':memory:', { enableForeignKeyConstraints: false })
  readonly made: Transaction[] = []
  readonly ordered: OrderedTransactions
  readonly calls = { native: 0, byRules: 0 }

  constructor(name: string, offset: number) {
    this.db.exec(`create table account (id integer primary key, n integer, who text, tags text,
      primary_of integer unique)`)
    const insert = this.db.prepare(`insert into account values (?, 0, '', '[]', ?)`)
    for (let id = 1; id <= HOT; id += 1) insert.run(id, id)
    const rules = { n: 'add', tags: 'union' }
    for (const [column, rule] of Object.entries(rules)) {
      setRule(this.db, { table: 'account', column, rule }, new Map())
    }
    this.ordered = new OrderedTransactions(this.db, new Map(), {
      ...PARTS,
      applyNatively: (...about) => {
        this.calls.native += 1
        return applyNatively(...about)
      },
      runByRules: (...about) => {
        this.calls.byRules += 1
        return PARTS.runByRules(...about)
      },
    })
    const sql = 'update account set n = n + ?, who = ?, tags = ? where id = ?'
    const update = this.db.prepare(sql)
    for (let i = 1; i <= WRITES; i += 1) {
      const session = this.db.createSession({ table: 'account' })
      update.run(i % 7, `${name}${i}`, `["${name}${i % 3}"]`, 1 + ((i * 3 + offset) % HOT))
      const stamp = { time: i * 10 + offset, origin: name }
      const made = { stamp, sequence: i, seen: NOTHING, changes: session.changeset() }
      session.close()
      this.ordered.adopt([made])
      this.made.push(made)
    }
  }

  merge(arrivals: readonly Transaction[]) {
    this.db.exec('begin')
    const report = this.ordered.merge(arrivals)
    this.db.exec('commit')
    return report
  }

  content(): unknown {
    const read = (sql: string) => this.db.prepare(sql).all()
    return [read('select * from account'), read('select * from quorate_conflicts')]
  }
}

test('rows that both sides wrote all the time are healed in few steps', () => {
  const [a, b] = [new Side('a', 0), new Side('b', 1)]
  const { merged, takenBack, byRules } = a.merge(b.made)
  equal(merged, WRITES)
  ok(takenBack > WRITES * 0.9, `${takenBack} taken back`)
  ok(byRules > WRITES, `${byRules} by rules`)
  // Not one of 3,000 was tried alone.
  equal(a.calls.byRules, 0)
  ok(a.calls.native < 30, `${a.calls.native} changesets`)
  for (let at = 0; at < WRITES; at += 400) b.merge(a.made.slice(at, at + 400))
  deepEqual(a.content(), b.content())
  for (const { db } of [a, b]) db.close()
})

test('a value that SQLite takes for equal is not foreseen', () => {
  const side = new Side('a', 0)
  side.db.exec('create table point (id integer primary key, at real, n integer)')
  side.db.exec('insert into point values (1, 0.0, 1)')
  const session = side.db.createSession({ table: 'point' })
  side.db.exec('update point set at = 1.5 where id = 1')
  const changes = session.changeset()
  session.close()
  const { context } = read(side.db, new Map(), PARTS)
  const memory = new RowMemory({ find: () => [1n, -0, 1n] })
  const forecast = foresee(context, memory, changes)
  equal(forecast.kind, 'unclear')
  side.db.close()
})
