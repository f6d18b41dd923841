import { equal, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { commitSeed, parseSeed } from './seed-fixture.ts'

test('a seed is a number or a commit', () => {
  equal(parseSeed('17'), 17)
  equal(parseSeed(`${'0'.repeat(32)}000000ff`), 255)
  for (const text of ['', 'abc', '-1', '1.5']) throws(() => parseSeed(text), /not a seed/)
  equal(commitSeed(), commitSeed())
})
