/** What a node says of itself. */
import type { MemberStatus, NodeStatus } from '../model/status.ts'
import type { NodeDriver } from './driver.ts'
import { originAlarmsOf, originsStatusOf } from './origins/origins-status.ts'

interface Identity {
  readonly name: string
  readonly id: string
  readonly url: string
  readonly release: string
}

/** What only the process knows. */
export interface Surroundings {
  readonly lostFiles: number
  /** Commits by other processes that were seen. */
  readonly foreignWrites: number
  readonly memoryBytes: number
  readonly databaseBytes: number
  readonly walBytes: number
  readonly uptimeMs: number
}

/** A WAL that can't start over is held by a reader that never ends. */
const WAL_ALARM_BYTES = 1024 * 1024 * 1024

/** @param driver null while the node does not belong to a cluster yet */
export function statusOf(
  driver: NodeDriver | null,
  identity: Identity,
  surroundings: Surroundings,
): NodeStatus {
  const { lostFiles, foreignWrites: _, ...sizes } = surroundings
  const common = { ...identity, lostFiles, ...sizes }
  if (driver === null) {
    return {
      ...common,
      cluster: null,
      ready: false,
      role: 'joining',
      term: 0,
      leader: null,
      log: { first: 0, last: 0, durable: 0, committed: 0, applied: 0 },
      members: [],
      origins: null,
      counters: {
        writes: 0,
        reads: 0,
        batches: 0,
        elections: 0,
        snapshotsSent: 0,
        snapshotsInstalled: 0,
        takenBack: 0,
      },
      alarms: [],
    }
  }
  const { order } = driver
  const members = membersOf(driver)
  const leader = members.find((member) => member.leader)
  return {
    ...common,
    cluster: driver.options.cluster,
    ready: driver.ready,
    role: roleOf(driver),
    term: order.term,
    leader: leader === undefined ? null : { name: leader.name, url: leader.url },
    log: {
      first: order.base.index + 1,
      last: order.last.index,
      durable: order.durable,
      committed: order.commit,
      applied: order.applied,
    },
    members,
    origins: originsStatusOf(driver.origins, driver.ports.clock.now()),
    counters: { ...driver.counters },
    alarms: alarmsOf(driver, surroundings),
  }
}

function roleOf(driver: NodeDriver): NodeStatus['role'] {
  const { order } = driver
  if (order.role === 'leader') return 'leader'
  if (!order.isVoter) return order.commit === 0 ? 'joining' : 'learner'
  return order.role === 'follower' ? 'follower' : 'candidate'
}

function membersOf(driver: NodeDriver): readonly MemberStatus[] {
  const { order, options, links } = driver
  const leads = order.role === 'leader'
  return order.members.members.map((member) => {
    const self = member.id === options.self
    const progress = order.progress.get(member.id)
    return {
      ...member,
      leader: member.id === order.leader,
      connected: self || links.has(member.id),
      held: leads ? (self ? order.durable : (progress?.match ?? 0)) : null,
      progress: leads && !self ? (progress?.state ?? null) : null,
    }
  })
}

function alarmsOf(driver: NodeDriver, surroundings: Surroundings): readonly string[] {
  const { order, options } = driver
  const alarms: string[] = []
  const member = order.members.members.some(({ id }) => id === options.self)
  if (!member && order.commit > 0) {
    alarms.push('This node is not a member of the cluster any more; stop it.')
  }
  if (order.conflict !== null) {
    alarms.push(
      `A leader wanted committed entry ${order.conflict.index} replaced: a disk of the group has ` +
        'lost what it had acknowledged. Run `quorate verify`.',
    )
  }
  const missing = driver.unreachable()
  if (missing.length > 0) alarms.push(`No contact with ${missing.join(', ')}.`)
  if (order.leader === null) alarms.push('There is no leader: writes wait.')
  if (driver.origins !== null) alarms.push(...originAlarmsOf(driver.origins))
  if (surroundings.foreignWrites > 0) {
    alarms.push(
      `Another process wrote to the file ${surroundings.foreignWrites} times: ` +
        'its changes are on this replica only. Run `quorate verify`.',
    )
  }
  if (surroundings.walBytes > WAL_ALARM_BYTES) {
    const megabytes = Math.round(surroundings.walBytes / 1024 / 1024)
    alarms.push(`The WAL has ${megabytes} MB: a reader has been open for long.`)
  }
  return alarms
}
