/** Hrana against real nodes: Protobuf, sessions and batons across nodes, describe, tokens. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createClient, LibsqlError } from '@libsql/client'
import * as hrana from '@libsql/hrana-client'
import { SignJWT } from 'jose'
import { ChildNode, freePort } from '../../src/bench/child-node.ts'
import { Cluster } from '../cluster.ts'

/** What a pipeline in JSON is answered with, as far as it is looked at here. */
interface Answer {
  readonly status: number
  readonly code?: string
  readonly baton: string | null
  readonly results: readonly {
    readonly response?: { readonly result: Result }
    readonly error?: { readonly code: string; readonly message: string }
  }[]
}

interface Result {
  readonly rows: readonly (readonly { readonly value: string }[])[]
  readonly replication_index: string
}

async function pipeline(url: string, requests: object[], baton: string | null): Promise<Answer> {
  const body = JSON.stringify({ baton, requests })
  const response = await fetch(`${url}/v3/pipeline`, { method: 'POST', body })
  const text = await response.text()
  const json = text.startsWith('{') ? JSON.parse(text) : { code: text }
  return { status: response.status, ...json }
}

const run = (url: string, sql: string, baton: string | null = null): Promise<Answer> =>
  pipeline(url, [{ type: 'execute', stmt: { sql } }], baton)

test('three nodes: Protobuf, sessions, batons and describe through any of them', async (t) => {
  await using cluster = await Cluster.start()
  const leader = await cluster.leader()
  const [follower = leader, other = leader] = await cluster.followers()
  const client = hrana.openHttp(follower.url, undefined, undefined, undefined, 3)
  t.after(() => client.close())
  const stream = client.openStream()
  await stream.run('create table t (id integer primary key, v text)')

  await t.test('Protobuf through a follower reads what it wrote', async () => {
    for (let id = 1; id <= 20; id += 1) {
      const text = `row ${id} ✓`
      const { lastInsertRowid } = await stream.run(['insert into t (v) values (?)', [text]])
      equal(lastInsertRowid, BigInt(id))
      const fresh = client.openStream()
      equal((await fresh.queryValue(['select v from t where id = ?', [id]])).value, text)
      fresh.close()
    }
  })

  await t.test('a replication index from one node is honoured by another', async () => {
    for (let id = 101; id <= 120; id += 1) {
      const wrote = await run(leader.url, `insert into t values (${id}, 'x') returning id`)
      const index = wrote.results[0]?.response?.result.replication_index
      const stmt = { sql: `select v from t where id = ${id}`, replication_index: index }
      const close = { type: 'close' }
      const read = await pipeline(other.url, [{ type: 'execute', stmt }, close], null)
      equal(read.results[0]?.response?.result.rows[0]?.[0]?.value, 'x', `row ${id}`)
    }
  })

  await t.test('a transaction goes on through whatever node its next call reaches', async () => {
    const urls = [other.url, leader.url, follower.url]
    let { baton } = await run(follower.url, 'begin immediate')
    for (const [at, url] of urls.entries()) {
      const answer = await run(url, `insert into t values (${201 + at}, 'tx')`, baton)
      equal(answer.status, 200, String(answer.code))
      baton = answer.baton
    }
    const about = await pipeline(other.url, [{ type: 'describe', sql: 'delete from t' }], baton)
    equal((await run(other.url, 'commit', about.baton)).status, 200)
    const count = await run(follower.url, "select count(*) from t where v = 'tx'")
    equal(count.results[0]?.response?.result.rows[0]?.[0]?.value, '3')
  })

  await t.test('describe, also of what only the open transaction knows', async () => {
    const about = await stream.describe('insert into t (v) values (:v) returning id, upper(v) as u')
    deepEqual(about.paramNames, [':v'])
    deepEqual(
      about.columns.map(({ name, decltype }) => [name, decltype]),
      [
        ['id', 'INTEGER'],
        ['u', undefined],
      ],
    )
    equal(about.isReadonly, false)
    await stream.run('begin')
    await stream.run('create table fresh (a)')
    equal((await stream.describe('select a from fresh')).columns.length, 1)
    await stream.run('rollback')
    await rejects(stream.describe('select a from fresh'), /no such table/)
  })

  await t.test('a node that dies takes its streams with it', async () => {
    const { baton } = await run(follower.url, 'begin')
    await follower.kill()
    const answer = await run(other.url, 'commit', baton)
    deepEqual([answer.status, answer.code], [400, 'STREAM_EXPIRED'])
  })
})

test('a JSON Web Token opens the data, over HTTP and WebSocket, and nothing else', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const key = publicKey.export({ format: 'jwk' }).x ?? ''
  const flags = ['--token', 'secret', `--auth-jwt-key=${key}`]
  const node = new ChildNode({ dir, name: 'a', port: await freePort(), join: [], flags, env: {} })
  t.after(async () => {
    await node.kill()
    rmSync(dir, { recursive: true, force: true })
  })
  node.start()
  await node.ready()
  const sign = (claims: Record<string, unknown>): Promise<string> =>
    new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA' }).sign(privateKey)
  const as = (authToken: string, protocol = 'http') =>
    createClient({ url: node.url.replace('http', protocol), authToken })
  const failsWith = (code: string) => (error: unknown) => {
    ok(error instanceof LibsqlError, String(error))
    equal(error.code, code, error.message)
    return true
  }
  for (const protocol of ['http', 'ws']) {
    const writer = as(await sign({}), protocol)
    await writer.execute('create table if not exists t (id integer primary key)')
    await writer.execute('insert into t default values')
    writer.close()
    const reader = as(await sign({ a: 'ro' }), protocol)
    ok(Number((await reader.execute('select count(*) as n from t')).rows[0]?.['n']) > 0)
    await reader.batch(['select 1', 'select 2'], 'read')
    await rejects(reader.execute('delete from t'), failsWith('FORBIDDEN'))
    await rejects(reader.batch(['delete from t'], 'write'), failsWith('FORBIDDEN'))
    reader.close()
    const late = as(await sign({ exp: 1 }), protocol)
    await rejects(late.execute('select 1'), failsWith('AUTH_JWT_EXPIRED'))
    late.close()
  }
  const headers = { authorization: `Bearer ${await sign({})}` }
  const admin = await fetch(`${node.url}/admin/verify`, { method: 'POST', headers })
  equal(admin.status, 403)
})
