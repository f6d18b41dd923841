/** Rules about the code itself that a machine can check, so that no review has to. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ERRORS } from '../src/base/errors.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SOURCES = typescriptFiles('src')
const TESTS = typescriptFiles('test')

/** Each layer and those that it may import; the rest of the tree composes and may import all. */
const LOWER: Readonly<Record<string, readonly string[]>> = {
  base: [],
  model: ['base'],
  core: ['base', 'model'],
  store: ['base', 'model', 'core'],
  net: ['base', 'model', 'core', 'store'],
  node: ['base', 'model', 'core', 'store', 'net'],
  server: ['base', 'model', 'core', 'store', 'net', 'node'],
  client: ['base', 'model'],
  drivers: ['base', 'model', 'client'],
}
const COMPOSING = ['bench', 'cli', 'host', 'sim']

const BANNED_IN_CORE = [
  /'node:/,
  /\bDate\b/,
  /\bperformance\b/,
  /\bMath\.random\b/,
  /\bcrypto\b/,
  /\basync\b/,
  /\bawait\b/,
  /\bPromise\b/,
  /\bset(Timeout|Interval|Immediate)\b/,
  /\bprocess\b/,
]
const LINES_MAX = 600

function typescriptFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/(^|\/)(node_modules|generated)\//.test(name))
    .map((name) => join(folder, name))
    .sort()
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** Crude on purpose: a false alarm here is cured by writing the line differently. */
function withoutComments(source: string): string {
  return source.replaceAll(/(^|[^:])\/\/.*|\/\*[\s\S]*?\*\//g, '$1')
}

/** Everything that a file imports, statically, dynamically or only as types. */
function importsOf(source: string): string[] {
  const pattern = /\bfrom\s+'([^']+)'|\bimport\s+'([^']+)'|\bimport\('([^']+)'\)/g
  return [...withoutComments(source).matchAll(pattern)].map(([, a, b, c]) => a ?? b ?? c ?? '')
}

/** The folder under src/ that a file belongs to; '' for the files right in src/. */
function layerOf(file: string): string {
  const parts = file.split('/')
  return parts.length > 2 ? (parts[1] ?? '') : ''
}

function isTest(file: string): boolean {
  return file.endsWith('.test.ts') || file.includes('/testing/')
}

test('every folder of src/ is a layer with a place', () => {
  const known = new Set([...Object.keys(LOWER), ...COMPOSING, ''])
  deepEqual(
    SOURCES.filter((file) => !known.has(layerOf(file))),
    [],
  )
})

test('imports only point down', () => {
  const wrong: string[] = []
  for (const file of SOURCES) {
    const layer = layerOf(file)
    const allowed = LOWER[layer]
    if (allowed === undefined || isTest(file)) continue
    for (const path of importsOf(read(file))) {
      if (!path.startsWith('.')) continue
      const target = normalize(join(dirname(file), path))
      const fine = layerOf(target) === layer || allowed.includes(layerOf(target))
      if (!fine || !target.startsWith('src/')) wrong.push(`${file} imports ${target}`)
    }
  }
  deepEqual(wrong, [])
})

test('the core does no I/O, reads no clock and draws no chance', () => {
  const wrong: string[] = []
  for (const file of SOURCES) {
    if (layerOf(file) !== 'core' || isTest(file)) continue
    const source = withoutComments(read(file))
    for (const word of BANNED_IN_CORE) if (word.test(source)) wrong.push(`${file}: ${word}`)
  }
  deepEqual(wrong, [])
})

test('the client runs in browsers: only its Node transport knows Node', () => {
  const wrong: string[] = []
  for (const file of SOURCES) {
    if (layerOf(file) !== 'client' || isTest(file) || file.endsWith('/node-transport.ts')) continue
    for (const path of importsOf(read(file))) {
      if (!path.startsWith('.') || path.endsWith('/node-transport.ts'))
        wrong.push(`${file}: ${path}`)
    }
    if (/\b(Buffer|process)\b/.test(withoutComments(read(file)))) wrong.push(`${file}: Node global`)
  }
  deepEqual(wrong, [])
})

test('no file is too long to be read', () => {
  const long = [...SOURCES, ...TESTS].filter((file) => read(file).split('\n').length > LINES_MAX)
  deepEqual(long, [], `at most ${LINES_MAX} lines: split by purpose`)
})

test('every file says what it is for', () => {
  const silent = [...SOURCES, ...TESTS].filter(
    (file) => !isTest(file) && !/^\s*\/\*\*|^\s*\/\//m.test(read(file)),
  )
  deepEqual(silent, [])
})

test('docs/errors.md and the error table list the same codes', () => {
  const page = read('docs/errors.md')
  const documented = [...page.matchAll(/^### ([A-Z_]+)$/gm)].map((match) => match[1] ?? '')
  deepEqual(documented.toSorted(), Object.keys(ERRORS).sort())
})

test('docs/errors.md gives the status and the retry of each code', () => {
  const page = read('docs/errors.md')
  for (const [code, { status, retry }] of Object.entries(ERRORS)) {
    const heading = `### ${code}\n\nHTTP ${status}, retry: ${retry}.`
    ok(page.includes(heading), `docs/errors.md should say:\n${heading}`)
  }
  equal(page.includes('TODO'), false)
})
