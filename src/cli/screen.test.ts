import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { Screen } from './screen.ts'

test('a terminal that does not know its size is taken for one of 80 by 24', () => {
  const size = (known: object): readonly number[] => {
    const { width, height } = new Screen({ isTTY: true, write() {}, ...known })
    return [width, height]
  }
  deepEqual(size({ columns: 132, rows: 50 }), [132, 49])
  deepEqual(size({}), [80, 23])
  deepEqual(size({ columns: 0, rows: 0 }), [80, 23])
})

test('what is no terminal has no width', () => {
  equal(new Screen({ write() {} }).width, Number.POSITIVE_INFINITY)
})
