/** Our client against our server over real sockets, with a fake of the node behind it. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { ErrorCode } from '../src/base/errors.ts'
import { type ConnectOptions, connect, QuorateError, type RemoteDb } from '../src/client/index.ts'
import type { NodeReply, NodeRequest } from '../src/model/request.ts'
import type { NodeStatus } from '../src/model/status.ts'
import { createHttpServer, type HttpServerOptions } from '../src/server/http-server.ts'
import { FakeNode } from '../src/server/testing/fake-node.ts'

/** The fake names a leader that does not exist; this one names none. */
class Alone extends FakeNode {
  override status(): NodeStatus {
    return { ...super.status(), leader: null, members: [] }
  }

  /** Once it has refused so many writes from now on, it runs what comes. */
  async refuse(times: number, code: ErrorCode): Promise<void> {
    this.reply = { kind: 'error', error: { code, detail: 'Not now.' } }
    for (let refused = 0; refused < times; refused += 1) {
      await new Promise<void>((resolve) => {
        this.#refused = resolve
      })
    }
    this.reply = null
  }

  #refused: () => void = () => {}

  override async request(request: NodeRequest): Promise<NodeReply> {
    const reply = await super.request(request)
    if (request.kind === 'write' && reply.kind === 'error') this.#refused()
    return reply
  }
}

async function start(
  t: TestContext,
  serverOptions: Partial<HttpServerOptions> = {},
  options: ConnectOptions = {},
): Promise<{ readonly node: Alone; readonly db: RemoteDb }> {
  const node = new Alone()
  const server = createHttpServer({ service: node, token: null, ...serverOptions })
  const port = await server.listen('127.0.0.1', 0)
  const db = connect(`http://127.0.0.1:${port}`, options)
  t.after(async () => {
    db.close()
    await server.close()
    node.db.close()
  })
  return { node, db }
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => {
    ok(error instanceof QuorateError, String(error))
    equal(error.code, code, error.message)
    return true
  }
}

test('values of every kind go in and come out as they were', async (t) => {
  const { db } = await start(t)
  const values = [42, -1.5, 2n ** 62n, 'text ✓', null, new Uint8Array([0, 255, 7])]
  const { rows } = await db.execute('select ?, ?, ?, ?, ?, ?', values)
  deepEqual(rows, [values])
  const [types] = await db.query('select typeof(:whole) as w, typeof(:part) as p', {
    whole: 42,
    part: 0.5,
  })
  deepEqual(types, { w: 'integer', p: 'real' })
})

test('a write is named, a read is not, and levels arrive', async (t) => {
  const { node, db } = await start(t)
  await db.execute('create table t (id integer primary key, v text)', [], { ack: 'all' })
  const { changes, lastInsertRowid } = await db.execute('insert into t values (?, ?)', [5, 'five'])
  deepEqual([changes, lastInsertRowid], [1, 5])
  deepEqual(await db.query('select v from t', [], { read: 'strong' }), [{ v: 'five' }])
  const [create, insert, select] = node.requests.filter((r) => r.kind !== 'admin').slice(-3)
  ok(create?.kind === 'write' && create.ack === 'all' && create.program.id?.number === 1)
  ok(insert?.kind === 'write' && insert.ack === 'majority' && insert.program.id?.number === 2)
  ok(insert.program.id.since > 0 && insert.timeoutMs <= 10_000)
  ok(select?.kind === 'read' && select.level === 'strong' && select.token !== null)
})

test('a batch is one transaction: all of it or nothing', async (t) => {
  const { node, db } = await start(t)
  await db.execute('create table t (id integer primary key)')
  const results = await db.batch([
    'insert into t values (1)',
    ['insert into t values (?), (?)', [2, 3]],
  ])
  deepEqual(
    results.map(({ changes }) => changes),
    [1, 2],
  )
  await rejects(db.batch(['delete from t', 'insert into t values (1), (1)']), (error) => {
    hasCode('SQL_CONSTRAINT')(error)
    equal((error as QuorateError).facts.sqlite, 'SQLITE_CONSTRAINT')
    return true
  })
  const [all] = await db.batch(['select count(*) from t'], { mode: 'read' })
  deepEqual(all?.rows, [[3]])
  const kind = node.requests.at(-1)?.kind ?? ''
  ok(['read', 'cursor', 'fetch'].includes(kind), `a batch of reads needs no leader: ${kind}`)
})

test('an interactive transaction commits, rolls back, and survives a failed statement', async (t) => {
  const { db } = await start(t)
  await db.execute('create table t (id integer primary key)')
  const count = await db.transaction(async (tx) => {
    await tx.execute('insert into t values (1)')
    await rejects(tx.execute('insert into t values (1)'))
    await tx.execute('insert into t values (2)')
    return (await tx.query('select count(*) as n from t'))[0]?.['n']
  })
  equal(count, 2)
  const dropped = db.transaction(async (tx) => {
    await tx.execute('delete from t')
    throw new Error('no')
  })
  await rejects(dropped, /^Error: no$/)
  deepEqual(await db.query('select count(*) as n from t'), [{ n: 2 }])
})

test('a transaction that the node lost runs nothing more, and never half', async (t) => {
  const { node, db } = await start(t)
  await db.execute('create table t (id integer primary key)')
  const work = db.transaction(async (tx) => {
    await tx.execute('insert into t values (1)')
    node.loseTransaction()
    await tx.execute('insert into t values (2)')
  })
  await rejects(work, hasCode('TRANSACTION_CLOSED'))
  deepEqual(await db.query('select * from t'), [])
})

test('a transaction whose stream fell silent for too long says so', async (t) => {
  const { db } = await start(t, { streamIdleMs: 30 })
  await db.execute('create table t (id integer primary key)')
  const work = db.transaction(async (tx) => {
    await tx.execute('insert into t values (1)')
    await new Promise((resolve) => setTimeout(resolve, 150))
    await tx.execute('insert into t values (2)')
  })
  await rejects(work, hasCode('STREAM_EXPIRED'))
  deepEqual(await db.query('select * from t'), [])
})

test('without a leader a write waits, and goes on when there is one', async (t) => {
  const { node, db } = await start(t)
  await db.execute('create table t (id integer primary key)')
  const refused = node.refuse(3, 'NO_LEADER')
  equal((await db.execute('insert into t values (1)')).changes, 1)
  await refused
})

test('an unknown outcome reaches the caller with its position', async (t) => {
  const { node, db } = await start(t)
  await db.query('select 1')
  const error = { code: 'UNKNOWN_OUTCOME', detail: 'Late.', facts: { position: 77 } } as const
  node.reply = { kind: 'error', error }
  await rejects(db.execute('insert into t values (1)', [], { timeoutMs: 50 }), (thrown) => {
    hasCode('UNKNOWN_OUTCOME')(thrown)
    equal((thrown as QuorateError).facts.position, 77)
    return true
  })
})

test('the token of the cluster is shown, and asked for', async (t) => {
  const { db } = await start(t, { token: 'secret' }, { token: 'secret' })
  deepEqual(await db.query('select 1 as one'), [{ one: 1 }])
  const stranger = await start(t, { token: 'secret' })
  await rejects(stranger.db.query('select 1'), hasCode('UNAUTHORIZED'))
})
