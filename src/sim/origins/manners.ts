/** What clients of several groups do: any group for each request, all levels, sessions over all. */
import type { Prng } from '../../base/prng.ts'
import { joinTokens } from '../../model/token.ts'
import type { Manners } from '../manners.ts'
import { isZoned, type OriginsProfile } from './profile.ts'
import {
  drawOriginsSchemaWork,
  drawOriginsWork,
  FACTS_QUERY,
  factsOf,
  MAY_ABORT,
} from './tables.ts'

const BY_ZONE = ['local-quorum', 'local-quorum', 'each-quorum'] as const

/** @param names of the groups */
export function originsManners(profile: OriginsProfile, names: readonly string[]): Manners {
  const { levels, roamPercent, beyondPercent } = profile
  const isByZone = (prng: Prng): boolean => isZoned(profile) && prng.percent(profile.byZonePercent)
  return {
    group: (prng, client) => {
      const number = Number(client.replace(/\D+/, ''))
      return prng.percent(roamPercent) ? prng.pick(names) : (names[number % names.length] ?? '')
    },
    drawAck: (prng) => {
      if (prng.percent(levels.localAckPercent)) return 'local'
      if (prng.percent(levels.allAckPercent)) return prng.pick(['all', 'stable'] as const)
      if (!prng.percent(beyondPercent)) return 'majority'
      if (isByZone(prng)) return prng.pick(BY_ZONE)
      return prng.pick(['quorum', 'stable', prng.intInclusive(1, names.length)] as const)
    },
    drawRead: (prng) => {
      if (!prng.percent(beyondPercent)) return prng.pick(['local', 'session', 'session'])
      if (isByZone(prng)) return prng.pick(BY_ZONE)
      return prng.pick(['quorum', 'strong', prng.intInclusive(1, names.length)] as const)
    },
    drawWork: (prng, session) => drawOriginsWork(prng, session, profile.ddl),
    schemaPercent: profile.schemaPercent,
    drawSchemaWork: drawOriginsSchemaWork,
    streamKind: ({ kind }) => (kind === 'count' || kind === MAY_ABORT ? kind : 'stream'),
    factsQuery: FACTS_QUERY,
    factsOf,
    join: joinTokens,
  }
}
