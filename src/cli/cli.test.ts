import { deepEqual, equal, match } from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fromErrorData, QuorateError } from '../base/errors.ts'
import { start } from '../server/testing/start.ts'
import { MergeTables } from '../store/merge/merge-tables.ts'
import { serveOptions } from './commands/serve.ts'
import { program } from './main.ts'
import { errorLine, exitCodeOf } from './output.ts'

const BIN = fileURLToPath(new URL('../../bin/quorate.js', import.meta.url))

type Started = ChildProcessByStdio<null, Readable, Readable>

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

async function quorate(...args: readonly string[]): Promise<Ended> {
  return await outcomeOf(run(...args))
}

/** Starts the command line as a user does, without the user's own settings. */
function run(...args: readonly string[]): Started {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1' }
  for (const name of Object.keys(env)) if (name.startsWith('QUORATE_')) delete env[name]
  return spawn(process.execPath, [BIN, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
}

async function outcomeOf(child: Started): Promise<Ended> {
  const code = new Promise<number | null>((resolve) => child.on('close', resolve))
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await code, stdout, stderr }
}

test('errors are one line with code, sentence and remedy', () => {
  const error = new QuorateError('NAME_IN_USE', 'A node called b\nis a member.')
  match(errorLine(error), /^error: NAME_IN_USE: A node called b\\nis a member\. Choose another/)
  match(errorLine(new Error('boom')), /^error: INTERNAL: boom\. This is a bug/)
  equal(exitCodeOf(error), 1)
  equal(exitCodeOf(new QuorateError('BAD_USAGE', 'x.')), 2)
  equal(exitCodeOf(new QuorateError('BAD_CONFIG', 'x.')), 2)
})

test('every command has a summary, a description and an example or none needed', () => {
  const names = program().commands.map((command) => command.name())
  deepEqual(names, [
    ...['demo', 'serve', 'status', 'explain', 'sql', 'members', 'transfer'],
    ...[
      'groups',
      'rules',
      'conflicts',
      'snapshot',
      'dump',
      'check',
      'detach',
      'verify',
      'lost',
      'bench',
    ],
  ])
  for (const command of program().commands) {
    match(command.summary(), /^[a-z].{5,60}$/, command.name())
    match(command.description(), /^[A-Z].*\.$/, command.name())
  }
})

test('serve reads file, flags and environment, in rising priority', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-cli-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const config = join(dir, 'quorate.yaml')
  writeFileSync(config, 'name: from-file\npriority: 1\nrole: learner\njoin:\n  - http://a:1\n')
  const flags = { config, name: 'from-flag', priority: '2' }
  const options = serveOptions('x.db', flags, { QUORATE_PRIORITY: '3' })
  deepEqual(
    [options.file, options.name, options.priority, options.role, options.join],
    ['x.db', 'from-flag', 3, 'learner', ['http://a:1']],
  )
  writeFileSync(config, 'name: [')
  match(
    messageOf(() => serveOptions('x.db', flags, {})),
    /quorate\.yaml is not YAML/,
  )
  const missing = { config: join(dir, 'none.yaml') }
  match(
    messageOf(() => serveOptions('x.db', missing, {})),
    /none\.yaml does not exist/,
  )
})

function messageOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return errorLine(error)
  }
  return ''
}

test('wrong usage exits with 2, failure with 1, both with one line on stderr', async () => {
  const [usage, failure] = await Promise.all([
    quorate('stats'),
    quorate('status', '--url', 'http://127.0.0.1:1'),
  ])
  deepEqual([usage.code, usage.stdout], [2, ''])
  match(usage.stderr, /^error: BAD_USAGE: Unknown command 'stats' .*\n$/)
  deepEqual([failure.code, failure.stdout], [1, ''])
  match(failure.stderr, /^error: UNREACHABLE: No node answered; last http:.*\n$/)
})

