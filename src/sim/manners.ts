/** What clients do with a world's data and at which levels, and how they read their tokens. */
import type { Prng } from '../base/prng.ts'
import type { AckLevel, ReadLevel, SessionToken } from '../model/request.ts'
import type { Profile } from './profile.ts'
import type { Fact, Work } from './tables.ts'
import { drawSchemaWork, drawWork, FACTS_QUERY, factsOf } from './tables.ts'

export interface Manners {
  /** Which group a client asks next. */
  readonly group: (prng: Prng, client: string) => string
  readonly drawAck: (prng: Prng) => AckLevel
  readonly drawRead: (prng: Prng) => ReadLevel
  readonly drawWork: (prng: Prng, session: string) => Work
  /** How many writes change the schema, where any do. */
  readonly schemaPercent: number
  readonly drawSchemaWork: (prng: Prng) => Work
  /** What an interactive transaction that does this work is called in `ops`. */
  readonly streamKind: (work: Work) => string
  readonly factsQuery: string
  readonly factsOf: (row: readonly unknown[]) => readonly Fact[]
  /** A token that shows what both show. */
  readonly join: (one: SessionToken, other: SessionToken) => SessionToken
}

/** The only group of a world with one leader. */
export const THE_GROUP = 'n'

/** With one leader. */
export function leaderManners({ levels }: Profile): Manners {
  return {
    group: () => THE_GROUP,
    drawAck: (prng) => {
      if (prng.percent(levels.localAckPercent)) return prng.pick(['local', 1, 2] as const)
      return prng.percent(levels.allAckPercent) ? 'all' : 'majority'
    },
    drawRead: (prng) => prng.pick(['local', 'session', 'session', 'strong', 'strong']),
    drawWork,
    schemaPercent: 6,
    drawSchemaWork,
    streamKind: ({ kind }) => (kind === 'count' ? 'count' : 'stream'),
    factsQuery: FACTS_QUERY,
    factsOf,
    join: (one, other) => (other.index >= one.index ? other : one),
  }
}
