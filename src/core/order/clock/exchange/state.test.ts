import { equal } from 'node:assert/strict'
import { test } from 'node:test'
import { RULES } from './rules.ts'
import { State } from './state.ts'
import type { EntryHead, ExchangeOptions } from './types.ts'

const OPTIONS = { self: 'a', bufferBytesMax: 1, bufferEntriesMax: 1, windowEntriesMax: 1 }

function head(origin: string, sequence: number, time: number, first?: number): EntryHead {
  const common = { dependencies: new Map(), epoch: 1, answer: 'none', bytes: 1 } as const
  return { origin, sequence, time, first, ...common }
}

/** What is final for `a`, which promises 100, while an entry of `b` at 90 is not in the data yet. */
function finalWith(waiting: EntryHead): number {
  const members = {
    epoch: 1,
    origins: new Map(['a', 'b'].map((each) => [each, { kind: 'writes', since: 1 } as const])),
    floor: new Map(),
    zones: new Map(),
  }
  const state = {
    held: new Map([
      ['a', 1],
      ['b', 1],
    ]),
    applied: new Map([
      ['a', 1],
      ['b', 1],
    ]),
    base: new Map(),
    latest: [head('a', 1, 100), head('b', 1, 40)],
    wanted: new Map(),
    unapplied: [],
    stable: 0,
  }
  const clock = { nowMs: 0, wallMs: 0 }
  const made = new State(OPTIONS as unknown as ExchangeOptions, clock, members, state, RULES)
  made.unapplied.push(waiting)
  made.noteHeld({ head: waiting, via: 'b' })
  return made.finalTime()
}

test('what is not in the data yet holds back what is final, from its first transaction on', () => {
  equal(finalWith(head('b', 2, 90, 90)), 89)
  equal(finalWith(head('b', 2, 90, 60)), 59)
  // It may begin anywhere after the entry before it.
  equal(finalWith(head('b', 2, 90)), 40)
})