test('commands against a node', async (t) => {
  const { node, url } = await start(t)
  node.db.exec(
    "CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO city VALUES (1, 'Ulm')",
  )
  const dir = mkdtempSync(join(tmpdir(), 'quorate-cli-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const output = join(dir, 'copy.db')
  const [sql, json, wrong, snapshot, removed, transfer, lost, rule, cut, groups] =
    await Promise.all([
      quorate('sql', '--url', url, 'select * from city'),
      quorate('sql', '--url', url, '--json', 'select id, 9007199254740993 as big from city'),
      quorate('sql', '--url', url, 'select * from town'),
      quorate('snapshot', '--url', url, '--output', output, '--json'),
      quorate('members', 'remove', 'c', '--url', url, '--json'),
      quorate('transfer', '--url', url, 'b'),
      quorate('lost', '--url', url),
      quorate('rules', 'set', 'city.name', 'first', '--url', url),
      quorate('groups', 'cut', 'west', '--url', url, '--json'),
      quorate('groups', '--url', url),
    ])
  deepEqual(sql, { code: 0, stdout: 'id  name\n 1  Ulm\n1 row\n', stderr: '' })
  match(json.stdout, /"big": 9007199254740993\n/)
  equal(wrong.code, 1)
  match(wrong.stderr, /^error: SQL_ERROR: .*no such table: town/)
  deepEqual(JSON.parse(snapshot.stdout), { file: output, bytes: statSync(output).size })
  using copy = new DatabaseSync(output, { readOnly: true })
  equal(copy.prepare('select name from city').get()?.['name'], 'Ulm')
  deepEqual(JSON.parse(removed.stdout), { kind: 'remove', name: 'c' })
  equal(transfer.stdout, 'b leads now.\n')
  equal(rule.stdout, 'city.name has the rule first now.\n')
  deepEqual(JSON.parse(cut.stdout), { kind: 'cutGroup', group: 'west', cut: true })
  equal(groups.code, 1)
  match(
    groups.stderr,
    /^error: NO_GROUPS: This cluster has one leader for all nodes, and no groups/,
  )
  match(lost.stdout, /^file\nlost-1\.json\n1 file: quorate lost show FILE\n$/)
})

test('after a second a person hears what a statement waits for, once; JSON stays JSON', async (t) => {
  const { node, url } = await start(t)
  const refused = { code: 'NO_LEADER', detail: 'Nobody leads.' } as const
  node.reply = { kind: 'error', error: refused }
  const json = await quorate('sql', '--url', url, '--json', '--timeout', '1500', 'select 1')
  deepEqual([json.code, json.stderr], [1, `${errorLine(fromErrorData(refused))}\n`])
  for (const [mode, stdout] of [
    [[], '1\n1\n1 row\n'],
    [['--mode', 'list'], '1\n1\n'],
  ] as const) {
    node.reply = { kind: 'error', error: refused }
    const child = run('sql', '--url', url, ...mode, 'select 1')
    child.stderr.once('data', () => (node.reply = null))
    const ended = await outcomeOf(child)
    match(ended.stderr, /^waiting up to \d+ s more: NO_LEADER: Nobody leads\. Nothing was .*\n$/)
    deepEqual([ended.code, ended.stdout], [0, stdout])
  }
})

test('wrong inputs around groups, rules and conflicts each say what to do', async (t) => {
  const { node, url } = await start(t)
  const single = await Promise.all([
    quorate('groups', '--url', url),
    quorate('rules', '--url', url),
    quorate('conflicts', '--url', url),
  ])
  for (const { code, stdout, stderr } of single) {
    deepEqual([code, stdout], [1, ''])
    match(stderr, /^error: NO_GROUPS: .* one leader.* --strategy multi-leader .*\n$/)
  }
  node.origins = {
    ...({ strategy: 'multi-leader', group: 'east', keeper: 'east', epoch: 1 } as const),
    ...{ groups: [], held: false, stableLagMs: 0 },
  }
  new MergeTables(node.db)
  node.db.exec(`create table _quorate_rules (name, column, rule);
    insert into _quorate_rules values ('t', 'n', 'add')`)
  const expected: readonly (readonly [string, number, RegExp])[] = [
    ['groups foo', 2, /BAD_USAGE: quorate groups has no command 'foo'; it has list, remove, zone/],
    ['rules foo', 2, /BAD_USAGE: quorate rules has no command 'foo'; it has list, set, reset\./],
    ['groups list foo', 2, /BAD_USAGE: Too many arguments/],
    ['groups zone east', 2, /BAD_USAGE: Give either the name of a zone or --none/],
    ['rules set t', 2, /BAD_USAGE: Missing required argument 'rule'/],
    ['rules reset t', 1, /BAD_RULE: t has no rule of its own\. Nothing was changed/],
    ['rules reset t.m', 1, /BAD_RULE: t\.m has no rule of its own\. Nothing was changed/],
    ['conflicts show 1', 2, /BAD_USAGE: 1 is not the id of a conflict/],
    ['conflicts show 1.0@a', 1, /CONFLICT_UNKNOWN: There is no conflict 1\.0@a\. .* lists those/],
    ['conflicts replay 1.0@a', 1, /CONFLICT_UNKNOWN: There is no conflict 1\.0@a\./],
    ['conflicts close 1.0@a', 1, /CONFLICT_UNKNOWN: There is no conflict 1\.0@a\./],
  ]
  const ended = await Promise.all(
    expected.map(([line]) => quorate(...line.split(' '), '--url', url)),
  )
  for (const [at, [line, code, says]] of expected.entries()) {
    const { [at]: end } = ended
    deepEqual([end?.code, end?.stdout], [code, ''], line)
    match(end?.stderr ?? '', says)
  }
  const reset = await quorate('rules', 'reset', 'T.N', '--url', url)
  equal(reset.stdout, 'T.N has no rule of its own now.\n')
})

test('the help of a command within a command has the options of both', async () => {
  const { stdout } = await quorate('rules', 'set', '--help')
  match(stdout, /Usage: quorate rules set .*--url <url,url…>.*--token/s)
})
