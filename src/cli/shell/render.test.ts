import { deepEqual, equal } from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Value } from '../../model/program.ts'
import { MODES, planLines, type RenderOptions, renderLines } from './render.ts'

const COLUMNS = ['id', 'name', 'area', 'note', 'picture']
const ROWS: readonly (readonly Value[])[] = [
  [1n, 'Zürich', 1, null, new Uint8Array([1, 255])],
  [9007199254740993n, "it's 東京", -0.25, 'two\nlines | "x"', new Uint8Array()],
  [-(2n ** 63n), '', Number.POSITIVE_INFINITY, '\x1b[31m', null],
]
const OPTIONS: Omit<RenderOptions, 'mode'> = {
  headers: null,
  nullText: null,
  separator: null,
  widths: [],
  table: 'city',
}

// If it fails: REWRITE=1 node --test src/cli/shell/render.test.ts, and look at the diff as a user
// would.
test('every mode', () => {
  const parts = MODES.flatMap((mode) => [
    `-- ${mode}`,
    ...renderLines(COLUMNS, ROWS, { ...OPTIONS, mode }),
    `-- ${mode}, headers on, NULL as ~`,
    ...renderLines(COLUMNS, ROWS.slice(0, 1), { ...OPTIONS, mode, headers: true, nullText: '~' }),
  ])
  const file = new URL('../golden/shell-modes.txt', import.meta.url)
  const text = `${parts.join('\n')}\n`
  if (process.env['REWRITE'] === '1') writeFileSync(file, text)
  equal(text, readFileSync(file, 'utf8'))
})

test('widths cut and align, separators separate', () => {
  const rows: Value[][] = [['abcdef', 'x']]
  const shown = { ...OPTIONS, mode: 'column', widths: [4, -3], headers: false } as const
  deepEqual(renderLines(['a', 'b'], rows, shown), ['abc…    x'])
  deepEqual(renderLines(['a', 'b'], rows, { ...OPTIONS, mode: 'list', separator: '::' }), [
    'abcdef::x',
  ])
  deepEqual(renderLines(['a'], [['x;"y']], { ...OPTIONS, mode: 'csv', separator: ';' }), [
    '"x;""y"',
  ])
})

test('results without rows or columns', () => {
  deepEqual(renderLines([], [], { ...OPTIONS, mode: 'json' }), [])
  deepEqual(renderLines(['a'], [], { ...OPTIONS, mode: 'json' }), ['[]'])
  deepEqual(renderLines(['a'], [], { ...OPTIONS, mode: 'box' }), [])
})

test('a query plan is a tree', () => {
  const rows: Value[][] = [
    [3n, 0n, 0n, 'SCAN a'],
    [7n, 0n, 0n, 'CORRELATED SCALAR SUBQUERY 1'],
    [9n, 7n, 0n, 'SEARCH b'],
  ]
  deepEqual(planLines(rows), [
    'QUERY PLAN',
    '|--SCAN a',
    '`--CORRELATED SCALAR SUBQUERY 1',
    '   `--SEARCH b',
  ])
})
