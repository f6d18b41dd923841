import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RawText } from '../../model/exact-value.ts'
import { cellsFromJson, rowToJson } from './row-json.ts'

test('values read back alike, and most can be read by SQL as they are', () => {
  const blob = new Uint8Array([0, 255])
  const row = [1n, -5n, 2n ** 62n, 1, 1.5, -0, Number.POSITIVE_INFINITY, 'a', null, blob, undefined]
  const json = rowToJson(row)
  equal(
    json,
    '[1,-5,{"i":"4611686018427387904"},{"f":"1"},1.5,{"f":"-0"},{"f":"Infinity"},"a",null,{"b":"AP8="},{}]',
  )
  deepEqual(cellsFromJson(json), row)
  const text = new RawText(new Uint8Array([0xff]))
  deepEqual(cellsFromJson(rowToJson([text])), [text])
})

test('numbers of any kind read back alike', () => {
  const number = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.double())
  fc.assert(
    fc.property(fc.array(number), (row) => {
      const numbers = row.filter((value) => !Number.isNaN(value))
      deepEqual(cellsFromJson(rowToJson(numbers)), numbers)
    }),
  )
})
