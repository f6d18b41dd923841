import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeToken, encodeToken } from './token.ts'

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

test('other texts are refused', () => {
  const made = ['1.2', '1.2.', 'a.2.c', '-1.2.c', '1.9007199254740993.c']
  const texts = ['', '!', 'AAA', 'café', ...made.map((text) => btoa(text))]
  for (const text of texts) {
    assert.throws(() => decodeToken(text), { code: 'BAD_REQUEST' }, text)
  }
})
