import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { StoredConflict } from '../store/merge/replay.ts'
import { ratesBetween } from './cluster-view.ts'
import { checkLines } from './commands/check.ts'
import { detachLines } from './commands/detach.ts'
import { explain, explainConfig, explanationLines, readOptions } from './commands/explain.ts'
import { groupLines } from './commands/groups.ts'
import { memberLines } from './commands/members.ts'
import { placeOf, ruleLines } from './commands/rules.ts'
import { resultLines } from './commands/sql.ts'
import { statusLines } from './commands/status.ts'
import type { ConflictTable } from './conflict-reader.ts'
import { conflictId, conflictLines, jsonOf, listLines, parseId } from './conflict-view.ts'
import { type DemoView, demoLines, plainLine } from './demo/view.ts'
import { clip, coloured, plain, printable, tableLines, textWidth } from './terminal.ts'
import { memberStatus, nodeSample, nodeStatus } from './testing.ts'
import { groupsLines, toReport } from './verify-groups.ts'
import { verifyLines } from './verify-view.ts'

// If one of these fails: REWRITE=1 node --test src/cli/views.test.ts, and look at the diff as a
// user would.
function golden(name: string, lines: readonly string[]): void {
  const file = new URL(`./golden/${name}.txt`, import.meta.url)
  const text = `${lines.join('\n')}\n`
  if (process.env['REWRITE'] === '1') writeFileSync(file, text)
  equal(text, readFileSync(file, 'utf8'))
}

const BEHIND = nodeStatus('b', {
  log: { first: 1, last: 1230, durable: 1230, committed: 1200, applied: 34 },
  alarms: ['The disk is 95 % full.'],
  lostFiles: 2,
})

test('status of a cluster where one node is behind and one is gone', () => {
  const nodes = [
    nodeSample('a', { rates: { reads: 1234.5, writes: 10_000 } }),
    nodeSample('b', { status: BEHIND }),
    nodeSample('c', { status: null }),
  ]
  golden('status', statusLines({ from: nodeStatus('a'), nodes }, plain))
})

test('members, one on its way to vote and one without a link', () => {
  const members = [
    memberStatus('a'),
    memberStatus('b', { connected: false, priority: 10 }),
    memberStatus('c', { role: 'learner', wants: 'voter' }),
  ]
  golden('members', memberLines(members, plain))
})

test('an explanation names numbers, not generalities', () => {
  const members = [
    memberStatus('a'),
    memberStatus('b', { connected: false }),
    memberStatus('c'),
    memberStatus('d'),
    memberStatus('e', { role: 'learner', wants: 'learner' }),
  ]
  const explanation = explain(nodeStatus('a', { members }))
  equal(explanation.majority, 3)
  equal(explanation.survives, 1)
  equal(explanation.survivesNow, 0)
  golden('explain', explanationLines(explanation, plain))
})

const OTHERS = ['east', 'west', 'north'].map((name, at) => ({
  name,
  origin: `${name}-1a2b3${at}`,
  standing: 'writes' as const,
  zone: null,
  nodes: [{ id: `${name}1:00000000`, name: `${name}1`, url: `http://10.0.${at}.1:7001` }],
  applied: 1000 + at,
  linked: name !== 'north',
  cut: name === 'north',
  cutThere: false,
  unknownTo: [] as readonly string[],
  behind: name === 'west' ? 17 : 0,
}))
const ORIGINS = {
  ...({ strategy: 'multi-leader', group: 'east', keeper: 'east', epoch: 3 } as const),
  ...{ groups: OTHERS, held: false, stableLagMs: 1234 },
}

test('what several groups promise, and what a cluster of peers', () => {
  const status = nodeStatus('a', { origins: ORIGINS })
  golden('explain-groups', explanationLines(explain(status), plain))
  const peers = { ...ORIGINS, strategy: 'peer' as const }
  const members = [memberStatus('a')]
  golden(
    'explain-peers',
    explanationLines(explain(nodeStatus('a', { members, origins: peers })), plain),
  )
  const zoned = {
    ...ORIGINS,
    groups: OTHERS.map((group) => ({ ...group, zone: group.name === 'north' ? null : 'eu' })),
  }
  golden('explain-zones', [
    ...explanationLines(explain(nodeStatus('a', { origins: zoned })), plain),
    '',
    ...groupLines(zoned, plain),
    '',
    ...statusLines(
      { from: nodeStatus('a', { origins: zoned }), nodes: [nodeSample('a', { group: 'east' })] },
      plain,
    ),
  ])
  const held = statusLines(
    {
      from: nodeStatus('a', { origins: { ...ORIGINS, held: true } }),
      nodes: [nodeSample('a', { group: 'east' }), nodeSample('b', { group: 'west' })],
    },
    plain,
  )
  const removed = { ...OTHERS[0], name: 'south', origin: 'south-000000', standing: 'removed' }
  const joining = { ...OTHERS[0], name: 'upper', origin: 'upper-000000', nodes: [], linked: false }
  const unknown = { ...joining, name: 'lower', linked: true, unknownTo: ['west', 'north'] }
  const shut = { ...OTHERS[1], name: 'shore', linked: false, cutThere: true }
  const all = { ...ORIGINS, groups: [...OTHERS, shut, removed, joining, unknown] } as typeof ORIGINS
  golden('groups', [...held, '', ...groupLines(all, plain)])
})

