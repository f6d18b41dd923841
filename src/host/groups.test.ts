/** Nodes with all their threads and sockets, in clusters of several groups. */
import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fromErrorData } from '../base/errors.ts'
import type { AdminCommand, NodeReply, NodeRequest } from '../model/request.ts'
import { NODE_DEFAULTS, type NodeOptions } from '../node/options.ts'
import type { NodeEvent } from '../node/ports.ts'
import { detachFile } from '../store/files/plain-file.ts'
import { type RunningNode, startNode } from './start-node.ts'

const TIMEOUT_MS = 20_000

/** Nodes in a folder of their own, stopped after the test. */
function cluster(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-groups-'))
  const running = new Set<RunningNode>()
  t.after(async () => {
    await Promise.all([...running].map((node) => node.stop()))
    rmSync(dir, { recursive: true })
  })
  const pathOf = (name: string): string => join(dir, `${name}.db`)
  return {
    pathOf,
    start: async (
      name: string,
      change: Partial<NodeOptions>,
      signal = AbortSignal.timeout(TIMEOUT_MS),
      tell: (reason: string) => void = () => {},
      onEvent: (event: NodeEvent) => void = () => {},
    ): Promise<RunningNode> => {
      const file = pathOf(name)
      const options = { ...NODE_DEFAULTS, file, name, listen: '127.0.0.1:0', ...change }
      const node = await startNode(options, signal, (event) => {
        if (event.name === 'join.waiting') tell(String(event.facts['reason']))
        onEvent(event)
      })
      running.add(node)
      return node
    },
    stop: async (node: RunningNode): Promise<void> => {
      running.delete(node)
      await node.stop()
    },
  }
}

async function ask(node: RunningNode, asked: NodeRequest): Promise<NodeReply> {
  const reply = await new Promise<NodeReply>((resolve) => node.request(asked, resolve))
  if (reply.kind === 'error') throw fromErrorData(reply.error)
  return reply
}

async function write(node: RunningNode, sql: string): Promise<void> {
  const program = { atomic: true, steps: [{ statement: { sql } }] }
  const reply = await ask(node, { kind: 'write', program, ack: 'majority', timeoutMs: TIMEOUT_MS })
  const step = reply.kind === 'result' ? reply.result.steps[0] : null
  if (step != null && 'error' in step) throw fromErrorData(step.error)
}

async function read(node: RunningNode, sql: string): Promise<unknown> {
  const program = { atomic: true, steps: [{ statement: { sql } }] }
  const levels = { level: 'local', token: null, timeoutMs: TIMEOUT_MS } as const
  const reply = await ask(node, { kind: 'read', program, ...levels })
  const step = reply.kind === 'result' ? reply.result.steps[0] : null
  return step != null && 'ok' in step ? step.ok.rows : null
}

const administer = (node: RunningNode, command: AdminCommand): Promise<NodeReply> =>
  ask(node, { kind: 'admin', command, timeoutMs: TIMEOUT_MS })

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + TIMEOUT_MS
  while (!(await isTrue().valueOf())) {
    equal(performance.now() < end, true, `not in time: ${isTrue}`)
    await sleep(20)
  }
}

/** Until a node sees the rows that are expected. */
async function untilRows(node: RunningNode, sql: string, rows: unknown): Promise<void> {
  let seen = ''
  const expected = textOf(rows)
  const end = performance.now() + TIMEOUT_MS
  while (seen !== expected && performance.now() < end) {
    seen = textOf(await read(node, sql).catch((error: Error) => error.message))
    if (seen !== expected) await sleep(20)
  }
  equal(seen, expected)
}

function textOf(rows: unknown): string {
  return JSON.stringify(rows, (_key, value) => (typeof value === 'bigint' ? Number(value) : value))
}

const groupNames = (node: RunningNode): string[] =>
  (node.status().origins?.groups ?? []).map(({ name, standing }) => `${name} ${standing}`)

const EAST = { strategy: 'multi-leader', group: 'east' } as const

