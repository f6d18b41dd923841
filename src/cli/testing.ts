/** Statuses for the tests of the views: a cluster that is well, to be changed where a test wants. */
import type { MemberStatus, NodeStatus } from '../model/status.ts'
import type { NodeSample } from './cluster-view.ts'

export function memberStatus(name: string, change: Partial<MemberStatus> = {}): MemberStatus {
  const port = 7001 + name.charCodeAt(0) - 'a'.charCodeAt(0)
  return {
    id: `${name}:00000000`,
    name,
    url: `http://127.0.0.1:${port}`,
    role: 'voter',
    wants: 'voter',
    priority: 1,
    leader: name === 'a',
    connected: true,
    held: name === 'a' ? 1234 : null,
    progress: null,
    ...change,
  }
}

export function nodeStatus(name: string, change: Partial<NodeStatus> = {}): NodeStatus {
  const { id, url } = memberStatus(name)
  return {
    name,
    id,
    url,
    cluster: '5f0c2b1e',
    release: '0.1.0',
    ready: true,
    role: name === 'a' ? 'leader' : 'follower',
    term: 3,
    leader: { name: 'a', url: memberStatus('a').url },
    log: { first: 1, last: 1234, durable: 1234, committed: 1234, applied: 1234 },
    members: ['a', 'b', 'c'].map((each) => memberStatus(each)),
    origins: null,
    counters: {
      writes: 1000,
      reads: 5000,
      batches: 400,
      elections: 1,
      snapshotsSent: 2,
      snapshotsInstalled: 0,
      takenBack: 0,
    },
    lostFiles: 0,
    alarms: [],
    memoryBytes: 98 * 1024 * 1024,
    databaseBytes: 30 * 1024 * 1024,
    walBytes: 4096,
    uptimeMs: 60_000,
    ...change,
  }
}

export function nodeSample(name: string, change: Partial<NodeSample> = {}): NodeSample {
  const status = nodeStatus(name)
  return { name, url: status.url, status, note: null, rates: null, ...change }
}
