/**
 * Who exchanges entries with whom, as people tell the nodes by name (`--exchange-with`). Both sides
 * must be told, and a node reads it when it starts. In a mesh nobody is told anything: all do.
 */
import type { Prng } from '../../base/prng.ts'
import { type Edge, graphOf } from '../../core/order/clock/exchange/test-graphs.ts'

export class Graph {
  readonly #isMesh: boolean
  readonly #neighbours = new Map<string, Set<string>>()

  /** @param shape see graphOf */
  constructor(shape: string, names: readonly string[]) {
    this.#isMesh = shape === 'mesh'
    for (const edge of graphOf(shape, names)) this.join(edge)
  }

  /** What nodes of a group are told when they start; empty: nothing. */
  toldTo(name: string): readonly string[] {
    if (this.#isMesh) return []
    const told = [...this.#of(name)]
    // An empty list would be all.
    return told.length === 0 ? [name] : told
  }

  /** From the next start of both. */
  join([one, other]: Edge): void {
    this.#of(one).add(other)
    this.#of(other).add(one)
  }

  /** A group that comes is to exchange with one or two of these. @returns who has to be told of it */
  attach(name: string, among: readonly string[], prng: Prng): readonly string[] {
    const others = among.filter((each) => each !== name)
    if (this.#isMesh || others.length === 0) return []
    const chosen = new Set([prng.pick(others), ...(prng.percent(40) ? [prng.pick(others)] : [])])
    const news = [...chosen].filter((each) => !this.#of(name).has(each))
    for (const each of news) this.join([name, each])
    return news
  }

  /**
   * Two who would have to exchange so that all hear of each other; null: they do, or none can.
   *
   * @param members those who hand on what they hear
   * @param others who only have to hear
   * @param canMeet one of the two knows where the other is
   */
  gap(
    members: readonly string[],
    others: readonly string[],
    canMeet: (one: string, other: string) => boolean,
    prng: Prng,
  ): Edge | null {
    const [first] = members
    if (this.#isMesh || first === undefined) return null
    const all = [...members, ...others]
    const reached = new Set([first])
    for (const name of reached) {
      if (!members.includes(name)) continue
      const near = all.filter((other) => this.#of(name).has(other) && canMeet(name, other))
      for (const other of near) reached.add(other)
    }
    const from = members.filter((name) => reached.has(name))
    const apart = all.filter((name) => !reached.has(name))
    const edges = apart.flatMap((name) => from.map((other): Edge => [other, name]))
    const possible = edges.filter(([one, other]) => canMeet(one, other))
    return possible.length === 0 ? null : prng.pick(possible)
  }

  #of(name: string): Set<string> {
    const known = this.#neighbours.get(name) ?? new Set()
    this.#neighbours.set(name, known)
    return known
  }
}