test('three nodes of a new group start at once: one founds it, the others follow', async (t) => {
  const { start } = cluster(t)
  const a = await start('a', EAST)
  await write(a, 'create table city (id integer primary key, name text)')
  await write(a, "insert into city values (1, 'Ulm')")
  const west = { group: 'west', join: [a.url] }
  const nodes = await Promise.all(['b', 'c', 'd'].map((name) => start(name, west)))
  await until(() =>
    nodes.every((node) => node.status().ready && node.status().members.length === 3),
  )
  deepEqual(groupNames(a), ['east writes', 'west writes'])
  const [b] = nodes as [RunningNode]
  await write(b, "insert into city values (2, 'Bonn')")
  await write(a, "insert into city values (3, 'Kiel')")
  for (const node of [a, ...nodes]) {
    await untilRows(node, 'select id from city order by id', [[1], [2], [3]])
  }
  deepEqual(b.levels, { ack: 'majority', read: 'session' })
})

test('a group has the zone that its first node said, until somebody says another', async (t) => {
  const { start, stop } = cluster(t)
  const a = await start('a', { ...EAST, zone: 'eu' })
  const west = { group: 'west', join: [a.url] }
  const b = await start('b', { ...west, zone: 'us' })
  const c = await start('c', { ...west, zone: 'elsewhere' })
  const zones = (node: RunningNode) => node.status().origins?.groups.map(({ zone }) => zone)
  await until(() => c.status().ready)
  deepEqual([a, b, c].map(zones), Array(3).fill(['eu', 'us']))
  await administer(b, { kind: 'setZone', group: 'east', zone: null })
  deepEqual(zones(b), [null, 'us'])
  await until(() => zones(a)?.[0] === null)
  await stop(a)
  const told: NodeEvent['facts'][] = []
  const again = await start('a', { zone: 'eu' }, undefined, undefined, ({ name, facts }) => {
    if (name === 'zone.differs') told.push(facts)
  })
  deepEqual(told, [{ told: 'eu', group: 'east', zone: '' }])
  deepEqual(zones(again), [null, 'us'])
})

test('what a node is asks for no flags when it starts again, and flags may not disagree', async (t) => {
  const { start, stop } = cluster(t)
  const a = await start('a', { strategy: 'peer' })
  deepEqual(a.levels, { ack: 'quorum', read: 'quorum' })
  await write(a, 'create table city (id integer primary key)')
  await stop(a)
  const refused = (change: Partial<NodeOptions>): Promise<void> =>
    rejects(start('a', change), { code: 'BAD_CONFIG' })
  await refused({ strategy: 'leader' })
  await refused({ strategy: 'multi-leader' })
  await refused({ group: 'b' })
  const again = await start('a', {})
  equal(again.status().origins?.group, 'a')
  deepEqual(await read(again, 'select * from city'), [])
  await refused2(start('b', { strategy: 'multi-leader' }), /group is missing/)
})

async function refused2(started: Promise<unknown>, detail: RegExp): Promise<void> {
  await rejects(started, (error: Error) => {
    match(error.message, detail)
    return true
  })
}

test('a founder that ends in the middle of it begins again', async (t) => {
  const { start, pathOf } = cluster(t)
  const a = await start('a', EAST)
  await write(a, 'create table city (id integer primary key)')
  await write(a, 'insert into city values (1)')
  let snapshots = 0
  const stopping = new AbortController()
  // The first copy breaks off; during the second the node is stopped.
  const url = await proxy(t, a.url, (_, response) => {
    snapshots += 1
    if (snapshots === 1)
      response.writeHead(200).write('SQLite format 3\0', () => response.destroy())
    else stopping.abort(new Error('stopped'))
  })
  const west = { group: 'west', join: [url] }
  await rejects(start('b', west, stopping.signal), { message: 'stopped' })
  equal(snapshots, 2)
  equal(existsSync(`${pathOf('b')}-quorate/founding.db`), false)
  const told: string[] = []
  const giveUp = new AbortController()
  const other = start('c', { ...west, join: [a.url] }, giveUp.signal, (reason) => {
    told.push(reason)
    giveUp.abort(new Error('gave up'))
  })
  await rejects(other, { name: 'AbortError' })
  match(told[0] ?? '', /Group west is to be founded by node b:\w+, which has not done it yet/)
  const b = await start('b', { ...west, join: [a.url] })
  await untilRows(b, 'select id from city', [[1]])
})

