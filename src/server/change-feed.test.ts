/** The feed of changes over a real log in a file, with a reader in place of a node. */
import { deepEqual, equal } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import type { ChangedRow, Changes } from '../model/changes.ts'
import { encodeBatch } from '../model/entry-codec.ts'
import { encodeMergeOperations, encodeOriginOperations } from '../model/origin-codec.ts'
import type { NodeReply, NodeRequest } from '../model/request.ts'
import { Reader } from '../store/read/reader.ts'
import { ChangeFeed } from './change-feed.ts'

const LOG = `create table _quorate_log (
  idx integer primary key, term integer not null, kind text not null, at integer not null,
  checksum integer not null, body blob not null)`

/** A database whose log the test writes. */
class LoggedFile {
  readonly #db: DatabaseSync
  readonly #reader: Reader
  #index = 0
  failures = 0
  requests = 0

  constructor(t: TestContext) {
    const folder = mkdtempSync(join(tmpdir(), 'quorate-feed-'))
    const path = join(folder, 'log.db')
    this.#db = new DatabaseSync(path)
    this.#db.exec(`pragma journal_mode = wal; pragma synchronous = off; ${LOG}`)
    this.#reader = new Reader(path)
    t.after(() => {
      this.#reader.close()
      this.#db.close()
      rmSync(folder, { recursive: true })
    })
  }

  get index(): number {
    return this.#index
  }

  exec(sql: string): void {
    this.#db.exec(sql)
  }

  /** Runs SQL and logs what it changed as one entry. */
  run(sql: string, kind = 'data'): void {
    const bytes = this.changesOf(sql)
    this.log(
      kind,
      encodeBatch({ transactions: 1, writes: [], operations: [{ kind: 'changeset', bytes }] }),
    )
  }

  changesOf(sql: string): Uint8Array {
    const session = this.#db.createSession()
    this.#db.exec(sql)
    const bytes = session.changeset()
    session.close()
    return bytes
  }