test('groups are compared only where they can be', () => {
  const report = (digest: string) =>
    ({
      index: 7,
      identical: true,
      nodes: { a: { index: 7, tables: { city: digest, sqlite_sequence: digest }, problems: [] } },
    }) as never
  const own = new Set(['sqlite_sequence'])
  const groups = new Map([
    ['east', report('a')],
    ['west', report('b')],
  ])
  const same = new Map([
    ['east', report('a')],
    ['west', report('a')],
  ])
  equal(toReport(same, true, own).identical, true)
  deepEqual(toReport(groups, true, own).different, ['city'])
  equal(toReport(groups, false, own).identical, true, 'nothing is known to differ')
  equal(toReport(groups, true, new Set(['city', 'sqlite_sequence'])).identical, true)
  const away = new Map([
    ['east', report('a')],
    ['west', { code: 'UNREACHABLE', detail: 'x.' } as never],
  ])
  equal(toReport(away, false, own).identical, false)
  golden('verify-groups', [
    ...groupsLines(toReport(groups, true, own), plain),
    ...groupsLines(toReport(away, false, own), plain),
  ])
})

const CONFLICTS: readonly StoredConflict[] = [
  {
    stamp: { time: 1_763_720_000_123_456, origin: 'west-1f2e3d' },
    ...{ number: 0, kind: 'update-update', table: 'stock', key: [1n], columns: ['left'] },
    ...{ kept: [1n, "pe'n", 9n], lost: [undefined, undefined, 7.0], open: true },
  },
  {
    stamp: { time: 1_763_720_000_200_000, origin: 'east-000000' },
    ...{ number: 3, kind: 'delete-updated', table: 'stock', key: ['\x1b[31m'], columns: [] },
    ...{ kept: null, lost: null, open: false },
  },
]

test('conflicts, and the rules for them', () => {
  const [first, second] = CONFLICTS as [StoredConflict, StoredConflict]
  const table = { columns: ['id', 'name', 'left'] } as unknown as ConflictTable
  golden('conflicts', [
    ...listLines(CONFLICTS, plain),
    '',
    ...conflictLines(first, table, plain),
    '',
    ...conflictLines(second, table, plain),
    '',
    JSON.stringify(
      CONFLICTS.map((each) => jsonOf(each, table)),
      (_, value) => (typeof value === 'bigint' ? Number(value) : value),
      2,
    ),
    '',
    ...ruleLines(
      [
        { table: 'stock', column: 'left', rule: 'add' },
        { table: 'stock', column: '', rule: 'first' },
      ],
      plain,
    ),
  ])
  deepEqual(parseId(conflictId(first)), {
    time: 1_763_720_000_123_456,
    number: 0,
    origin: 'west-1f2e3d',
  })
  throws(() => parseId('7'), { code: 'BAD_USAGE' })
  deepEqual(placeOf('stock.left'), { table: 'stock', column: 'left' })
  deepEqual(placeOf('"a.b"."c""d"'), { table: 'a.b', column: 'c"d' })
  deepEqual(placeOf('stock'), { table: 'stock', column: '' })
  throws(() => placeOf('.left'), { code: 'BAD_USAGE' })
})

