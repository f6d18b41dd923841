import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { LIMITS } from '../base/limits.ts'
import type { OriginsStatus } from '../model/status.ts'
import { decodeToken } from '../model/token.ts'
import { start } from './testing/start.ts'

const ORIGINS: OriginsStatus = {
  strategy: 'multi-leader',
  group: 'east',
  keeper: 'east',
  epoch: 2,
  groups: ['east', 'west'].map((name) => ({
    ...{ name, origin: `${name}-abc123`, standing: 'writes', zone: null, nodes: [], applied: 3 },
    ...{ linked: true, cut: false, cutThere: false, unknownTo: [], behind: 0 },
  })),
  held: false,
  stableLagMs: 5,
}

test('health is always there, ready says whether the node is', async (t) => {
  const server = await start(t)
  assert.equal((await server.get('/health')).status, 200)
  assert.equal((await server.get('/ready')).status, 200)
  server.node.ready = false
  assert.equal((await server.get('/health')).status, 200)
  const { status, json } = await server.get('/ready')
  assert.equal(status, 503)
  assert.equal(json.ready, false)
})

test('status, topology with a token that works, and metrics', async (t) => {
  const server = await start(t)
  assert.deepEqual((await server.get('/status')).json, server.node.status())
  const { json } = await server.get('/topology')
  assert.equal(json.leader.url, 'http://127.0.0.1:7001')
  assert.equal(json.position, 8)
  assert.equal(json.members[0].role, 'voter')
  assert.equal(decodeToken(json.session).cluster, 'c1')
  await server.post('/v3/pipeline', {
    requests: [{ type: 'execute', stmt: { sql: 'SELECT 1' } }, { type: 'close' }],
  })
  const { text } = await server.get('/metrics')
  assert.match(text, /^quorate_log_committed 8$/m)
  assert.match(text, /^quorate_writes_total 5$/m)
  assert.match(
    text,
    /^quorate_request_seconds_count\{kind="read",level="session",outcome="ok"\} 1$/m,
  )
  assert.match((await server.get('/metrics')).text, /^quorate_writes_total 5$/m)
})

test('the probes of Hrana clients, and 404 for what is not there', async (t) => {
  const server = await start(t)
  assert.equal((await server.get('/v2')).status, 200)
  assert.equal((await server.get('/v3')).status, 200)
  assert.equal((await server.get('/v3-protobuf')).status, 200)
  for (const path of ['/v1', '/v4', '/nothing']) {
    const { status, json } = await server.get(path)
    assert.equal(status, 404)
    assert.equal(json.error.code, 'NOT_FOUND')
  }
})

test('metrics of groups are there where there are groups', async (t) => {
  const server = await start(t)
  assert.doesNotMatch((await server.get('/metrics')).text, /quorate_groups/)
  server.node.origins = ORIGINS
  const { text } = await server.get('/metrics')
  assert.match(text, /^quorate_groups 2$/m)
  assert.match(text, /^quorate_groups_linked 2$/m)
  assert.match(text, /^quorate_writes_held 0$/m)
  assert.match(text, /^quorate_stable_lag_seconds 0.005$/m)
  server.node.origins = { ...ORIGINS, stableLagMs: null }
  assert.match((await server.get('/metrics')).text, /^quorate_stable_lag_seconds Nan$/im)
})

test('events are streamed, and their listener goes with the client', async (t) => {
  const server = await start(t)
  const aborted = new AbortController()
  const response = await fetch(`${server.url}/events`, { signal: aborted.signal })
  assert.equal(response.headers.get('content-type'), 'text/event-stream')
  server.node.emit({ name: 'leader.elected', level: 'info', facts: { term: 4 } })
  let text = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    if (text.includes('data:')) break
  }
  assert.match(text, /event: leader\.elected\ndata: \{.*"term":4.*\}\n\n/)
  aborted.abort()
  const second = await fetch(`${server.url}/events`)
  await server.close()
  await second.text()
  assert.equal(server.node.listeners, 0)
})

test('a position in the log of another group is a gap', async (t) => {
  const server = await start(t)
  server.node.origins = ORIGINS
  const response = await fetch(`${server.url}/events?changes=1&after=3&of=west-abc123`)
  let text = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    if (text.includes('gap')) break
  }
  const gap = JSON.stringify({ kind: 'gap', through: 8 })
  assert.ok(text.endsWith(`event: origin\ndata: "east-abc123"\n\nevent: change\ndata: ${gap}\n\n`))
})

