/** The index knows all that a late arrival may meet, whatever was rolled back, added or forgotten meanwhile. */
import { deepEqual, equal } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { NOTHING } from '../../core/order/clock/frontier.ts'
import { MergeTables } from './merge-tables.ts'
import { TailIndex } from './tail-index.ts'

const NO_BYTES = new Uint8Array()

/** Transactions whose only key is their time. */
function world(keysMax = 1_000) {
  const db = new DatabaseSync(':memory:')
  const tables = new MergeTables(db)
  const read: number[] = []
  const footprint = (time: number) => ({ written: [time], needed: [] })
  const tail = new TailIndex(
    db,
    tables,
    ({ stamp }) => {
      read.push(stamp.time)
      return footprint(stamp.time)
    },
    keysMax,
  )
  const transaction = (time: number) => ({
    stamp: { time, origin: 'a' },
    sequence: time,
    seen: NOTHING,
    changes: NO_BYTES,
    effect: null,
    reached: null,
  })
  return {
    ...{ db, tables, tail },
    /** Runs without the index being told. */
    put: (...times: number[]) => {
      for (const time of times) tables.add(transaction(time))
    },
    /** Runs, and the index is told. */
    ran: (time: number) => {
      tables.add(transaction(time))
      tail.add(transaction(time), footprint(time))
      tail.changed()
    },
    cover: (time: number, most = 1_000) => tail.cover({ time, origin: 'b' }, most),
    /** What was read since it was asked last. */
    read: () => read.splice(0),
    has: (...times: number[]) =>
      times.filter((time) => {
        let found = false
        tail.index?.eachLater(time, false, { time: 0, origin: '' }, () => {
          found = true
        })
        return found
      }),
  }
}

test('it is made where something is late, grows both ways, and reads nothing twice', () => {
  const { tail, put, ran, cover, read, has } = world()
  put(10, 20, 30, 40)
  equal(cover(45), true)
  equal(tail.index, null)
  equal(cover(25), true)
  deepEqual(
    [read(), has(10, 20, 30, 40)],
    [
      [30, 40],
      [30, 40],
    ],
  )
  ran(26)
  put(50)
  equal(cover(15), true)
  deepEqual(
    [read(), has(10, 20, 26, 30, 40, 50)],
    [
      [50, 20],
      [20, 26, 30, 40, 50],
    ],
  )
  equal(cover(35), true)
  deepEqual(read(), [])
})

test('what was added while nothing was late is read later', () => {
  const { put, ran, cover, read, has } = world()
  put(10, 20)
  cover(5)
  read()
  put(30)
  equal(cover(35), true)
  // It does not know of 30 now, so 40 must not make it believe that it has all.
  ran(40)
  cover(15)
  deepEqual(
    [read(), has(30, 40)],
    [
      [30, 40],
      [30, 40],
    ],
  )
})

test('in portions', () => {
  const { put, cover, read } = world()
  put(...Array.from({ length: 25 }, (_, i) => i + 1))
  deepEqual([cover(15, 4), cover(15, 4), cover(15, 4)], [false, false, true])
  equal(read().length, 10)
  deepEqual([cover(0, 9), cover(0, 9)], [false, true])
  equal(read().length, 15)
})

test('what was rolled back is not believed', () => {
  const { db, put, ran, cover, read, has } = world()
  put(10, 30)
  cover(5)
  read()
  db.exec('begin')
  ran(50)
  db.exec('rollback')
  put(40)
  cover(5)
  deepEqual(
    [read(), has(10, 30, 40, 50)],
    [
      [10, 30, 40],
      [10, 30, 40],
    ],
  )
  db.exec('begin; savepoint s')
  put(60)
  cover(5)
  db.exec('rollback to s; release s; commit')
  put(55)
  cover(5)
  deepEqual(has(40, 55, 60), [40, 55])
})

test('what is final goes, and too many keys are given up until something has gone', () => {
  const { tail, put, cover, read, has } = world(6)
  put(1, 2, 3, 4, 5)
  cover(0)
  tail.forget(2)
  deepEqual(has(1, 2, 3), [1, 2, 3])
  tail.forget(3)
  deepEqual(has(1, 2, 3, 4, 5), [4, 5])
  read()
  put(6, 7)
  cover(3)
  deepEqual(
    [read(), has(4, 5, 6, 7)],
    [
      [6, 7],
      [4, 5, 6, 7],
    ],
  )
  put(8, 9, 10)
  cover(3)
  equal(tail.index, null)
  equal(cover(3), true)
  read()
  equal(cover(3), true)
  deepEqual([read(), tail.index], [[], null])
  tail.forget(5)
  cover(5)
  deepEqual(has(6, 7, 8, 9, 10), [6, 7, 8, 9, 10])
})
