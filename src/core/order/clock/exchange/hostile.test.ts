/**
 * Messages that no sound peer sends: what can't be true is dropped, lies cost time, nothing stops.
 */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import { type Prng, prngFromSeed } from '../../../../base/prng.ts'
import type { Frontier } from '../frontier.ts'
import { isSound } from './gate.ts'
import { graphOf } from './test-graphs.ts'
import { TestWorld } from './test-world.ts'
import type { ExchangeEntry, ExchangeMessage } from './types.ts'

const ODD = [0, -1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 52 + 1]

function settled(): TestWorld {
  const names = ['a', 'b', 'c']
  const world = new TestWorld({ names, edges: graphOf('chain', names) })
  for (const name of names) world.write(name)
  world.run(1_000)
  return world
}

function entryOf(more: Partial<ExchangeEntry>): ExchangeEntry {
  const body = new Uint8Array(3)
  const dependencies = new Map()
  const head = { origin: 'c', sequence: 9, time: 1, dependencies, epoch: 0, bytes: 3 } as const
  return { ...head, answer: 'soon', body, ...more }
}

test('what no honest writer says does not pass the gate', () => {
  const entries = (more: Partial<ExchangeEntry>): ExchangeMessage => {
    return { kind: 'entries', request: null, held: new Map(), entries: [entryOf(more)] }
  }
  ok(isSound(entries({})))
  for (const odd of ODD) {
    const held = new Map([['a', odd]])
    equal(isSound(entries({ sequence: odd })), false)
    equal(isSound(entries({ dependencies: held })), false)
    const digest = { kind: 'digest', seen: new Map(), links: [], answer: false } as const
    equal(isSound({ ...digest, held }), false)
    equal(isSound({ kind: 'gone', request: 1, base: held }), false)
    const ranges = [{ origin: 'a', first: odd, last: 5 }]
    equal(isSound({ kind: 'ask', request: 1, ranges, bytesMax: 1, entriesMax: 1 }), false)
  }
  equal(isSound(entries({ origin: '' })), false)
  equal(isSound(entries({ bytes: 4 })), false)
  equal(isSound(entries({ dependencies: new Map([['c', 8]]) })), false)
  equal(isSound(entries({ time: Number.MAX_SAFE_INTEGER })), false)
  const many: Frontier = new Map(Array.from({ length: 5_000 }, (_, i) => [`o${i}`, 1]))
  equal(isSound({ kind: 'probed', id: 1, held: many }), false)
})

test('a broken promise: the entry is refused, its origin named, and everyone else goes on', () => {
  const world = settled()
  const { exchange } = world.group('a')
  const last = exchange.held.get('c') ?? 0
  const entries = [entryOf({ sequence: last + 1, time: exchange.stable })]
  const message = { kind: 'entries', request: null, held: new Map(), entries } as const
  world.step('a', { kind: 'message', from: 'b', message })
  world.run(100)
  equal(exchange.held.get('c'), last)
  deepEqual(world.group('a').alarms, ['broken c'])
  const entry = world.write('b')
  world.run(1_000)
  ok(entry !== null && exchange.held.get('b') === entry.sequence)
})

test('a peer that has nothing of what it says is asked less and less, and the others serve', () => {
  const names = ['a', 'b', 'c']
  const world = new TestWorld({ names, edges: graphOf('mesh', names) })
  world.settle()
  const digest = { kind: 'digest', seen: new Map(), links: [], answer: false } as const
  const message = { ...digest, held: new Map([['c', 1_000_000]]) }
  world.step('a', { kind: 'message', from: 'b', message })
  const { messagesSent } = world
  world.run(10_000)
  ok(world.messagesSent - messagesSent < 40, `${world.messagesSent - messagesSent} messages`)
  deepEqual(world.group('a').alarms, ['gap c'])
  world.write('c')
  world.run(500)
  equal(world.group('a').exchange.held.get('c'), 1)
})

test('a flood of entries that nothing can be done with stays within bounds', () => {
  const world = settled()
  for (let i = 0; i < 1_000; i += 1) {
    const entries = [entryOf({ sequence: 100 + i, time: 2 ** 50 + i })]
    const message = { kind: 'entries', request: null, held: new Map(), entries } as const
    // The bound is checked after every step (X5).
    world.step('a', { kind: 'message', from: 'b', message })
  }
  const entry = world.write('b')
  world.run(1_000)
  equal(world.group('a').exchange.held.get('b'), entry?.sequence)
})

test('random messages stop no group', () => {
  for (let seed = 0; seed < 200; seed += 1) {
    const prng = prngFromSeed(seed)
    const world = settled()
    for (let i = 0; i < 40; i += 1) {
      const [to, from] = prng.pick([
        ['a', 'b'],
        ['b', 'a'],
        ['b', 'c'],
        ['a', 'x'],
      ])
      if (to === undefined || from === undefined) continue
      world.step(to, { kind: 'message', from, message: randomMessage(prng) })
      if (prng.percent(30)) world.advance(50)
      if (prng.percent(30)) world.store(to)
    }
  }
})

function randomMessage(prng: Prng): ExchangeMessage {
  const number = (): number => (prng.percent(10) ? prng.pick(ODD) : prng.intInclusive(1, 6))
  const origin = (): string => prng.pick(['a', 'b', 'c', 'x', ''])
  const frontier = (): Frontier => {
    return new Map(Array.from({ length: prng.intInclusive(0, 4) }, () => [origin(), number()]))
  }
  const range = () => ({ origin: origin(), first: number(), last: number() })
  const list = <T>(make: () => T): T[] => Array.from({ length: prng.intInclusive(0, 4) }, make)
  const entry = (): ExchangeEntry => {
    const time = prng.percent(50) ? prng.intInclusive(0, 2 ** 50) : 1_001_000_000 + number()
    const dependencies = prng.percent(50) ? new Map() : frontier()
    const epoch = prng.percent(90) ? 0 : number()
    return entryOf({ origin: origin(), sequence: number(), time, dependencies, epoch })
  }
  const request = number()
  switch (prng.pick(['digest', 'ask', 'entries', 'gone', 'probe', 'probed'] as const)) {
    case 'digest':
      return {
        kind: 'digest',
        held: frontier(),
        seen: frontier(),
        links: list(origin),
        answer: prng.percent(50),
      }
    case 'ask':
      return { kind: 'ask', request, ranges: list(range), bytesMax: number(), entriesMax: number() }
    case 'entries':
      return { kind: 'entries', request, held: frontier(), entries: list(entry) }
    case 'gone':
      return { kind: 'gone', request, base: frontier() }
    case 'probe':
      return { kind: 'probe', id: request }
    default:
      return { kind: 'probed', id: request, held: frontier() }
  }
}
