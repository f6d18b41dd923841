import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { mapsAsPairs } from '../model/cluster-codec.ts'
import type { Cluster, GroupNode } from '../model/origin-entry.ts'
import { NODE_DEFAULTS, type NodeOptions } from '../node/options.ts'
import { begin, Promises, type Start } from './founding.ts'

const SELF = { id: 'b1:00000002', url: 'http://127.0.0.1:2' }
const MEMBERS = { cluster: 'c1', members: [] }

/** Somebody else in another group is called like a third, and was before a group that is gone. */
const STATUS = {
  origins: {
    groups: [
      { name: 'a', standing: 'writes', nodes: [{ id: 'a9:1', name: 'a9', url: 'http://a9' }] },
      { name: 'z', standing: 'removed', nodes: [{ id: 'b1:1', name: 'b1', url: 'http://b1' }] },
    ],
  },
}

/** A node of a cluster that answers what a test says, and notes what it is asked. */
async function clusterNode(t: TestContext, answers: Readonly<Record<string, () => unknown>>) {
  const asked: { readonly path: string; readonly body: unknown }[] = []
  const server = createServer(async (request, response) => {
    const path = request.url ?? ''
    if (request.method === 'POST') asked.push({ path, body: await json(request) })
    const answer = path === '/status' ? STATUS : answers[path]?.()
    const failed = answer === undefined || (typeof answer === 'object' && 'error' in (answer ?? {}))
    response.writeHead(failed ? 500 : 200, { 'content-type': 'application/json' })
    const value = answer ?? { error: { code: 'NOT_READY', message: path } }
    response.end(JSON.stringify(value, mapsAsPairs))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

function beginAt(
  t: TestContext,
  url: string,
  change: Partial<NodeOptions>,
  tell: (reason: string) => void = () => {},
): Promise<Start> {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-joining-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const options = { ...NODE_DEFAULTS, file: 'x', name: 'b1', listen: '', join: [url], ...change }
  return begin(options, SELF, new Promises(folder), tell, AbortSignal.timeout(20_000))
}

const meeting = (strategy: string | null) => () => ({ cluster: 'c1', strategy, promised: null })

function admission(founder: string, nodes: readonly GroupNode[]): object {
  const standing = { kind: 'writes', since: 1 } as const
  const cluster: Cluster = {
    ...{ strategy: 'multi-leader', epoch: 2, keeper: 'a-000000', floor: new Map() },
    origins: [
      { origin: 'a-000000', name: 'a', founder: 'a1:00000001', slot: 0, standing },
      { origin: 'b-111111', name: 'b', founder, slot: 1, standing },
    ],
  }
  return { origin: 'b-111111', cluster, nodes }
}

test('a node that was told something else than its cluster has does not start', async (t) => {
  const leader = await clusterNode(t, { '/admin/meet': meeting('leader') })
  const several = await clusterNode(t, { '/admin/meet': meeting('multi-leader') })
  const refused = async (url: string, change: Partial<NodeOptions>, detail: RegExp) => {
    await rejects(beginAt(t, url, change), (error: Error & { code?: string; detail?: string }) => {
      equal(error.code, 'BAD_CONFIG')
      match(error.detail ?? '', detail)
      return true
    })
  }
  await refused(leader.url, { strategy: 'peer' }, /told peer, and the cluster of .* has leader/)
  await refused(leader.url, { group: 'east' }, /group: .* has one leader for all nodes/)
  await refused(leader.url, { zone: 'eu' }, /zone: .* has one leader for all nodes/)
  await refused(several.url, { strategy: 'leader' }, /told leader, and .* has multi-leader/)
  await refused(several.url, {}, /group is missing: .*--group NAME/)
  await refused(several.url, { group: 'a b' }, /a b can't be what a group is called/)
})

test('a node takes the strategy of its cluster', async (t) => {
  const one = { '/admin/meet': meeting('leader'), '/admin/join': () => MEMBERS }
  const { url, asked } = await clusterNode(t, one)
  deepEqual(await beginAt(t, url, {}), { kind: 'join', strategy: 'leader', members: MEMBERS })
  deepEqual(
    asked.map(({ path }) => path),
    ['/admin/meet', '/admin/join'],
  )
})

test('the node that asked first founds its group', async (t) => {
  const { url, asked } = await clusterNode(t, {
    '/admin/meet': meeting('multi-leader'),
    '/admin/group-join': () => admission(SELF.id, []),
  })
  const start = await beginAt(t, url, { group: 'b' })
  const founds = { kind: 'foundGroup', strategy: 'multi-leader', group: 'b' } as const
  deepEqual(start, { ...founds, origin: 'b-111111', url })
  deepEqual(asked[1], { path: '/admin/group-join', body: { group: 'b', node: SELF.id } })
  await beginAt(t, url, { group: 'b', zone: 'eu' })
  deepEqual(asked[3]?.body, { group: 'b', node: SELF.id, zone: 'eu' })
  await rejects(beginAt(t, url, { group: 'b', zone: 'no good' }), { code: 'BAD_CONFIG' })
})

test('the others wait until it has, and join the nodes that are there', async (t) => {
  const member = await clusterNode(t, { '/admin/join': () => MEMBERS })
  const gone = { id: 'b2:00000003', name: 'b2', url: 'http://127.0.0.1:1' }
  const there = { id: 'b3:00000004', name: 'b3', url: member.url }
  let founded = false
  const { url } = await clusterNode(t, {
    '/admin/meet': meeting('multi-leader'),
    '/admin/group-join': () => admission('b3:00000004', founded ? [gone, there] : []),
  })
  const told: string[] = []
  const start = await beginAt(t, url, { group: 'b' }, (reason) => {
    told.push(reason)
    founded = true
  })
  deepEqual(start, { kind: 'join', strategy: 'multi-leader', members: MEMBERS })
  match(told.join(), /Group b is to be founded by node b3:00000004, .*groups remove b/)
})

test('two peers can not have one name', async (t) => {
  const { url, asked } = await clusterNode(t, {
    '/admin/meet': meeting('peer'),
    '/admin/group-join': () =>
      admission('b1:99999999', [{ id: 'b1:99999999', name: 'b1', url: 'http://127.0.0.1:9' }]),
  })
  await rejects(beginAt(t, url, {}), { code: 'NAME_IN_USE' })
  deepEqual(asked[1]?.body, { group: 'b1', node: SELF.id }, 'a peer is a group of its own')
})

test('a name that a node of another group has is in use', async (t) => {
  const { url, asked } = await clusterNode(t, { '/admin/meet': meeting('multi-leader') })
  await rejects(beginAt(t, url, { name: 'a9', group: 'b' }), { code: 'NAME_IN_USE' })
  equal(asked.length, 1)
})

test('a cluster that is being founded is waited for', async (t) => {
  let ready = false
  const { url } = await clusterNode(t, {
    '/admin/meet': () => meeting(ready ? 'leader' : null)(),
    '/admin/join': () => MEMBERS,
  })
  const told: string[] = []
  await beginAt(t, url, {}, (reason) => {
    told.push(reason)
    ready = true
  })
  match(told.join(), /does not belong to a cluster yet/)
})
