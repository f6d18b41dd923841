import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterToJson, decodeAdmission, decodeCluster, mapsAsPairs } from './cluster-codec.ts'
import type { Cluster } from './origin-entry.ts'
import type { GroupAdmission } from './request.ts'

const CLUSTER: Cluster = {
  strategy: 'multi-leader',
  epoch: 4,
  keeper: 'east-abc123',
  origins: [
    {
      ...{ origin: 'east-abc123', name: 'east', founder: 'a:00000001', slot: 0, zone: 'eu' },
      standing: { kind: 'writes', since: 1 },
    },
    {
      ...{ origin: 'west-abc123', name: 'west', founder: 'b:00000001', slot: 1 },
      standing: { kind: 'removed', last: 17 },
    },
    {
      ...{ origin: 'west-def456', name: 'west', founder: 'b:00000002', slot: 2 },
      standing: { kind: 'frozen' },
    },
  ],
  floor: new Map([['west-abc123', 17]]),
}
const ADMISSION: GroupAdmission = {
  origin: 'west-def456',
  cluster: CLUSTER,
  nodes: [{ id: 'b:00000002', name: 'b', url: 'http://127.0.0.1:7002' }],
}

test('a cluster and an admission come back from their JSON', () => {
  assert.deepEqual(decodeCluster(JSON.parse(clusterToJson(CLUSTER))), CLUSTER)
  const json = JSON.parse(JSON.stringify(ADMISSION, mapsAsPairs))
  assert.deepEqual(decodeAdmission(json), ADMISSION)
})

test('what does not fit together is refused', () => {
  const json = JSON.parse(clusterToJson(CLUSTER))
  const [east, west] = json.origins
  const wrong = [
    null,
    [],
    { ...json, strategy: 'leader' },
    { ...json, epoch: -1 },
    { ...json, keeper: 'south-abc123' },
    { ...json, floor: {} },
    { ...json, floor: [['west-abc123', 0]] },
    { ...json, origins: [east, east] },
    { ...json, origins: [east, { ...west, slot: 0 }] },
    { ...json, origins: [east, { ...west, slot: 1024 }] },
    { ...json, origins: [{ ...east, standing: { kind: 'writes' } }] },
    { ...json, origins: [{ ...east, standing: { kind: 'asleep' } }] },
    { ...json, origins: [{ ...east, founder: undefined }] },
    { ...json, origins: [{ ...east, zone: 7 }] },
    { ...json, origins: [{ ...east, origin: 'a b' }], keeper: 'a b' },
  ]
  for (const each of wrong) {
    assert.throws(() => decodeCluster(each), { code: 'BAD_REQUEST' }, JSON.stringify(each))
  }
  for (const nodes of [null, [{}], [{ id: 'a', name: 'a', url: 1 }], Array(257).fill({})]) {
    assert.throws(() => decodeAdmission({ ...ADMISSION, cluster: json, nodes }), {
      code: 'BAD_REQUEST',
    })
  }
})