test('a configuration is explained without asking anybody', () => {
  const urls = ['a', 'b', 'c'].map((host) => `http://${host}:7001`)
  const folder = mkdtempSync(join(tmpdir(), 'quorate-explain-'))
  const file = join(folder, 'quorate.yaml')
  try {
    writeFileSync(file, `join: [${urls.join(', ')}]\nexpect: 3\nack: all\n`)
    const explanation = explainConfig(readOptions(file))
    deepEqual(explanation.voters, urls)
    equal(explanation.survives, 1)
    ok(explanation.promises.some((line) => line.includes('at ack all')))
    writeFileSync(file, 'name: b\njoin: http://a:7001\n')
    throws(() => explainConfig(readOptions(file)), { code: 'BAD_CONFIG' })
    writeFileSync(file, 'name: b\n')
    equal(explainConfig(readOptions(file)).survives, 0)
    writeFileSync(file, `join: [${urls.join(', ')}]\nexpect: 3\nstrategy: peer\n`)
    const peers = explainConfig(readOptions(file))
    deepEqual('groups' in peers && [peers.groups, peers.quorum], [urls, 2])
    writeFileSync(file, 'name: b\nstrategy: multi-leader\ngroup: east\n')
    const east = explainConfig(readOptions(file))
    deepEqual('groups' in east && [east.groups, east.keeper], [['east'], 'east'])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('verify shows which replica differs, and where', () => {
  const good = { index: 77, tables: { city: 'a'.repeat(64), visit: 'b'.repeat(64) }, problems: [] }
  const bad = { ...good, tables: { ...good.tables, visit: 'c'.repeat(64) }, problems: ['row 7'] }
  const away = { code: 'UNREACHABLE', detail: 'No link to d.' } as const
  const nodes = { a: good, b: bad, c: good, d: away } as never
  golden('verify', verifyLines({ index: 77, identical: false, nodes }, plain))
  const same = verifyLines(
    { index: 77, identical: true, nodes: { a: good, b: good } as never },
    plain,
  )
  equal(same.at(-1), 'identical: 2 replicas at position 77, 2 tables')
})

test('rows of every kind of value', () => {
  const rows = [
    [1, 'Zürich', 1.5, null, new Uint8Array([1, 255])],
    [2n ** 62n, '東京', -0.25, 'two\nlines \x1b[31m', new Uint8Array(40)],
  ]
  const columns = ['id', 'name', 'area', 'note', 'picture']
  const result = { columns, rows, changes: 0, lastInsertRowid: null }
  golden('sql', resultLines(result, plain))
  const insert = { columns: [], rows: [], changes: 1, lastInsertRowid: 7 }
  deepEqual(resultLines(insert, plain), ['1 row changed'])
})

test('a file before it is adopted, and after it was detached', () => {
  const report = {
    ...({ kind: 'plain', identity: null, problems: [], bytes: 3.2e9, tables: 12 } as const),
    ...{ pageBytes: 4096, encoding: 'UTF-8', journalMode: 'delete' },
  }
  const was = { cluster: '5f0c2b1e', node: 'a:1f2e3d4c' }
  const gone = { was, unapplied: 0, folder: 'shop.db-quorate', lostFiles: 0 }
  golden('file', [
    ...checkLines('shop.db', report, false),
    ...checkLines('shop.db', report, true),
    ...checkLines('shop.db', { ...report, kind: 'none' }, false),
    ...checkLines('shop.db', { ...report, kind: 'member', identity: was }, false),
    ...detachLines('shop.db', gone, 0),
    ...detachLines('shop.db', { ...gone, unapplied: 2, lostFiles: 1 }, 50 * 1024 * 1024),
  ])
})

const VIEW: DemoView = {
  rows: 135_233,
  dir: '/tmp/quorate-demo-1',
  removed: true,
  startedAt: 1_000,
  now: 63_500,
  nodes: [
    nodeSample('a', { status: null, note: 'killed' }),
    nodeSample('b', {
      status: nodeStatus('b', { role: 'leader', term: 4 }),
      rates: { reads: 900, writes: 1_500 },
    }),
    nodeSample('c', { rates: { reads: 850, writes: 0 } }),
  ],
  load: {
    writesPerSecond: 1_502,
    readsPerSecond: 1_750,
    p50Ms: 3.14,
    p99Ms: 120,
    acknowledged: 91_233,
    unknown: 0,
    refused: 2,
    staleReads: 0,
  },
  failoverMs: 812,
  events: [
    { at: 50_000, source: 'demo', level: 'info', text: 'kill -9 a' },
    { at: 50_700, source: 'b', level: 'info', text: 'leader elected: term 4' },
    { at: 50_900, source: 'c', level: 'warn', text: 'snapshot failed: code UNREACHABLE' },
  ],
  trouble: null,
}

test('the picture of the demo', () => {
  golden('demo', demoLines(VIEW, plain, 120, 40))
  golden('demo-line', [plainLine(VIEW)])
})

test('the picture fits any terminal, with colour too', () => {
  for (const [width, height] of [
    [120, 40],
    [80, 24],
    [40, 18],
  ] as const) {
    const lines = demoLines({ ...VIEW, trouble: 'error: X: y' }, coloured, width, height)
    for (const line of lines) ok(textWidth(line) <= width, `${textWidth(line)} > ${width}: ${line}`)
    ok(lines.length <= height, `${lines.length} lines in ${height}`)
    ok(lines.at(-1)?.includes('kill leader'), 'the keys are never pushed out')
  }
})

test('rates are differences over the time the node counted itself', () => {
  const before = nodeStatus('a')
  const counters = { ...before.counters, reads: 5_300, writes: 1_100 }
  const after = nodeStatus('a', { counters, uptimeMs: 62_000 })
  deepEqual(ratesBetween(before, after), { reads: 150, writes: 50 })
  equal(ratesBetween(after, before), null, 'a restarted node has no rate')
  equal(ratesBetween(null, after), null)
})

test('columns line up whatever is in them', () => {
  const columns = [{ title: 'name' }, { title: 'n', align: 'right' }] as const
  const rows = [
    ['東京', '1'],
    [{ text: 'é', style: 'red' }, '1000'],
  ] as const
  deepEqual(tableLines(columns, rows, plain), ['name     n', '東京     1', 'é     1000'])
  const widths = tableLines(columns, rows, coloured).map(textWidth)
  deepEqual(widths, [10, 10, 10])
})

test('text from elsewhere can not drive the terminal', () => {
  equal(printable('a\x1b[2Jb\u009bc\n'), 'a\\x1b[2Jb\\x9bc\\n')
})

test('a clipped line keeps its width and ends its colours', () => {
  equal(clip('abcdef', 4), 'abc…')
  equal(clip('abcd', 4), 'abcd')
  equal(textWidth(clip(coloured('red', '東京都庁'), 5)), 5)
})