  log(kind: string, body: Uint8Array): void {
    this.#index += 1
    const insert = this.#db.prepare('insert into _quorate_log values (?, 1, ?, 0, 0, ?)')
    insert.run(this.#index, kind, body)
  }

  readonly request = async (request: NodeRequest): Promise<NodeReply> => {
    this.requests += 1
    if (this.failures > 0) {
      this.failures -= 1
      return { kind: 'error', error: { code: 'OVERLOADED', detail: 'As asked.' } }
    }
    if (request.kind !== 'read') throw new Error(`asked for ${request.kind}`)
    const reply = this.#reader.read(request.program)
    if (reply.kind !== 'rows') throw new Error(JSON.stringify(reply))
    const token = { cluster: 'c', term: 1, index: reply.applied }
    return { kind: 'result', result: reply.result, token, open: false }
  }
}

/** Feeds through the end of the log, and gives what was told. */
async function told(file: LoggedFile, after: number | null): Promise<Changes[]> {
  const seen: Changes[] = []
  const end = Promise.withResolvers<void>()
  const feed = new ChangeFeed(
    file.request,
    (changes) => {
      seen.push(changes)
      const at = changes.kind === 'gap' ? changes.through : changes.index
      if (at === file.index) end.resolve()
    },
    after,
  )
  feed.moved(file.index)
  await end.promise
  feed.close()
  return seen
}

test('entries without rows are passed over, all others told by key', async (t) => {
  const file = new LoggedFile(t)
  file.exec('create table t (a text, b integer, v, primary key (b, a)) without rowid')
  file.log('noop', new Uint8Array())
  file.run("insert into t values ('x', 1, 'secret'), ('y', 2, null)")
  file.log('members', new Uint8Array([1]))
  file.run('update t set v = 3 where b = 1; delete from t where b = 2')
  file.run('create table u (id integer primary key)', 'schema')
  file.run('insert into u values (9)')
  const key = (a: string, b: bigint) => [
    ['a', a],
    ['b', b],
  ]
  const events = (await told(file, 0)).map((event) => {
    if (event.kind === 'gap') return event
    // Rows of one entry are in no order.
    const text = ({ op, key }: ChangedRow): string => `${op} ${key?.join()}`
    return { ...event, rows: event.rows.toSorted((a, b) => (text(a) < text(b) ? -1 : 1)) }
  })
  deepEqual(events, [
    {
      kind: 'change',
      index: 2,
      schema: false,
      rows: [
        { table: 't', op: 'insert', key: key('x', 1n) },
        { table: 't', op: 'insert', key: key('y', 2n) },
      ],
    },
    {
      kind: 'change',
      index: 4,
      schema: false,
      rows: [
        { table: 't', op: 'delete', key: key('y', 2n) },
        { table: 't', op: 'update', key: key('x', 1n) },
      ],
    },
    { kind: 'change', index: 5, schema: true, rows: [] },
    {
      kind: 'change',
      index: 6,
      schema: false,
      rows: [{ table: 'u', op: 'insert', key: [['id', 9n]] }],
    },
  ])
})

test('a table that has another form by now is told without keys', async (t) => {
  const file = new LoggedFile(t)
  file.exec('create table t (id integer primary key, v); create table u (id integer primary key)')
  file.run('insert into t values (1, 2)')
  file.run('insert into u values (1)')
  file.exec('alter table t add column more; drop table u')
  const events = await told(file, 0)
  deepEqual(
    events.map((event) => event.kind === 'change' && event.rows[0]?.key),
    [null, null],
  )
})

test('what the log has dropped is one gap, what comes after it is told', async (t) => {
  const file = new LoggedFile(t)
  file.exec('create table t (id integer primary key)')
  for (let id = 1; id <= 5; id += 1) file.run(`insert into t values (${id})`)
  file.exec('delete from _quorate_log where idx <= 3')
  const events = await told(file, 1)
  deepEqual(events[0], { kind: 'gap', through: 3 })
  deepEqual(
    events.slice(1).map((event) => event.kind === 'change' && event.index),
    [4, 5],
  )
  file.exec('delete from _quorate_log')
  deepEqual(await told(file, 1), [{ kind: 'gap', through: 5 }])
})

test('an entry that is too large is a gap of its own, many small ones are read in pages', async (t) => {
  const file = new LoggedFile(t)
  file.exec('create table t (id integer primary key, v)')
  file.run('insert into t values (1, null)')
  file.run('insert into t values (2, zeroblob(5000000))')
  file.run('insert into t values (3, null)')
  const [, large, last] = await told(file, 0)
  deepEqual(large, { kind: 'gap', through: 2 })
  equal(last?.kind === 'change' && last.index, 3)
  for (let id = 10; id < 1_010; id += 1) file.run(`insert into t values (${id}, zeroblob(10000))`)
  const many = await told(file, 3)
  deepEqual(
    many.map((event) => event.kind === 'change' && event.index),
    Array.from({ length: 1_000 }, (_, at) => at + 4),
  )
})

test('a reading that fails is tried again, and nothing is told before it is wanted', async (t) => {
  const file = new LoggedFile(t)
  file.exec('create table t (id integer primary key)')
  file.run('insert into t values (1)')
  file.failures = 1
  equal((await told(file, 0)).length, 1)
  const gate = Promise.withResolvers<void>()
  const seen: Changes[] = []
  const feed = new ChangeFeed(
    file.request,
    async (changes) => {
      seen.push(changes)
      await gate.promise
    },
    null,
  )
  feed.moved(1)
  const before = file.requests
  for (let id = 2; id <= 600; id += 1) file.run(`insert into t values (${id})`)
  feed.moved(600)
  while (seen.length === 0) await new Promise(setImmediate)
  // One page, and the columns at most: the others stay in the log.
  equal(file.requests - before <= 2, true)
  feed.close()
  gate.resolve()
  await new Promise(setImmediate)
  equal(seen.length, 1)
})

/** An entry of an origin whose transactions are what each of these SQL texts changes. */
function written(file: LoggedFile, origin: string, sequence: number, texts: readonly string[]) {
  const body = encodeOriginOperations(
    texts.map((sql, i) => ({ kind: 'transaction', time: i + 1, changes: file.changesOf(sql) })),
  )
  const head = { time: texts.length, dependencies: new Map(), epoch: 1, answer: 'soon' } as const
  return { origin, sequence, ...head, body }
}

const opsOf = (event: Changes | undefined) =>
  event?.kind === 'change'
    ? event.rows.map(({ op, key }) => `${op} ${key?.map(([, value]) => value)}`).sort()
    : event

test('with several origins: own entries and those of others, each row once', async (t) => {
  const file = new LoggedFile(t)
  file.exec('create table t (id integer primary key, v)')
  const own = written(file, 'east', 1, [
    'insert into t values (1, 1), (2, 1), (3, 1)',
    'update t set v = 2 where id = 1; delete from t where id = 2',
  ])
  file.log('data', encodeBatch({ transactions: 2, writes: [], operations: [], own }))
  const others = [
    written(file, 'west', 1, ['update t set v = 5 where id = 3']),
    written(file, 'south', 1, ['insert into t values (4, 1)', 'update t set v = 3 where id = 4']),
  ]
  const take = others.map((entry) => ({ kind: 'take', entry, apply: true }) as const)
  file.log('merge', encodeMergeOperations(take))
  file.log('merge', encodeMergeOperations([{ kind: 'forget', stable: 1, conflictsUntil: 0 }]))
  const body = encodeOriginOperations([])
  const marked = { ...own, sequence: 2, body }
  file.log('schema', encodeBatch({ transactions: 0, writes: [], operations: [], own: marked }))
  const ddl = { ...own, sequence: 3, body: encodeOriginOperations([{ kind: 'ddl', sql: 'x' }]) }
  file.log('schema', encodeBatch({ transactions: 1, writes: [], operations: [], own: ddl }))
  const [first, second, last] = await told(file, 0)
  deepEqual(opsOf(first), ['delete 2', 'insert 1', 'insert 3'])
  deepEqual(opsOf(second), ['insert 4', 'update 3'])
  deepEqual(last, { kind: 'change', index: 5, schema: true, rows: [] })
})

test('an entry of another origin is told when it is applied, not when it comes', async (t) => {
  const file = new LoggedFile(t)
  file.exec(`create table t (id integer primary key, v);
    create table _quorate_entries (origin text, sequence integer, idx integer)`)
  const entry = written(file, 'west', 1, ['insert into t values (1, 1)'])
  const keep = { kind: 'take', entry, apply: false } as const
  file.log('merge', encodeMergeOperations([keep]))
  file.exec("insert into _quorate_entries values ('west', 1, 1)")
  file.log('merge', encodeMergeOperations([{ kind: 'apply', origin: 'west', sequence: 1 }]))
  const [event, ...more] = await told(file, 0)
  deepEqual([event?.kind === 'change' && event.index, opsOf(event), more], [2, ['insert 1'], []])
  // The log has dropped what it was brought by.
  file.exec('delete from _quorate_log where idx = 1')
  deepEqual(await told(file, 1), [{ kind: 'gap', through: 2 }])
})
