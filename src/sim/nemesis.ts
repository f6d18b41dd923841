/** Makes trouble, as much of it and of such kinds as the profile says, until told to stop. */
import type { Prng } from '../base/prng.ts'
import type { AdminCommand } from '../model/request.ts'
import type { SimNetwork } from './network.ts'
import type { SimNode } from './node.ts'
import type { Fault, Profile } from './profile.ts'
import { FAULTS } from './profile.ts'
import type { Lifetime, Schedule } from './schedule.ts'

/** What the nemesis may lay its hands on. */
export interface Victims {
  readonly schedule: Schedule
  readonly life: Lifetime
  readonly network: SimNetwork
  readonly profile: Profile
  readonly nodes: () => readonly SimNode[]
  readonly restart: (node: SimNode) => void
  /** A node with an empty disk that asks to be let in; null if there are enough. */
  readonly newcomer: () => SimNode | null
  /** Production's own comparison of the replicas has answered. */
  readonly verified: (report: unknown) => void
  readonly note: (who: string, what: string) => void
}

export class Nemesis {
  readonly #victims: Victims
  readonly #prng: Prng
  #stopped = false

  constructor(victims: Victims, prng: Prng) {
    this.#victims = victims
    this.#prng = prng
    if (victims.profile.faultEveryUs > 0) this.#plan()
  }

  /** A node has made a vote durable, and is about to say so or has just said it. */
  voted(node: SimNode): void {
    const { schedule, life, profile } = this.#victims
    if (this.#stopped || !this.#prng.percent(profile.crashAfterVotePercent)) return
    schedule.after(this.#prng.intInclusive(1, 3_000), life, () => {
      if (node.up && !this.#stopped) this.#crash(node, 5_000)
    })
  }

  stop(): void {
    this.#stopped = true
  }

  #plan(): void {
    const { schedule, life, profile } = this.#victims
    schedule.after(this.#prng.intInclusive(1_000, 2 * profile.faultEveryUs), life, () => {
      if (this.#stopped) return
      this.#strike(this.#draw())
      this.#plan()
    })
  }

  #draw(): Fault {
    const { faults } = this.#victims.profile
    const weighted = FAULTS.flatMap((fault) => Array<Fault>(faults[fault]).fill(fault))
    return this.#prng.pick(weighted)
  }

  #strike(fault: Fault): void {
    const prng = this.#prng
    const { network, nodes, profile } = this.#victims
    const { clockJumpMs } = profile
    const up = nodes().filter((node) => node.up)
    this.#victims.note('nemesis', fault)
    switch (fault) {
      case 'crash':
        if (up.length > 0) this.#crash(prng.pick(up))
        return
      case 'crashMany':
        for (const node of up) if (prng.percent(60)) this.#crash(node)
        return
      case 'pause':
        if (up.length > 0) this.#pause(prng.pick(up))
        return
      case 'partition':
        this.#split(nodes().filter(() => prng.percent(50)))
        return
      case 'isolateLeader':
        this.#split(up.filter((node) => node.driver?.order.role === 'leader'))
        return
      case 'cutOneWay':
        network.cut(prng.pick(nodes()).id, prng.pick(nodes()).id, prng.percent(30))
        return
      case 'heal':
        network.heal()
        return
      case 'transfer':
        this.#admin({ kind: 'transfer', name: prng.percent(50) ? null : prng.pick(nodes()).name })
        return
      case 'members':
        this.#changeMembers()
        return
      case 'clockJump':
        prng.pick(nodes()).clockOffsetMs += prng.intInclusive(-clockJumpMs, clockJumpMs)
        return
      case 'checkpoint':
        if (up.length > 0) prng.pick(up).checkpoint()
        return
      case 'verify':
        this.#admin({ kind: 'verify' })
    }
  }

  #crash(node: SimNode, restartUsMax = this.#victims.profile.restartUsMax): void {
    const { schedule, life, restart } = this.#victims
    node.crash()
    schedule.after(this.#prng.intInclusive(2_000, restartUsMax), life, () => {
      if (!node.up) restart(node)
    })
  }

  #pause(node: SimNode): void {
    const { schedule, life } = this.#victims
    node.pause()
    schedule.after(this.#prng.intInclusive(10_000, 3_000_000), life, () => node.resume())
  }

  /** Cuts these nodes off from all others. */
  #split(side: readonly SimNode[]): void {
    const { network, nodes } = this.#victims
    const noticed = this.#prng.percent(50)
    for (const one of side) {
      for (const other of nodes()) {
        if (side.includes(other)) continue
        network.cut(one.id, other.id, noticed)
        network.cut(other.id, one.id, noticed)
      }
    }
  }

  #changeMembers(): void {
    const prng = this.#prng
    const name = prng.pick(this.#victims.nodes()).name
    switch (prng.pick(['join', 'join', 'remove', 'promote', 'demote'] as const)) {
      case 'join': {
        const node = this.#victims.newcomer()
        if (node === null) return
        this.#join(node, prng.percent(60) ? 'voter' : 'learner', 40)
        return
      }
      case 'remove':
        this.#admin({ kind: 'remove', name })
        return
      case 'promote':
        this.#admin({ kind: 'promote', name })
        return
      case 'demote':
        this.#admin({ kind: 'demote', name })
    }
  }

  /** A newcomer asks until it is let in, as the production node does. */
  #join(node: SimNode, role: 'voter' | 'learner', left: number): void {
    const { id, name } = node
    const command = { kind: 'join', id, name, url: `sim://${name}`, role, priority: 1 } as const
    this.#admin(command, (ok) => {
      if (ok || left === 0) return
      const { schedule, life } = this.#victims
      schedule.after(500_000, life, () => this.#join(node, role, left - 1))
    })
  }

  #admin(command: AdminCommand, done: (ok: boolean) => void = () => {}): void {
    const { nodes, note, schedule, life } = this.#victims
    const up = nodes().filter((node) => node.up && node.driver?.order.role !== 'follower')
    const any = nodes().filter((node) => node.up)
    const via = up[0] ?? any[0]
    let open = true
    const end = (what: string): void => {
      if (!open) return
      open = false
      note('nemesis', `${command.kind}: ${what}`)
      done(what === 'admin')
    }
    via?.request({ kind: 'admin', command, timeoutMs: 2_000 }, (reply) => {
      if (command.kind === 'verify' && reply.kind === 'admin') this.#victims.verified(reply.value)
      end(reply.kind === 'error' ? reply.error.code : reply.kind)
    })
    schedule.after(4_000_000, life, () => end('no answer'))
  }
}
