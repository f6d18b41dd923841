import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { createClient as createHttpClient } from '@libsql/client/http'
import { createClient as createWsClient } from '@libsql/client/ws'
import { start } from '../testing/start.ts'

type Scheme = 'http' | 'ws'

/** The official client on a server on a fake node. */
async function connect(t: TestContext, scheme: Scheme) {
  const { node, url } = await start(t)
  const create = scheme === 'ws' ? createWsClient : createHttpClient
  const client = create({ url: url.replace('http', scheme), intMode: 'bigint' })
  t.after(() => client.close())
  await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)')
  return { node, client }
}

for (const scheme of ['http', 'ws'] as const) describe(scheme, () => suite(scheme))

function suite(scheme: Scheme): void {
  test('execute: values of every type come back as they went in', async (t) => {
    const { client } = await connect(t, scheme)
    const blob = new Uint8Array([0, 1, 255])
    const result = await client.execute({
      sql: 'SELECT ? AS i, ? AS r, ? AS t, ? AS n, ? AS b, ? AS large, ? AS neg',
      args: [42n, 1.5, "it's", null, blob, 2n ** 63n - 1n, -7n],
    })
    const [row] = result.rows
    assert.deepEqual(result.columns, ['i', 'r', 't', 'n', 'b', 'large', 'neg'])
    assert.deepEqual([row?.['i'], row?.['r'], row?.['t'], row?.['n']], [42n, 1.5, "it's", null])
    assert.deepEqual(new Uint8Array(row?.['b'] as ArrayBuffer), blob)
    assert.deepEqual([row?.['large'], row?.['neg']], [2n ** 63n - 1n, -7n])
  })

  test('execute: named arguments, changes, rowid and declared types', async (t) => {
    const { client } = await connect(t, scheme)
    const inserted = await client.execute({
      sql: 'INSERT INTO t (a) VALUES (:a), ($b)',
      args: { a: 'x', b: 'y' },
    })
    assert.equal(inserted.rowsAffected, 2)
    assert.equal(inserted.lastInsertRowid, 2n)
    const selected = await client.execute('SELECT id, a, 1 FROM t')
    assert.deepEqual(selected.columnTypes, ['INTEGER', 'TEXT', ''])
    assert.equal(selected.rowsAffected, 0)
  })

  test('a SELECT is asked of a replica, a write of the leader, a writing WITH of both', async (t) => {
    const { client, node } = await connect(t, scheme)
    node.requests.length = 0
    await client.execute('SELECT 1')
    await client.execute("INSERT INTO t (a) VALUES ('x')")
    await client.execute("WITH w AS (SELECT 'y' AS a) INSERT INTO t (a) SELECT a FROM w")
    const kinds = node.requests.map((request) => request.kind)
    assert.deepEqual(kinds, ['read', 'write', 'read', 'write'])
  })

  test('errors carry the base code of SQLite and its sentence', async (t) => {
    const { client } = await connect(t, scheme)
    await client.execute("INSERT INTO t (a) VALUES ('x')")
    await assert.rejects(client.execute("INSERT INTO t (a) VALUES ('x')"), {
      code: 'SQLITE_CONSTRAINT',
      message: 'SQLITE_CONSTRAINT: UNIQUE constraint failed: t.a.',
    })
    await assert.rejects(client.execute('SELECT nothing'), { code: 'SQLITE_ERROR' })
  })

  test('what may be tried again is SQLITE_BUSY, with our code and what to do', async (t) => {
    const { client, node } = await connect(t, scheme)
    node.reply = { kind: 'error', error: { code: 'NO_LEADER', detail: 'There is no leader.' } }
    await assert.rejects(client.execute('SELECT 1'), {
      code: 'SQLITE_BUSY',
      message: /^SQLITE_BUSY: NO_LEADER: There is no leader\. .*quorate status/,
    })
  })

  test('batch: one request to the leader, and all or nothing', async (t) => {
    const { client, node } = await connect(t, scheme)
    node.requests.length = 0
    const results = await client.batch(
      ["INSERT INTO t (a) VALUES ('x')", { sql: 'SELECT count(*) AS n FROM t', args: [] }],
      'write',
    )
    assert.equal(results[1]?.rows[0]?.['n'], 1n)
    assert.deepEqual(
      node.requests.map((request) => request.kind),
      ['write'],
    )
    const broken = ["INSERT INTO t (a) VALUES ('y')", "INSERT INTO t (a) VALUES ('x')"]
    await assert.rejects(client.batch(broken, 'write'), { code: 'SQLITE_CONSTRAINT' })
    const count = await client.execute('SELECT count(*) AS n FROM t')
    assert.equal(count.rows[0]?.['n'], 1n)
  })

  test('batch: deferred with reads only stays one request', async (t) => {
    const { client, node } = await connect(t, scheme)
    node.requests.length = 0
    await client.batch(['SELECT 1', 'SELECT 2'], 'deferred')
    assert.equal(node.requests.length, 1)
  })

  test('batch: read mode goes to a replica, and a write in it is an error', async (t) => {
    const { client, node } = await connect(t, scheme)
    node.requests.length = 0
    const [one, two] = await client.batch(['SELECT 1 AS n', 'SELECT 2 AS n'], 'read')
    assert.deepEqual([one?.rows[0]?.['n'], two?.rows[0]?.['n']], [1n, 2n])
    assert.deepEqual(
      node.requests.map((request) => request.kind),
      ['cursor'],
    )
    const writing = client.batch(["INSERT INTO t (a) VALUES ('x')"], 'read')
    await assert.rejects(writing, { code: 'SQLITE_READONLY' })
    await assert.rejects(client.batch(['SELECT 1', 'SELECT nothing'], 'read'), {
      code: 'SQLITE_ERROR',
    })
  })

  test('100 batches, 20 at a time, beside an interactive transaction all succeed', async (t) => {
    const { client, node } = await connect(t, scheme)
    const tx = await client.transaction('write')
    await tx.execute("INSERT INTO t (a) VALUES ('first')")
    const batches = Array.from({ length: 100 }, (_, at) =>
      client.batch([{ sql: 'INSERT INTO t (a) VALUES (?)', args: [`a${at}`] }], 'write'),
    )
    await tx.commit()
    await Promise.all(batches)
    assert.equal(node.db.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 101)
  })

  test('transaction: reads its own writes, commits, leaves nothing open', async (t) => {
    const { client, node } = await connect(t, scheme)
    const tx = await client.transaction('write')
    await tx.execute("INSERT INTO t (a) VALUES ('x')")
    const inside = await tx.execute('SELECT count(*) AS n FROM t')
    assert.equal(inside.rows[0]?.['n'], 1n)
    const more = await tx.batch(["INSERT INTO t (a) VALUES ('y')", 'SELECT count(*) AS n FROM t'])
    assert.equal(more[1]?.rows[0]?.['n'], 2n)
    await tx.executeMultiple("INSERT INTO t (a) VALUES ('z'); DELETE FROM t WHERE a = 'y';")
    await tx.commit()
    assert.equal(node.owner, null)
    assert.equal(node.db.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 2)
  })

  test('transaction: rollback and close without commit undo it', async (t) => {
    const { client, node } = await connect(t, scheme)
    const count = () => node.db.prepare('SELECT count(*) AS n FROM t').get()?.['n']
    const first = await client.transaction('deferred')
    await first.execute("INSERT INTO t (a) VALUES ('x')")
    await first.rollback()
    assert.equal(count(), 0)
    const second = await client.transaction('write')
    await second.execute("INSERT INTO t (a) VALUES ('x')")
    second.close()
    // The close travels in the background: a write queues behind the transaction until it arrives.
    await client.execute("INSERT INTO t (a) VALUES ('after')")
    assert.equal(count(), 1)
  })

  test('transaction: a failed statement leaves it open', async (t) => {
    const { client } = await connect(t, scheme)
    const tx = await client.transaction('write')
    await tx.execute("INSERT INTO t (a) VALUES ('x')")
    await assert.rejects(tx.execute("INSERT INTO t (a) VALUES ('x')"), {
      code: 'SQLITE_CONSTRAINT',
    })
    await tx.execute("INSERT INTO t (a) VALUES ('y')")
    await tx.commit()
    const rows = await client.execute('SELECT a FROM t ORDER BY a')
    assert.deepEqual(
      rows.rows.map((row) => row['a']),
      ['x', 'y'],
    )
  })

  test('transaction: when the leader loses it, nothing of it runs any more', async (t) => {
    const { client, node } = await connect(t, scheme)
    const tx = await client.transaction('write')
    await tx.execute("INSERT INTO t (a) VALUES ('x')")
    node.loseTransaction()
    const late = "INSERT INTO t (a) VALUES ('late')"
    await assert.rejects(tx.execute(late), { code: 'TRANSACTION_CLOSED' })
    await assert.rejects(tx.execute(late), { code: 'TRANSACTION_CLOSED' })
    await assert.rejects(tx.commit(), { code: 'TRANSACTION_CLOSED' })
    assert.equal(node.db.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 0)
  })

  test('executeMultiple: runs in order, ends at the first error, may hold a transaction', async (t) => {
    const { client } = await connect(t, scheme)
    const rows = async () =>
      (await client.execute('SELECT a FROM t ORDER BY a')).rows.map((r) => r[0])
    await client.executeMultiple(`
    -- a comment; with a semicolon
    INSERT INTO t (a) VALUES ('x;y');
    BEGIN; INSERT INTO t (a) VALUES ('in'); COMMIT;
    SELECT 1
  `)
    assert.deepEqual(await rows(), ['in', 'x;y'])
    const failing = "INSERT INTO t (a) VALUES ('z'); SELECT nothing; DELETE FROM t;"
    await assert.rejects(client.executeMultiple(failing), { code: 'SQLITE_ERROR' })
    assert.deepEqual(await rows(), ['in', 'x;y', 'z'])
    const open = "BEGIN; INSERT INTO t (a) VALUES ('lost'); SELECT nothing; COMMIT"
    await assert.rejects(client.executeMultiple(open), { code: 'SQLITE_ERROR' })
    assert.deepEqual(await rows(), ['in', 'x;y', 'z'])
    await client.executeMultiple('-- nothing')
  })

  test('migrate: foreign keys are off around the transaction and on after it', async (t) => {
    const { client, node } = await connect(t, scheme)
    node.db.exec('PRAGMA foreign_keys = on')
    await client.executeMultiple(`
    CREATE TABLE child (id INTEGER PRIMARY KEY, t_id INTEGER REFERENCES t (id));
    INSERT INTO t (a) VALUES ('x'); INSERT INTO child (t_id) VALUES (1);
  `)
    node.requests.length = 0
    await client.migrate(['DROP TABLE t', 'CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT)'])
    assert.deepEqual(
      node.requests.map((request) => request.kind),
      ['write'],
    )
    assert.equal(node.db.prepare('PRAGMA foreign_keys').get()?.['foreign_keys'], 1)
  })

  test('a stored text is used by its id, as batches of the same statement do', async (t) => {
    const { client, node } = await connect(t, scheme)
    const sql = 'INSERT INTO t (a) VALUES (?)'
    await client.batch(
      ['x', 'y', 'z'].map((value) => ({ sql, args: [value] })),
      'write',
    )
    assert.equal(node.db.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 3)
  })

  test('transaction: one that reads is on a snapshot of the replica, and writes nothing', async (t) => {
    const { client, node } = await connect(t, scheme)
    await client.execute("INSERT INTO t (a) VALUES ('x')")
    const tx = await client.transaction('read')
    const count = async () => (await tx.execute('SELECT count(*) AS n FROM t')).rows[0]?.['n']
    assert.equal(await count(), 1n)
    await client.execute("INSERT INTO t (a) VALUES ('y')")
    assert.equal(await count(), 1n, 'the snapshot stays')
    await assert.rejects(tx.execute('DELETE FROM t'), { code: 'SQLITE_READONLY' })
    assert.equal(node.cursors.size, 1)
    await tx.commit()
    assert.equal(node.cursors.size, 0)
    const closed = await client.transaction('read')
    await closed.execute('SELECT 1')
    closed.close()
    await client.execute('SELECT 1')
    assert.equal(node.cursors.size, 0)
  })
}
