/** Makes trouble between groups, as the profile says; inside of each its own nemesis does. */
import type { Prng } from '../../base/prng.ts'
import type { AdminCommand } from '../../model/request.ts'
import type { SimGroup } from '../group.ts'
import type { SimNetwork } from '../network.ts'
import type { SimNode } from '../node.ts'
import type { Lifetime, Schedule } from '../schedule.ts'
import { ask, doorOf } from './admin.ts'
import { GROUP_FAULTS, type GroupFault, type OriginsProfile, ZONES } from './profile.ts'
import { drawRule } from './tables.ts'

/** What it may lay its hands on. */
export interface GroupVictims {
  readonly schedule: Schedule
  readonly life: Lifetime
  readonly network: SimNetwork
  readonly profile: OriginsProfile
  /** Those that are there now. */
  readonly groups: ReadonlyMap<string, SimGroup>
  /** What people call a group. */
  readonly called: (group: string) => string
  readonly note: (who: string, what: string) => void
}

const ANSWER_MS = 2_000

export class GroupNemesis {
  readonly #victims: GroupVictims
  readonly #prng: Prng
  #stopped = false

  constructor(victims: GroupVictims, prng: Prng) {
    this.#victims = victims
    this.#prng = prng
    if (victims.profile.groupFaultEveryUs > 0) this.#plan()
  }

  stop(): void {
    this.#stopped = true
  }

  /** Takes back what was cut on purpose, wherever it was. Calls back when all have said so. */
  mend(done: () => void): void {
    const { groups } = this.#victims
    const pairs = [...groups.keys()].flatMap((one) =>
      [...groups.keys()].filter((other) => other !== one).map((other) => [one, other] as const),
    )
    let left = pairs.length
    if (left === 0) done()
    for (const [one, group] of pairs) {
      this.#insist(one, this.#cutting(group, false), () => {
        left -= 1
        if (left === 0) done()
      })
    }
  }

  #insist(group: string, command: AdminCommand, done: () => void): void {
    const { schedule, life } = this.#victims
    this.#admin(group, command, (ok) => {
      if (ok) done()
      else schedule.after(200_000, life, () => this.#insist(group, command, done))
    })
  }

  #plan(): void {
    const { schedule, life, profile } = this.#victims
    schedule.after(this.#prng.intInclusive(1_000, 2 * profile.groupFaultEveryUs), life, () => {
      if (this.#stopped) return
      this.#strike(this.#draw())
      this.#plan()
    })
  }

  #draw(): GroupFault {
    const { groupFaults } = this.#victims.profile
    return this.#prng.pick(
      GROUP_FAULTS.flatMap((fault) => Array<GroupFault>(groupFaults[fault]).fill(fault)),
    )
  }

  #strike(fault: GroupFault): void {
    const prng = this.#prng
    const { groups, network, note } = this.#victims
    const names = [...groups.keys()]
    const one = prng.pick(names)
    const other = prng.pick(names)
    note('nemesis', `${fault} ${one} ${other}`)
    switch (fault) {
      case 'isolate':
        this.#separate([one])
        return
      case 'split':
        this.#separate(names.filter(() => prng.percent(50)))
        return
      case 'cutPair':
        this.#cut(one, other, prng.percent(50), prng.percent(70))
        return
      case 'cutOnPurpose':
        if (one !== other) {
          this.#admin(one, this.#cutting(other, prng.percent(60)))
        }
        return
      case 'healGroups':
        network.heal()
        return
      case 'crashGroup':
        for (const node of this.#nodesOf(one)) if (node.up) this.#crash(one, node)
        return
      case 'changeRule':
        this.#admin(one, { kind: 'setRule', rule: drawRule(prng) })
        return
      case 'changeZone': {
        const zone = prng.pick([...ZONES, ...ZONES, null])
        // What it writes before it hears of that still counts in the zone where it was.
        if (one !== other && prng.percent(40)) this.#separate([other])
        this.#admin(one, { kind: 'setZone', group: this.#victims.called(other), zone })
      }
    }
  }

  #cutting(group: string, cut: boolean): AdminCommand {
    return { kind: 'cutGroup', group: this.#victims.called(group), cut }
  }

  /** None if the group has gone since. */
  #nodesOf(name: string): readonly SimNode[] {
    return this.#victims.groups.get(name)?.nodes ?? []
  }

  #separate(side: readonly string[]): void {
    const noticed = this.#prng.percent(50)
    for (const one of side) {
      for (const other of this.#victims.groups.keys()) {
        if (!side.includes(other)) this.#cut(one, other, noticed, true)
      }
    }
  }

  #cut(one: string, other: string, noticed: boolean, bothWays: boolean): void {
    if (one === other) return
    const { network } = this.#victims
    for (const { id: here } of this.#nodesOf(one)) {
      for (const { id: there } of this.#nodesOf(other)) {
        network.cut(here, there, noticed)
        if (bothWays) network.cut(there, here, noticed)
      }
    }
  }

  #crash(group: string, node: SimNode): void {
    const { schedule, life, profile, groups } = this.#victims
    node.crash()
    schedule.after(this.#prng.intInclusive(2_000, profile.restartUsMax), life, () => {
      if (!node.up) groups.get(group)?.restart(node)
    })
  }

  #admin(group: string, command: AdminCommand, done: (ok: boolean) => void = () => {}): void {
    const asked = this.#victims.groups.get(group)
    const via = asked === undefined ? null : doorOf(asked)
    ask(this.#victims, via, command, ANSWER_MS, (reply) => {
      // Who is not known, or not any more, is not cut off either.
      const isUnknown = reply?.kind === 'error' && reply.error.code === 'GROUP_UNKNOWN'
      done(reply?.kind === 'admin' || isUnknown)
    })
  }
}
