import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SessionToken } from './request.ts'
import { decodeToken, encodeToken, joinTokens } from './token.ts'

test('a token comes back from its text', () => {
  const token = fc.record({
    cluster: fc.string({ minLength: 1 }),
    term: fc.maxSafeNat(),
    index: fc.maxSafeNat(),
  })
  const property = fc.property(token, (each) => {
    const text = encodeToken(each)
    assert.match(text, /^[\w-]+$/)
    assert.deepEqual(decodeToken(text), { ...each })
  })
  fc.assert(property, { seed: 42 })
})

test('a token of several origins comes back from its text', () => {
  const name = fc.stringMatching(/^[!-~]{1,64}$/)
  const seen = fc.uniqueArray(fc.tuple(name, fc.integer({ min: 1 })), { selector: ([key]) => key })
  const token = fc.record(
    {
      cluster: fc.string({ unit: 'grapheme' }),
      term: fc.maxSafeNat(),
      index: fc.maxSafeNat(),
      origins: fc.record({ self: name, seen }, { noNullPrototype: true }),
    },
    { noNullPrototype: true },
  )
  const property = fc.property(token, (each) => {
    const text = encodeToken(each)
    assert.match(text, /^[\w-]+$/)
    assert.deepEqual(decodeToken(text), each)
  })
  fc.assert(property, { seed: 42 })
})

const seen = (self: string, term: number, index: number, pairs: Record<string, number>) => {
  return { cluster: 'c', term, index, origins: { self, seen: Object.entries(pairs) } }
}

test('with one leader the later of two tokens counts', () => {
  const old: SessionToken = { cluster: 'c', term: 2, index: 9 }
  assert.equal(joinTokens(null, old), old)
  for (const [term, index, later] of [
    [2, 10, true],
    [3, 1, true],
    [2, 8, false],
    [1, 99, false],
  ] as const) {
    const answered = { cluster: 'c', term, index }
    assert.equal(joinTokens(old, answered), later ? answered : old)
  }
})

test('of several origins a session has seen what it saw of each, wherever it asked', () => {
  const east = seen('east', 2, 9, { east: 5, west: 3 })
  const late = seen('east', 2, 8, { east: 4, west: 4 })
  assert.deepEqual(joinTokens(east, late), seen('east', 2, 9, { east: 5, west: 4 }))
  const west = seen('west', 1, 1, { west: 7, south: 1 })
  assert.deepEqual(joinTokens(east, west), seen('west', 1, 1, { east: 5, west: 7, south: 1 }))
})

test('other texts are refused', () => {
  const json = ['[]', '["c",1,1,"a b",[]]', '["c",1,1,"a",[["a",0]]]', '["c",1,-1,"a",[]]', '[1']
  const made = [...json, '1.2', '1.2.', 'a.2.c', '-1.2.c', '1.9007199254740993.c']
  const texts = ['', '!', 'AAA', 'café', ...made.map((text) => btoa(text))]
  for (const text of texts) {
    assert.throws(() => decodeToken(text), { code: 'BAD_REQUEST' }, text)
  }
})
