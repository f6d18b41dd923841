import { equal } from 'node:assert/strict'
import { test } from 'node:test'
import { tableName } from './table-name.ts'

function read(...names: readonly string[]): readonly string[] {
  const bytes = new TextEncoder().encode(names.map((name) => `${name}\0`).join(''))
  let start = 0
  return names.map(() => {
    const name = tableName(bytes, start)
    start = bytes.indexOf(0, start) + 1
    return name
  })
}

test('names are told apart, also where one begins with another, and those beyond what is kept', () => {
  const many = Array.from({ length: 200 }, (_, i) => `table ${i % 150}`)
  const names = ['city', 'cit', 'city_name', '', 'Größe', '名', 'cit', ...many, 'city']
  for (const [i, name] of read(...names).entries()) equal(name, names[i])
})
