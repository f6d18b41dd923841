/** What is applied as one does what it does one after the other, also where SQLite puts something off. */
import { deepEqual, equal } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { NOTHING } from '../../core/order/clock/frontier.ts'
import { readCatalog } from './catalog.ts'
import { Footprints } from './footprint.ts'
import type { Transaction } from './merge-tables.ts'
import { Batch, partly } from './native.ts'
import { OrderedTransactions } from './ordered.ts'
import { PARTS } from './parts.ts'

const SLOT = `create table slot (id integer primary key, low int, high int, rank real,
  check (low < high)); insert into slot values (1, 1, 9, 0.5)`

function database(): DatabaseSync {
  const db = new DatabaseSync(':memory:', { enableForeignKeyConstraints: false })
  db.exec(SLOT)
  return db
}

/** The changes that statements make to the row as it is after others. */
function changesOf(sql: string, before = ''): Uint8Array {
  const db = database()
  db.exec(before)
  const session = db.createSession()
  db.exec(sql)
  const changes = session.changeset()
  session.close()
  db.close()
  return changes
}

const NARROW = 'update slot set high = 3'
const RAISE = 'update slot set low = 5'
const WIDEN = 'update slot set high = 9'

/** Narrowed; raised by somebody who does not know, so that it must not be; widened again. */
const HALVES: readonly Transaction[] = [
  changesOf(NARROW),
  changesOf(RAISE),
  changesOf(WIDEN, NARROW),
].map((changes, i) => {
  const stamp = { time: i + 1, origin: 'abc'[i] ?? '' }
  return { stamp, sequence: 1, seen: NOTHING, changes }
})

/** The row after all three came at once. */
function merged(createBatch: () => Batch): unknown {
  const db = database()
  db.exec('begin')
  new OrderedTransactions(db, new Map(), { ...PARTS, createBatch }).merge(HALVES)
  db.exec('commit')
  const row = Object.values(db.prepare('select low, high from slot').get() ?? {})
  db.close()
  return row
}

test('a change that breaks a CHECK is not saved by a later one', () => {
  deepEqual(
    merged(() => new Batch()),
    [1, 9],
  )
  // As it would be if they were applied as one: this is what the look at columns is for.
  class Careless extends Batch {
    override mayTake(footprint: Parameters<Batch['mayTake']>[0]): boolean {
      return super.mayTake({ ...footprint, checked: [] })
    }
  }
  deepEqual(
    merged(() => new Careless()),
    [5, 9],
  )
})

test('changes of a row with a CHECK go together if they have a column in common', () => {
  const db = database()
  const footprints = new Footprints(readCatalog(db))
  const [narrow, raise, both, rank, gone] = [
    NARROW,
    RAISE,
    'update slot set low = 2, high = 4',
    'update slot set rank = 1.5',
    'delete from slot',
  ].map((sql) => footprints.of(changesOf(sql)))
  if (!narrow || !raise || !both || !rank || !gone) return
  const may = (...some: (typeof narrow)[]) => {
    const batch = new Batch()
    return some.every((each) => {
      const may = batch.mayTake(each)
      batch.take(each)
      return may
    })
  }
  equal(may(narrow, narrow), true)
  equal(may(narrow, both, raise), true)
  equal(may(narrow, raise), false)
  // Of REALs SQLite takes 0.0 for -0.0.
  equal(may(rank, rank), false)
  equal(may(narrow, gone), false)
  equal(may(gone, narrow), false)
  equal(may(narrow, partly(narrow)), false)
  equal(may(partly(narrow), narrow), false)
  db.close()
})
