import { deepEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { ROWID_PLACE } from './changeset.ts'
import { concatenate } from './changeset-bytes.ts'
import { encodeImages, encodeSection } from './changeset-writer.ts'
import { rowChanges } from './row-changes.ts'

const byRowid = { name: 't', key: [ROWID_PLACE, 1, 0], fixed: [true, true, false] }
const byKey = { name: 'w', key: [2, 1, 0], fixed: [true, true, true] }

const short = (bytes: Uint8Array) =>
  rowChanges({ kind: 'rows', bytes }).map(({ table, op, before, after, byRowid: by }) => [
    ...[table, op, by, before, after],
  ])

test('a row that was deleted and inserted again is one that was updated', () => {
  const bytes = concatenate([
    encodeSection(byRowid, [
      { before: [1n, 'a', 7n], after: [1n, 'b', 7n] },
      { before: [2n, 'c', 1n], after: [2n, 'c', 2n] },
      { before: [3n, null, 1n], after: null },
      { before: null, after: [4n, 'd', 1n] },
    ]),
    encodeSection(byKey, [
      { before: [1n, 'x', 1n], after: [1n, 'x', 2n] },
      { before: [1n, 'y', 1n], after: null },
      { before: null, after: [1, 'y', 1n] },
    ]),
  ])
  deepEqual(short(bytes), [
    ['t', 'update', true, [1n, 'a', 7n], [undefined, 'b', undefined]],
    ['t', 'delete', true, [3n, null, 1n], null],
    ['t', 'update', true, [2n, 'c', 1n], [undefined, undefined, 2n]],
    ['t', 'insert', true, null, [4n, 'd', 1n]],
    ['w', 'update', false, [1n, 'x', 1n], [undefined, undefined, 2n]],
    ['w', 'delete', false, [1n, 'y', 1n], null],
    ['w', 'insert', false, null, [1, 'y', 1n]],
  ])
})

test('making room for a row is no change of its own', () => {
  const bytes = encodeImages(byRowid, [
    { key: [1n], row: [1n, 'a', 7n] },
    { key: [2n], row: null },
  ])
  deepEqual(short(bytes), [
    ['t', 'delete', true, [2n, undefined, undefined], null],
    ['t', 'insert', true, null, [1n, 'a', 7n]],
  ])
})
