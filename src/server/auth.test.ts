import { deepEqual, equal, rejects, throws } from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type JWTPayload, SignJWT } from 'jose'
import { Auth } from './auth.ts'
import { loadJwtKeys } from './jwt-keys.ts'
import { start } from './testing/start.ts'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const other = generateKeyPairSync('ed25519')
const NOW_S = Math.floor(Date.now() / 1000)

function sign(claims: JWTPayload, key: KeyObject = privateKey): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA' }).sign(key)
}

/** May the bearer write? Or the code of why nothing may be done. */
async function verdict(claims: JWTPayload, key: KeyObject = privateKey): Promise<unknown> {
  const auth = new Auth(null, [other.publicKey, publicKey])
  try {
    return (await auth.checkToken(await sign(claims, key))).mayWrite
  } catch (error) {
    return (error as { code?: string }).code
  }
}

test('claims decide: access, times, database, scopes', async () => {
  const stranger = generateKeyPairSync('ed25519')
  equal(await verdict({}), true)
  equal(await verdict({}, other.privateKey), true, 'any of the keys')
  equal(await verdict({}, stranger.privateKey), 'AUTH_JWT_INVALID')
  equal(await verdict({ a: 'rw', id: 'default' }), true)
  equal(await verdict({ a: 'ro' }), false)
  equal(await verdict({ a: 'admin' }), 'AUTH_JWT_INVALID')
  equal(await verdict({ id: 'elsewhere' }), 'FORBIDDEN')
  equal(await verdict({ exp: NOW_S + 60 }), true)
  equal(await verdict({ exp: NOW_S - 300 }), 'AUTH_JWT_EXPIRED')
  equal(await verdict({ nbf: NOW_S - 60 }), true)
  equal(await verdict({ nbf: NOW_S + 300 }), 'AUTH_JWT_IMMATURE')
  equal(await verdict({ a: 'rw', p: { ro: { ns: ['default'] } } }), false)
  equal(await verdict({ a: 'ro', p: { rwa: { ns: ['x', 'default'] } } }), true)
  equal(await verdict({ p: { rw: { ns: ['x'] } } }), 'FORBIDDEN')
})

test('what is no token of ours is refused: other algorithms, other schemes, none, nonsense', async () => {
  const auth = new Auth(null, [publicKey])
  throws(() => auth.check(undefined), { code: 'AUTH_JWT_MISSING' })
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`
  const secret = new TextEncoder().encode(publicKey.export({ format: 'jwk' }).x ?? '')
  const hmac = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).sign(secret)
  const good = await sign({})
  for (const bad of [unsigned, hmac, 'a.b.c', '', `${good}x`, 'x'.repeat(10_000)]) {
    await rejects(async () => auth.check(`Bearer ${bad}`), { code: 'AUTH_JWT_INVALID' })
  }
  await rejects(async () => auth.check(`Basic ${good}`), { code: 'AUTH_JWT_INVALID' })
  equal((await auth.check(`bearer  ${good}`)).mayAdminister, false)
})

test('a good token is known the second time, until it ends', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: NOW_S * 1000 })
  const auth = new Auth(null, [publicKey])
  const token = await sign({ exp: NOW_S + 100, a: 'ro' })
  await auth.checkToken(token)
  const known = auth.checkToken(token)
  deepEqual(known, { mayWrite: false, mayAdminister: false, until: (NOW_S + 130) * 1000 })
  t.mock.timers.setTime((NOW_S + 131) * 1000)
  await rejects(async () => auth.checkToken(token), { code: 'AUTH_JWT_EXPIRED' })
})

test('the cluster token opens everything; without any token asked for, everybody may', async () => {
  const auth = new Auth('secret', [publicKey])
  equal((await auth.check('Bearer secret')).mayAdminister, true)
  equal((await auth.checkToken(await sign({}))).mayAdminister, false)
  throws(() => new Auth('secret', []).check('Bearer wrong'), { code: 'UNAUTHORIZED' })
  equal((await new Auth(null, []).check(undefined)).mayAdminister, true)
})

test('keys come in base64, in PEM, or in a file with either', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const write = (name: string, content: string) => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString()
  const raw = publicKey.export({ format: 'jwk' }).x ?? ''
  const padded = Buffer.from(raw, 'base64url').toString('base64')
  const several = other.publicKey.export({ format: 'pem', type: 'spki' }).toString() + pem
  const token = await sign({})
  for (const given of [raw, padded, pem, write('raw', `${raw}\n`), write('several.pem', several)]) {
    const auth = new Auth(null, loadJwtKeys(given))
    equal((await auth.checkToken(token)).mayWrite, true)
  }
  const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
  const bad = [
    join(folder, 'missing'),
    write('empty', ''),
    write('private.pem', privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()),
    write('rsa.pem', rsa.export({ format: 'pem', type: 'spki' }).toString()),
    pem.replace('MC', 'XX'),
  ]
  for (const given of bad) throws(() => loadJwtKeys(given), { code: 'BAD_CONFIG' }, given)
})

test('over HTTP: a reading token reads, on any path that writes it is FORBIDDEN', async (t) => {
  const server = await start(t, { token: 'secret', jwtKeys: [publicKey] })
  server.node.db.exec('CREATE TABLE t (a)')
  const run = async (token: string | null, ...statements: string[]) => {
    const requests = statements.map((sql) => ({ type: 'execute', stmt: { sql } }))
    const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {}
    const body = { requests: [...requests, { type: 'close' }] }
    const { status, json } = await server.post('/v2/pipeline', body, headers)
    if (status !== 200) return json.code
    return json.results.slice(0, -1).map((one: { error?: { code: string } }) => one.error?.code)
  }
  const reading = await sign({ a: 'ro' })
  deepEqual(await run(await sign({}), 'INSERT INTO t VALUES (1)', 'BEGIN'), [undefined, undefined])
  deepEqual(await run(reading, 'SELECT * FROM t'), [undefined])
  const writes = ['INSERT INTO t VALUES (1)', 'DROP TABLE t', 'PRAGMA user_version = 2']
  deepEqual(
    await run(reading, ...writes),
    writes.map(() => 'FORBIDDEN'),
  )
  const before = server.node.requests.length
  const inside = await run(reading, 'BEGIN IMMEDIATE', 'DELETE FROM t', 'SELECT 1', 'COMMIT')
  deepEqual(inside, [undefined, 'SQLITE_READONLY', undefined, undefined])
  const kinds = server.node.requests.slice(before).map(({ kind }) => kind)
  equal(kinds.includes('stream') || kinds.includes('write'), false, `asked for ${kinds}`)
  equal(await run(null, 'SELECT 1'), 'AUTH_JWT_MISSING')
  equal(await run(await sign({ exp: 1 }), 'SELECT 1'), 'AUTH_JWT_EXPIRED')
  equal((await server.get('/v3-protobuf')).status, 200, 'probes show no token')
  const admin = await server.post(
    '/admin/verify',
    {},
    { authorization: `Bearer ${await sign({})}` },
  )
  deepEqual([admin.status, admin.json.code], [403, 'FORBIDDEN'])
  const cluster = await server.post('/admin/verify', {}, { authorization: 'Bearer secret' })
  equal(cluster.status, 200)
  const count = server.node.db.prepare('SELECT count(*) AS n FROM t').get()
  equal(count?.['n'], 1)
})
