/** Rows are read once, changed in memory, and read again after they were dropped. */
import { deepEqual, equal } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { present } from '../../base/assert.ts'
import { readCatalog } from './catalog.ts'
import { RowMemory } from './row-memory.ts'
import type { Row } from './table-rows.ts'

test('a row is read once, and as it will be', () => {
  const db = new DatabaseSync(':memory:')
  db.exec(
    'create table a (id integer primary key, v); create table b (k text, l int, v, primary key (k, l))',
  )
  const catalog = readCatalog(db)
  const [a, b] = ['a', 'b'].map((name) => present(catalog.get(name), () => name))
  if (a === undefined || b === undefined) return
  const asked: Row[] = []
  const memory = new RowMemory({
    find: (_, key) => {
      asked.push(key)
      return [...key, 'read']
    },
  })
  equal(memory.isEmpty, true)
  deepEqual(memory.find(a, [1n]), [1n, 'read'])
  deepEqual(memory.find(a, [1n]), [1n, 'read'])
  memory.put(a, [1n], [1n, 'put'])
  deepEqual(memory.find(a, [1n]), [1n, 'put'])
  deepEqual(memory.find(b, ['1', 2n]), ['1', 2n, 'read'])
  memory.put(b, ['1', 2n], null)
  equal(memory.find(b, ['1', 2n]), null)
  deepEqual(memory.find(b, ['2', 2n]), ['2', 2n, 'read'])
  equal(asked.length, 3)
  memory.drop(a, [1n])
  memory.drop(a, [7n])
  deepEqual(memory.find(a, [1n]), [1n, 'read'])
  memory.learn([17, 4])
  deepEqual([memory.mayKnow([4]), memory.mayKnow([5])], [true, false])
  equal(memory.isFull, false)
  memory.put(a, [1n], [1n, 'long '.repeat(4_000_000)])
  equal(memory.isFull, true)
  memory.clear()
  equal(memory.isFull, false)
  deepEqual([memory.isEmpty, memory.mayKnow([4])], [true, false])
  db.close()
})
