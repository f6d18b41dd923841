/** What a client has seen of a cluster with several groups, on its way through streams. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SessionToken } from '../../model/request.ts'
import type { OriginsStatus } from '../../model/status.ts'
import { decodeToken, encodeToken } from '../../model/token.ts'
import { start } from '../testing/start.ts'
import { toReplicationIndex } from './replication-index.ts'
import { laterOf } from './stream.ts'

type Seen = Readonly<Record<string, number>>

function tokenOf(self: string, index: number, seen: Seen): SessionToken {
  return { cluster: 'c1', term: 1, index, origins: { self, seen: Object.entries(seen) } }
}

test('there is no replication index, and one that comes says nothing', async (t) => {
  const index = toReplicationIndex({ cluster: 'c1', term: 1, index: 9 })
  assert.notEqual(index, null)
  assert.equal(toReplicationIndex(tokenOf('east', 9, { east: 1 })), null)
  const server = await start(t)
  const origins: OriginsStatus = {
    ...{ strategy: 'peer', group: 'east', keeper: 'east', epoch: 1, held: false, stableLagMs: 1 },
    groups: ['east'].map((name) => ({
      ...{ name, origin: 'east-abc123', standing: 'writes', zone: null, nodes: [], applied: 1 },
      ...{ linked: true, cut: false, cutThere: false, unknownTo: [], behind: 0 },
    })),
  }
  server.node.origins = origins
  const stmt = { sql: 'SELECT 1', replication_index: String(index) }
  await server.post('/v3/pipeline', { requests: [{ type: 'execute', stmt }, { type: 'close' }] })
  const read = server.node.requests.at(-1)
  assert.equal(read?.kind === 'read' && read.token, null)
})

test('a stream shows what its client and its own answers have seen, together', async (t) => {
  const server = await start(t)
  server.node.seen = {
    self: 'east',
    seen: [
      ['east', 4],
      ['west', 2],
    ],
  }
  const shown = tokenOf('west', 90, { east: 1, west: 7 })
  const answer = await server.post(
    '/v3/pipeline',
    { requests: [{ type: 'execute', stmt: { sql: 'SELECT 1' } }, { type: 'close' }] },
    { 'quorate-session': encodeToken(shown) },
  )
  const read = server.node.requests.at(-1)
  assert.deepEqual(read?.kind === 'read' && read.token, shown)
  const { origins } = decodeToken(answer.headers.get('quorate-session') ?? '')
  assert.deepEqual(origins, {
    self: 'east',
    seen: [
      ['east', 4],
      ['west', 7],
    ],
  })
})

test('with one leader the position counts, as before', () => {
  const known = { cluster: 'c1', term: 2, index: 9 }
  assert.equal(laterOf(known, { ...known, index: 8 }), known)
  const elsewhere = { ...known, cluster: 'c2', index: 1 }
  assert.equal(laterOf(known, elsewhere), elsewhere)
})
