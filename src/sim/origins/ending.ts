/**
 * What a healed world of several groups comes to in the end: everybody has every entry, all
 * replicas are equal to the twin, what merging keeps is forgotten, and all are silent.
 */
import { assert, present } from '../../base/assert.ts'
import { compareFrontiers } from '../../core/order/clock/frontier.ts'
import type { SimGroup } from '../group.ts'
import type { Lifetime, Schedule } from '../schedule.ts'
import { OPS_QUERY } from '../tables.ts'
import type { EntryChecker } from './entries.ts'
import type { OriginsHistory } from './history.ts'
import type { Incarnation } from './incarnation.ts'
import { FACTS_QUERY, factsOf } from './tables.ts'
import { abortedOf, compare, everything, OriginsTwin } from './twin.ts'

/** A world that is healed, in which all agree on who is one of the groups. */
export interface Healed {
  readonly schedule: Schedule
  readonly life: Lifetime
  /** Those that are there, by the beginning of their nodes' names. */
  readonly groups: ReadonlyMap<string, SimGroup>
  readonly incarnations: readonly Incarnation[]
  readonly entries: EntryChecker
  readonly history: OriginsHistory
  /** P: it gets something done in bounded time. */
  soon(what: string, done: () => boolean): void
}

/** So long nothing happens once a world is silent. */
const SILENCE_US = 5_000_000
/** Others may have to wait until their clocks show what ours does. */
const LAST_WRITE_MS = 20_000
/** Tables are looked at so often, which takes longer than most else. */
const LOOK_US = 200_000
/**
 * Tables that hold nothing once everything is final everywhere. `_quorate_deleted` may keep what was
 * deleted last: nobody tells that he has seen it before there is something else to tell.
 */
const METADATA = ['_quorate_transactions', '_quorate_kept']

/** Takes the world there. Throws if it does not come to that. */
export function end(world: Healed): void {
  for (const [label, group] of world.groups) {
    world.soon(`a write at \`stable\` in ${label}`, lastWrite(world, label, group))
  }
  world.soon('all entries everywhere', () => isEverywhere(world))
  let look = 0
  world.soon('forgetting', () => {
    if (world.schedule.now < look) return false
    look = world.schedule.now + LOOK_US
    return isForgotten(world)
  })
  fallSilent(world)
  compareAll(world)
}

/** Writes once more, at level `stable`, again until it succeeds. */
function lastWrite({ schedule, life }: Healed, name: string, group: SimGroup): () => boolean {
  let ok = false
  let attempts = 0
  const again = (): void => {
    schedule.after(500_000, life, attempt)
  }
  const attempt = (): void => {
    attempts += 1
    // What changes nothing would wait for nobody.
    const values = `('end of ${name}', 'attempt ${attempts}')`
    const statement = { sql: `insert or replace into kv (k, v) values ${values}` }
    const program = { atomic: true, steps: [{ statement }] }
    const request = { kind: 'write', program, ack: 'stable', timeoutMs: LAST_WRITE_MS } as const
    const leader = group.leader()
    if (leader === null) again()
    leader?.request(request, (reply) => {
      ok = reply.kind === 'result'
      if (!ok) again()
    })
  }
  attempt()
  return () => ok
}

function isEverywhere({ incarnations, entries, groups }: Healed): boolean {
  const origins = incarnations.filter(({ state }) => state === 'here').map(({ origin }) => origin)
  for (const origin of origins) entries.checkMember(origin)
  const [first, ...others] = origins.map((origin) => entries.heldBy(origin))
  const equal = others.every((other) => compareFrontiers(first ?? new Map(), other) === 'equal')
  return equal && [...groups.values()].every((group) => group.caughtUp())
}

/** P: nothing is left of what merging keeps, anywhere. */
function isForgotten({ groups }: Healed): boolean {
  const all = [...groups.values()]
  if (!all.every((group) => group.caughtUp())) return false
  const members = all.flatMap((group) => group.members())
  return members.every(({ content }) =>
    METADATA.every((table) => content.query(`select 1 from ${table} limit 1`).length === 0),
  )
}

/** P: nobody logs anything any more, some time after there was the last thing to tell. */
function fallSilent({ groups, schedule, soon }: Healed): void {
  let [before, since] = ['', 0]
  soon('silence', () => {
    const commits = [...groups.values()].map(({ order }) => order.commit).join()
    if (commits !== before) [before, since] = [commits, schedule.now]
    return schedule.now - since > SILENCE_US
  })
}

/** All replicas of all groups are equal to the twin, and it has all that clients were told. */
function compareAll({ entries, groups, history }: Healed): void {
  const twin = new OriginsTwin(entries.all)
  try {
    const wanted = everything(twin.query)
    for (const [name, group] of groups) {
      const leader = present(group.leader(), () => `leader of ${name}`)
      for (const node of group.members()) {
        group.content.checkEnd(node, leader)
        const differs = compare(
          everything((sql) => node.content.query(sql)),
          wanted,
        )
        assert(differs === '', () => `C1: ${node.name} is not as the twin: ${differs}`)
      }
    }
    const [facts] = twin.query(FACTS_QUERY)
    history.finish(
      { ops: twin.query(OPS_QUERY).map(([name]) => String(name)), facts: factsOf(facts ?? []) },
      abortedOf(twin.query),
    )
  } finally {
    twin.close()
  }
}
