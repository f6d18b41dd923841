/**
 * Fresh nodes that are told of one new group at the same time: who asked first founds it, the others
 * wait for that and join. If that one is lost before it did, they wait until people remove the
 * group, and then one of them founds it under another origin.
 *
 * M4 a group is founded once: whoever is told to join it can
 */
import { assert } from '../../base/assert.ts'
import { idOf, type SimGroup } from '../group.ts'
import type { SimNode } from '../node.ts'
import { ask, doorOf } from './admin.ts'
import { type EnteringNeeds, enter, type Founded } from './entering.ts'
import type { Incarnation } from './incarnation.ts'

export interface Gathering extends Omit<EnteringNeeds, 'id' | 'isLost'> {
  readonly nodes: number
  /** The one that is to found the group may be lost before. */
  readonly isRisky: boolean
  /** One of the nodes has, by its number. */
  readonly founded: (founded: Founded, number: number) => Incarnation
  /** Nobody will ever found this one. */
  readonly lost: (origin: string) => void
}

const ANSWER_MS = 3_000
const PAUSE_US = 400_000

export function gather(gathering: Gathering): void {
  const { nodes, label, isRisky, founded, lost, prng } = gathering
  let group: Incarnation | null = null
  let mayLose = isRisky && nodes > 1
  for (let number = 1; number <= nodes; number += 1) {
    const isLost = (origin: string): boolean => {
      // Where the group was removed meanwhile people would have stopped its nodes.
      const isLate = group !== null && group.origin !== origin
      if (!mayLose && !isLate) return false
      mayLose = false
      lost(origin)
      return true
    }
    const begin = (): void => {
      enter({ ...gathering, id: idOf(`${label}${number}`), isLost }, (entered) => {
        if (entered !== 'join') {
          assert(group === null, () => `M4: ${label}${number} founds ${label}, which is founded`)
          group = founded(entered, number)
          return
        }
        assert(
          group !== null,
          () => `M4: ${label}${number} is to join ${label}, which is not there`,
        )
        join(gathering, group, number)
      })
    }
    gathering.schedule.after(prng.intInclusive(0, 30_000), gathering.life, begin)
  }
}

/** Into the group that another one has founded. */
function join(gathering: Gathering, { group }: Incarnation, number: number): void {
  askToJoin(gathering, group, group.follower(number))
}

/** Until it is let in, as a production node does. */
function askToJoin(gathering: Gathering, group: SimGroup, node: SimNode): void {
  const { schedule, life } = gathering
  const { id, name } = node
  const kind = { kind: 'join', role: 'voter', priority: 1 } as const
  const command = { ...kind, id, name, url: `sim://${name}` }
  ask(gathering, doorOf(group), command, ANSWER_MS, (reply) => {
    if (reply?.kind === 'admin') return
    schedule.after(PAUSE_US, life, () => askToJoin(gathering, group, node))
  })
}
