import { deepEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex, toTerm } from '../base/brand.ts'
import { type HoldLevel, type LogProgress, Waiting } from './waiting.ts'

/** A log whose positions a test sets by hand. */
function fakeLog(): LogProgress & {
  at: (commit: number, held: number[], terms: number[]) => void
} {
  let state = { commit: 0, held: [0], terms: [] as number[] }
  return {
    at: (commit, held, terms) => {
      state = { commit, held, terms }
    },
    get commit() {
      return toLogIndex(state.commit)
    },
    get durable() {
      return toLogIndex(state.held[0] ?? 0)
    },
    termAt: (index) => {
      const term = state.terms[index - 1]
      return term === undefined ? null : toTerm(term)
    },
    ackedBy: (index) => state.held.filter((held) => held >= index).length,
    heldByAll: (index) => state.held.every((held) => held >= index),
  }
}

function watch(waiting: Waiting, log: LogProgress) {
  const fates: string[] = []
  const add = (name: string, index: number, term: number, ack: HoldLevel, deadline = 100): void => {
    const done = (fate: string): void => {
      fates.push(`${name} ${fate}`)
    }
    waiting.add({ index: toLogIndex(index), term: toTerm(term), ack, deadline, done })
  }
  const check = (): string[] => {
    waiting.check(log)
    return fates.splice(0)
  }
  return { add, check, fates }
}

test('each ack level is answered exactly when it is reached', () => {
  const log = fakeLog()
  const waiting = new Waiting()
  const { add, check } = watch(waiting, log)
  for (const ack of ['local', 2, 'majority', 'all'] as const) add(String(ack), 1, 1, ack)
  log.at(0, [0, 1, 0], [1])
  deepEqual(check(), [])
  log.at(0, [1, 0, 0], [1])
  deepEqual(check(), ['local safe'])
  log.at(0, [1, 1, 0], [1])
  deepEqual(check(), ['2 safe'])
  log.at(1, [1, 1, 0], [1])
  deepEqual(check(), ['majority safe'])
  log.at(1, [1, 1, 1], [1])
  deepEqual(check(), ['all safe'])
  deepEqual(waiting.size, 0)
})

test('an entry that was cut off is taken back only when another is committed in its place', () => {
  const log = fakeLog()
  const waiting = new Waiting()
  const { add, check } = watch(waiting, log)
  log.at(0, [2, 0, 0], [1, 1])
  add('cut', 2, 1, 'majority')
  waiting.truncate(toLogIndex(1))
  log.at(1, [1, 1, 1], [1])
  deepEqual(check(), [], 'another replica may still bring it back')
  log.at(2, [2, 2, 2], [1, 3])
  deepEqual(check(), ['cut takenBack'])
})

test('an entry that was cut off and came back is safe', () => {
  const log = fakeLog()
  const waiting = new Waiting()
  const { add, check } = watch(waiting, log)
  add('back', 2, 1, 'all')
  waiting.truncate(toLogIndex(1))
  log.at(2, [2, 2, 2], [1, 1])
  deepEqual(check(), ['back safe'])
})

test('what waits behind a cut entry is not held up by it', () => {
  const log = fakeLog()
  const waiting = new Waiting()
  const { add, check } = watch(waiting, log)
  add('old', 9, 1, 'majority')
  waiting.truncate(toLogIndex(1))
  add('new', 2, 2, 'majority')
  log.at(2, [2, 2, 2], [1, 2])
  deepEqual(check(), ['new safe'])
})

test('a deadline turns into unknown, never into something else', () => {
  const log = fakeLog()
  const waiting = new Waiting()
  const { add, fates } = watch(waiting, log)
  add('early', 1, 1, 'majority', 10)
  add('late', 1, 1, 'all', 20)
  waiting.expire(10)
  deepEqual(fates.splice(0), ['early unknown'])
  waiting.abandon()
  deepEqual(fates.splice(0), ['late unknown'])
})
