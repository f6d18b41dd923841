import { equal, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { parseSeed } from './seed-fixture.ts'

test('a seed is a whole number of 32 bits', () => {
  equal(parseSeed('17'), 17)
  equal(parseSeed(String(2 ** 32 + 3)), 3)
  for (const text of ['', 'abc', '-1', '1.5']) throws(() => parseSeed(text), /not a seed/)
})
