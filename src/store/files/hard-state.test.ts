import { deepEqual, equal, match, throws } from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { toNodeId, toTerm } from '../../base/brand.ts'
import {
  drawNodeId,
  loadHardState,
  loadIdentity,
  openFolder,
  resolveIdentity,
  saveHardState,
  saveIdentity,
} from './hard-state.ts'

const base = mkdtempSync(join(tmpdir(), 'quorate-hard-'))
const folder = openFolder(join(base, 'shop.db'))
after(() => rmSync(base, { recursive: true }))

const a = toNodeId('a:00000001')
const file = { cluster: 'c1', node: a }

test('term and vote come back as saved', () => {
  equal(loadHardState(folder), null)
  for (const vote of [null, a]) {
    saveHardState(folder, { term: toTerm(7), vote })
    deepEqual(loadHardState(folder), { term: 7, vote })
  }
  deepEqual(readdirSync(folder), ['vote'], 'no temporary file is left')
})

test('any damage to the vote is an error, never another vote', () => {
  saveHardState(folder, { term: toTerm(7), vote: a })
  const path = join(folder, 'vote')
  const good = readFileSync(path)
  for (let i = 0; i < good.length; i += 1) {
    const bad = Buffer.from(good)
    bad[i] = (bad[i] ?? 0) ^ 1
    writeFileSync(path, bad)
    // The very last byte is the newline after the checksum.
    if (i === good.length - 1) continue
    throws(() => loadHardState(folder), { code: 'LOG_CORRUPT' }, `byte ${i}`)
    writeFileSync(path, good.subarray(0, i))
    throws(() => loadHardState(folder), { code: 'LOG_CORRUPT' }, `cut at ${i}`)
  }
})

test('an identity is drawn once and kept', () => {
  match(drawNodeId('a'), /^a:[0-9a-f]{8}$/)
  equal(loadIdentity(folder), null)
  saveIdentity(folder, { id: a, cluster: null })
  deepEqual(loadIdentity(folder), { id: a, cluster: null })
  saveIdentity(folder, { id: a, cluster: 'c1' })
  deepEqual(loadIdentity(folder), { id: a, cluster: 'c1' })
  equal(openFolder(join(base, 'shop.db')), folder)
})

test('a file goes on as a member only where its folder says the same', () => {
  const member = { kind: 'member', id: a, cluster: 'c1' }
  deepEqual(resolveIdentity(file, { id: a, cluster: 'c1' }), member)
  deepEqual(resolveIdentity(file, { id: a, cluster: null }), member, 'crashed while joining')
})

test('a fresh file is nobody yet', () => {
  deepEqual(resolveIdentity(null, null), { kind: 'new', id: null })
  deepEqual(resolveIdentity(null, { id: a, cluster: null }), { kind: 'new', id: a })
})

test('a copied, restored or replaced file is a copy', () => {
  const b = toNodeId('b:00000002')
  for (const [inFile, inFolder] of [
    [file, null],
    [file, { id: b, cluster: 'c1' }],
    [file, { id: a, cluster: 'c2' }],
    [null, { id: a, cluster: 'c1' }],
  ] as const) {
    const verdict = resolveIdentity(inFile, inFolder)
    equal(verdict.kind, 'copy')
    if (verdict.kind === 'copy') deepEqual(verdict.was, file)
  }
})
