import { equal } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex as at } from '../../base/brand.ts'
import { Seen } from './seen.ts'

test('what was seen at an index is at least what was in the data there', () => {
  const seen = new Seen(at(10), new Map([['b', 1]]))
  seen.extend(at(11), 'a', 1)
  seen.note(at(15), new Map(Object.entries({ a: 1, b: 5 })))
  seen.extend(at(16), 'a', 2)
  equal(seen.at(at(3)).get('b'), 1)
  equal(seen.at(at(11)).get('b'), 1)
  equal(seen.at(at(12)).get('b'), 5)
  equal(seen.at(at(12)).get('a'), 1)
  equal(seen.at(at(99)).get('a'), 2)
  // Not yet committed, and it may be taken back: whoever saw what is before has not seen it.
  seen.extend(at(20), 'a', 3)
  equal(seen.at(at(19)).get('a'), 2)
})

test('the last index that others hold everything of', () => {
  const seen = new Seen(at(1), new Map())
  for (let i = 1; i <= 20_000; i += 1) seen.extend(at(i + 1), 'a', i)
  const within = (held: number) => seen.within((frontier) => (frontier.get('a') ?? 0) <= held)
  equal(within(20_000), 20_001)
  equal(within(19_990), 19_991)
  const old = within(5_000) ?? 0
  equal(old <= 5_001 && old > 0, true)
})

test('what was cut off was not seen', () => {
  const seen = new Seen(at(1), new Map([['a', 1]]))
  seen.extend(at(2), 'a', 2)
  seen.truncate(at(1))
  equal(seen.at(at(2)).get('a'), 1)
  seen.note(at(1), new Map([['a', 1]]))
  equal(seen.latest.frontier.get('a'), 1)
})
