/**
 * For tests: what was acknowledged at a level, and which reads must show it, because whoever met the
 * level of the one can't all be others than those who meet that of the other.
 */
import type { Frontier } from '../frontier.ts'
import { type Quorum, quorumsOf, type Reach } from '../quorums.ts'
import type { Origin } from '../stamp.ts'
import type { EntryHead, ExchangeMembers } from './types.ts'

/** What a level asked for, and of how many. */
export interface AskedOf {
  readonly reach: Reach
  readonly quorums: readonly Quorum[]
  readonly groups: number
}

/** @returns what a level asks in an epoch, as somebody outside counts it */
export function askedOf(reach: Reach, asker: Origin, members: ExchangeMembers): AskedOf {
  const zoneOf = (origin: Origin): string | null => members.zones.get(origin) ?? null
  const writers = [...members.origins].filter(([, { kind }]) => kind === 'writes')
  const groups = new Map(writers.map(([origin]) => [origin, zoneOf(origin)]))
  return { reach, quorums: quorumsOf(reach, groups, zoneOf(asker)), groups: groups.size }
}

/**
 * Whether a read that has what it asked for has asked somebody of those who hold a write: counted
 * in a zone that both ask for, or among all groups. What asks in each zone meets all that asks in
 * any, whatever became of zones meanwhile.
 *
 * @param gone those that left since: they may have been the only ones
 */
export function mustMeet(
  written: AskedOf,
  read: AskedOf,
  gone: (origin: Origin) => boolean = () => false,
): boolean {
  const stays = ({ of, count }: Quorum): boolean => count > of.filter(gone).length
  const leaves = written.quorums.some(({ of }) => of.some(gone))
  if (!leaves && isByZone(written) && isByZone(read)) {
    if (written.reach === 'each-quorum' || read.reach === 'each-quorum') return true
  }
  const inZone = written.quorums.some((one) => {
    const other = read.quorums.find(({ zone }) => zone === one.zone)
    if (other === undefined || !stays(one)) return false
    return one.count + other.count > Math.max(one.of.length, other.of.length)
  })
  const copies = total(written)
  const left = written.quorums.flatMap(({ of }) => of).filter(gone).length
  if (copies <= left) return inZone
  return inZone || copies + total(read) > Math.max(written.groups, read.groups)
}

function isByZone({ reach }: AskedOf): boolean {
  return reach === 'local-quorum' || reach === 'each-quorum'
}

function total({ quorums }: AskedOf): number {
  return quorums.reduce((sum, { count }) => sum + count, 0)
}

export class TestAcks {
  readonly #acked: { readonly entry: EntryHead; readonly asked: AskedOf }[] = []

  get count(): number {
    return this.#acked.length
  }

  add(entry: EntryHead, asked: AskedOf): void {
    this.#acked.push({ entry, asked })
  }

  /** What a read must show of the first `count` that were acknowledged. */
  shown(read: AskedOf, count: number, gone: (origin: Origin) => boolean): Frontier {
    const floor = new Map<Origin, number>()
    for (const { entry, asked } of this.#acked.slice(0, count)) {
      if (!mustMeet(asked, read, gone)) continue
      floor.set(entry.origin, Math.max(entry.sequence, floor.get(entry.origin) ?? 0))
    }
    return floor
  }
}
