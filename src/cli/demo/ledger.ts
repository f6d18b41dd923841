/**
 * What the load was told about its writes, and whether the replicas agree. Each write is one visit
 * with a number of its client, and one step of that client's counter, in the same transaction.
 */

/** What became of a client's writes, by number. Numbers that are in neither set were refused. */
export interface ClientRecord {
  readonly name: string
  readonly acknowledged: Set<number>
  /** The answer never came: it may be there, once, or not. */
  readonly unknown: Set<number>
  /**
   * Acknowledged claims of a seat, each seat for one only. Who claims one that was claimed by
   * another group at the same time may lose it, and is then in the conflict table.
   */
  readonly claims: Set<number>
}

/** What one replica holds. */
export interface ReplicaContent {
  readonly visits: readonly { readonly client: string; readonly number: number }[]
  readonly counters: ReadonlyMap<string, number>
  /** Claims in the data, and rows that the conflict table keeps of it: `client number`. */
  readonly claims: ReadonlySet<string>
  readonly lostClaims: ReadonlySet<string>
}

export interface Audit {
  /** Acknowledged and neither in the data nor in the conflict table. */
  readonly lost: number
  /** There more than once. */
  readonly repeated: number
  /** There although it was refused. */
  readonly refusedButThere: number
  /** Clients whose counter is not the number of their visits. */
  readonly countersWrong: number
}

/** Compares what was promised with what one replica holds. */
export function audit(records: readonly ClientRecord[], content: ReplicaContent): Audit {
  const there = new Map<string, Map<number, number>>()
  for (const { client, number } of content.visits) {
    const numbers = there.get(client) ?? new Map<number, number>()
    numbers.set(number, (numbers.get(number) ?? 0) + 1)
    there.set(client, numbers)
  }
  let [lost, repeated, refusedButThere, countersWrong] = [0, 0, 0, 0]
  for (const { name, acknowledged, unknown, claims } of records) {
    const numbers = there.get(name) ?? new Map<number, number>()
    let visits = 0
    for (const [number, times] of numbers) {
      visits += times
      if (times > 1) repeated += 1
      if (!acknowledged.has(number) && !unknown.has(number)) refusedButThere += 1
    }
    for (const number of acknowledged) if (!numbers.has(number)) lost += 1
    for (const number of claims) {
      const claim = `${name} ${number}`
      if (!content.claims.has(claim) && !content.lostClaims.has(claim)) lost += 1
    }
    if ((content.counters.get(name) ?? 0) !== visits) countersWrong += 1
  }
  return { lost, repeated, refusedButThere, countersWrong }
}

/** The worst that any replica showed, figure by figure. */
export function worst(audits: readonly Audit[]): Audit {
  const most = (key: keyof Audit): number => Math.max(0, ...audits.map((one) => one[key]))
  return {
    lost: most('lost'),
    repeated: most('repeated'),
    refusedButThere: most('refusedButThere'),
    countersWrong: most('countersWrong'),
  }
}
