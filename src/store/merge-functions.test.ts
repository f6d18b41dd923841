import { deepEqual, equal, rejects } from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadMergeFunctions } from './merge-functions.ts'

test('merge functions are what a module exports; what is no such module is refused', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-functions-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text)
    return join(dir, name)
  }
  const good = file('good.mjs', 'export const a = (b, o, t) => o + t - b; export const other = 1')
  const functions = await loadMergeFunctions(good)
  deepEqual([...functions.keys()], ['a'])
  equal(functions.get('a')?.(1n, 3n, 5n), 7n)
  const bad = [join(dir, 'none.mjs'), file('empty.mjs', ''), file('broken.mjs', 'export const =')]
  for (const path of bad) await rejects(loadMergeFunctions(path), { code: 'BAD_CONFIG' })
})