test('a founder that is lost before it founded is removed, and the group joins anew', async (t) => {
  const { start, pathOf } = cluster(t)
  const a = await start('a', EAST)
  await write(a, 'create table city (id integer primary key)')
  const stopping = new AbortController()
  const url = await proxy(t, a.url, () => stopping.abort(new Error('stopped')))
  const west = { group: 'west', join: [url] }
  await rejects(start('b', west, stopping.signal), { message: 'stopped' })
  rmSync(`${pathOf('b')}-quorate`, { recursive: true })
  await administer(a, { kind: 'removeGroup', group: 'west' })
  const b = await start('b', { ...west, join: [a.url] })
  deepEqual(groupNames(b), ['east writes', 'west removed', 'west writes'])
  await write(b, 'insert into city values (7)')
  await untilRows(a, 'select id from city', [[7]])
})

test('peers that start together found one cluster, each a group of its own', async (t) => {
  const { start } = cluster(t)
  const ports = await Promise.all([freePort(), freePort(), freePort()])
  const urls = ports.map((port) => `http://127.0.0.1:${port}`)
  const nodes = await Promise.all(
    ports.map((port, at) =>
      start(`p${at}`, {
        ...{ strategy: 'peer', join: urls, expect: 3, listen: `127.0.0.1:${port}` },
      }),
    ),
  )
  await until(() => nodes.every((node) => groupNames(node).length === 3))
  const [first, second, third] = nodes as [RunningNode, RunningNode, RunningNode]
  await write(first, 'create table city (id integer primary key)')
  await untilRows(second, 'select id from city', [])
  await write(second, 'insert into city values (2)')
  await untilRows(third, 'select id from city', [[2]])
  equal(new Set(nodes.map((node) => node.status().cluster)).size, 1)
})

test('what a removed group had not shipped is kept, and handed in again', async (t) => {
  const { start, stop, pathOf } = cluster(t)
  const a = await start('a', EAST)
  await write(a, 'create table city (id integer primary key, name text)')
  await write(a, 'create table made (city integer primary key, times integer)')
  await write(
    a,
    'create trigger making after insert on city begin insert into made values (new.id, 1); end',
  )
  const west = { group: 'west', join: [a.url] }
  const b = await start('b', west)
  await write(b, "insert into city values (1, 'Ulm')")
  await untilRows(a, 'select id from city', [[1]])
  await administer(b, { kind: 'cutGroup', group: 'east', cut: true })
  await write(b, "insert into city values (2, 'Bonn')")
  await write(b, "update city set name = 'Kiel' where id = 1")
  await administer(a, { kind: 'removeGroup', group: 'west' })
  await administer(b, { kind: 'cutGroup', group: 'east', cut: false })
  await until(() => b.status().lostFiles === 1)
  await rejects(write(b, 'insert into city values (3, null)'), { code: 'GROUP_REMOVED' })
  await stop(b)
  detachFile(pathOf('b'))
  rmSync(pathOf('b'))
  const again = await start('b', west)
  await untilRows(again, 'select id, name from city', [[1, 'Ulm']])
  const [file] = (await (await fetch(`${again.url}/admin/lost`)).json()) as { file: string }[]
  const replayed = await fetch(`${again.url}/admin/lost/${file?.file}/replay`, { method: 'POST' })
  deepEqual(await replayed.json(), {
    ...{ file: file?.file, replayed: 2, conflicts: [], skipped: [], triggersSetAside: ['making'] },
  })
  const rows = [
    [1, 'Kiel'],
    [2, 'Bonn'],
  ]
  for (const node of [a, again]) await untilRows(node, 'select id, name from city', rows)
  await write(again, "insert into city values (3, 'Jena')")
  const made = 'select city, times from made order by city'
  for (const node of [a, again])
    await untilRows(
      node,
      made,
      [1, 2, 3].map((id) => [id, 1]),
    )
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Hands everything on to a node but what asks for its file. */
async function proxy(
  t: TestContext,
  to: string,
  snapshot: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer((incoming, response) => {
    if (incoming.url === '/admin/snapshot') {
      snapshot(incoming, response)
      return
    }
    const { method = 'GET', headers, url = '' } = incoming
    const onward = request(new URL(url, to), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    incoming.pipe(onward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
