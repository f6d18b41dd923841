import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toAckLevel, toReadLevel } from './levels.ts'

const BY_ZONE = ['local-quorum', 'each-quorum']

test('levels by name, and numbers as numbers and as texts', () => {
  for (const level of ['local', 'majority', 'quorum', ...BY_ZONE, 'all', 'stable', 1, 7, 1024]) {
    assert.equal(toAckLevel(level), level)
  }
  for (const level of ['local', 'session', 'quorum', ...BY_ZONE, 'strong', 2]) {
    assert.equal(toReadLevel(level), level)
  }
  assert.equal(toAckLevel('12'), 12)
  assert.equal(toReadLevel('3'), 3)
})

test('everything else is refused with what there is', () => {
  const wrong = [
    '',
    'MAJORITY',
    'session ',
    '0',
    '-1',
    '1.5',
    '1e3',
    '1025',
    0,
    1.5,
    Number.NaN,
    {},
  ]
  for (const value of [...wrong, null, undefined, true, ['local'], 'session']) {
    assert.throws(() => toAckLevel(value), { code: 'BAD_REQUEST', message: /local, .*stable or/ })
  }
  for (const value of [...wrong, null, undefined, true, 'majority', 'stable', 'all']) {
    assert.throws(() => toReadLevel(value), { code: 'BAD_REQUEST', message: /local, .*strong or/ })
  }
})