test('a write that was named at another group is refused, and there is no replication index', async (t) => {
  const server = await start(t)
  server.node.origins = ORIGINS
  const body = { requests: [{ type: 'execute', stmt: { sql: 'SELECT 1' } }] }
  const name = (of: string) => server.post('/v3/pipeline', body, { 'quorate-write': `s:1:2${of}` })
  const refused = await name(':west-abc123')
  assert.deepEqual([refused.status, refused.json.code], [409, 'OTHER_GROUP'])
  assert.equal((await name(':east-abc123')).status, 200)
  assert.equal((await name('')).status, 200)
  assert.equal((await server.get('/topology')).json.origin, 'east-abc123')
  server.node.origins = null
  // Who it is stays known: a node doesn't change its group.
  assert.equal((await name(':west-abc123')).status, 409)
})

test('with a token everything but probes asks for it', async (t) => {
  const server = await start(t, { token: 'secret' })
  for (const path of ['/health', '/ready', '/v2', '/v3']) {
    assert.equal((await server.get(path)).status, 200, path)
  }
  const body = { requests: [{ type: 'close' }] }
  for (const authorization of ['', 'secret', 'Bearer guess', 'Basic secret']) {
    const refused = await server.post('/v3/pipeline', body, { authorization })
    assert.equal(refused.status, 401)
    assert.equal(refused.json.code, 'UNAUTHORIZED')
    assert.equal((await server.get('/status', { authorization })).status, 401)
  }
  const authorization = 'Bearer secret'
  assert.equal((await server.post('/v3/pipeline', body, { authorization })).status, 200)
  const lower = { authorization: 'bearer secret' }
  assert.equal((await server.get('/status', lower)).status, 200)
})

test('browsers of any origin may use data, not administer', async (t) => {
  const server = await start(t)
  const preflight = await fetch(`${server.url}/v3/pipeline`, { method: 'OPTIONS' })
  assert.equal(preflight.status, 204)
  assert.equal(preflight.headers.get('access-control-allow-origin'), '*')
  const answer = await server.get('/status')
  assert.equal(answer.headers.get('access-control-expose-headers'), 'quorate-session')
  const elsewhere = { origin: 'http://example.org' }
  const refused = await server.post('/admin/verify', {}, elsewhere)
  assert.equal(refused.status, 401)
  assert.equal(refused.headers.get('access-control-allow-origin'), null)
  assert.equal((await server.post('/admin/verify', {}, { origin: server.url })).status, 200)
  assert.equal((await server.post('/admin/verify', {}, { origin: 'null' })).status, 401)
})

test('a body above the limit is refused with 413', async (t) => {
  const server = await start(t)
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  t.after(() => socket.destroy())
  const length = LIMITS.requestBytesMax + 1
  socket.write(`POST /v3/pipeline HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n\r\n`)
  const [data] = await once(socket, 'data')
  assert.match(String(data), /^HTTP\/1\.1 413 /)
  assert.match(String(data), /TOO_LARGE/)
})

test('admin commands reach the node; bodies that do not fit are named', async (t) => {
  const server = await start(t)
  const join = { id: 'd:1', name: 'd', url: 'http://127.0.0.1:1' }
  assert.deepEqual((await server.post('/admin/join', join)).json, {
    ...{ kind: 'join', ...join, role: 'voter', priority: 1 },
  })
  for (const kind of ['remove', 'promote', 'demote']) {
    const { json } = await server.post(`/admin/members/${kind}`, { name: 'b' })
    assert.deepEqual(json, { kind, name: 'b' })
  }
  assert.deepEqual((await server.post('/admin/transfer', {})).json, {
    kind: 'transfer',
    name: null,
  })
  assert.deepEqual((await server.post('/admin/verify', '')).json, { kind: 'verify' })
  for (const [path, body, command] of [
    [
      'group-join',
      { group: 'west', node: 'd:1' },
      { kind: 'joinGroup', group: 'west', node: 'd:1' },
    ],
    [
      'group-join',
      { group: 'west', node: 'd:1', zone: 'eu' },
      { kind: 'joinGroup', group: 'west', node: 'd:1', zone: 'eu' },
    ],
    ['group-zone', { group: 'west', zone: null }, { kind: 'setZone', group: 'west', zone: null }],
    ['group-remove', { group: 'west' }, { kind: 'removeGroup', group: 'west' }],
    ['group-cut', { group: 'west', cut: true }, { kind: 'cutGroup', group: 'west', cut: true }],
    [
      'group-keeper',
      { group: 'west', force: true },
      { kind: 'moveKeeper', group: 'west', force: true, alone: false },
    ],
    [
      'rule',
      { table: 't', rule: 'abort' },
      { kind: 'setRule', rule: { table: 't', column: '', rule: 'abort' } },
    ],
    [
      'conflict-close',
      { time: 5, origin: 'a', number: 0 },
      { kind: 'closeConflict', time: 5, origin: 'a', number: 0 },
    ],
  ] as const) {
    assert.deepEqual((await server.post(`/admin/${path}`, body)).json, command)
  }
  const cases = [
    ['/admin/group-cut', { group: 'west' }, /cut/],
    ['/admin/group-zone', { group: 'west' }, /zone/],
    ['/admin/rule', { table: 't' }, /rule/],
    ['/admin/conflict-close', { time: -5, origin: 'a', number: 0 }, /time/],
    ['/admin/join', { ...join, url: 'ftp://x' }, /url/],
    ['/admin/members/remove', {}, /name/],
    ['/admin/members/remove', '{', /not JSON/],
  ] as const
  for (const [path, body, expected] of cases) {
    const { status, json } = await server.post(path, body)
    assert.deepEqual([status, json.error.code], [400, 'BAD_REQUEST'])
    assert.match(json.error.message, expected)
  }
  server.node.reply = { kind: 'admin', value: { cluster: { floor: new Map([['a', 1]]) } } }
  assert.deepEqual((await server.post('/admin/group-join', { group: 'west', node: 'd:1' })).json, {
    cluster: { floor: [['a', 1]] },
  })
  server.node.reply = { kind: 'error', error: { code: 'MEMBER_UNKNOWN', detail: 'No b.' } }
  assert.equal((await server.post('/admin/members/remove', { name: 'b' })).status, 404)
})

test('snapshots and lost transactions', async (t) => {
  const server = await start(t)
  const snapshot = await server.get('/admin/snapshot')
  assert.equal(snapshot.headers.get('content-type'), 'application/octet-stream')
  assert.match(snapshot.text, /^SQLite format 3\0/)
  assert.deepEqual((await server.get('/admin/lost')).json, [{ file: 'lost-1.json' }])
  assert.equal((await server.get('/admin/lost/lost-1.json')).json.file, 'lost-1.json')
  assert.equal((await server.post('/admin/lost/lost-1.json/replay', {})).json.replayed, 2)
  assert.equal((await server.get('/admin/lost/..%2fsecret')).status, 404)
})

test('rules are what the replica has; with one leader there are none', async (t) => {
  const server = await start(t)
  assert.equal((await server.get('/admin/rules')).json.error.code, 'NO_GROUPS')
  server.node.origins = ORIGINS
  server.node.db.exec(`create table _quorate_rules (name, column, rule);
    insert into _quorate_rules values ('t', '', 'abort'), ('t', 'n', 'add')`)
  assert.deepEqual((await server.get('/admin/rules')).json, [
    { table: 't', column: '', rule: 'abort' },
    { table: 't', column: 'n', rule: 'add' },
  ])
})

test('faults reach the node', async (t) => {
  const server = await start(t)
  const cut = { cut: ['b'] }
  assert.equal((await server.post('/admin/fault', cut)).status, 200)
  assert.deepEqual(server.node.faults, [cut])
  assert.equal((await server.post('/admin/fault', { burn: true })).status, 400)
})

test('a node that starts is met', async (t) => {
  const server = await start(t)
  const { json } = await server.post('/admin/meet', { promise: 'b:2' })
  assert.deepEqual([json.id, json.promised], ['a:00000001', 'b:2'])
  assert.equal((await server.post('/admin/meet', {})).status, 400)
})

test('an upgrade goes to the handler of its path, any other is refused', async (t) => {
  const seen: string[] = []
  const peer = (request: { url?: string | undefined }, socket: Duplex) => {
    seen.push(request.url ?? '')
    socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n')
  }
  const server = await start(t, { upgrades: { '/peer': peer } })
  const { port } = new URL(server.url)
  const upgrade = async (path: string) => {
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n`)
    const [data] = await once(socket, 'data')
    socket.destroy()
    return String(data).split('\r\n', 1)[0]
  }
  assert.equal(await upgrade('/peer'), 'HTTP/1.1 101 Switching Protocols')
  assert.equal(await upgrade('/else'), 'HTTP/1.1 404 Not Found')
  assert.deepEqual(seen, ['/peer'])
})
