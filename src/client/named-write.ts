/**
 * Writes that are sent under a name, so that one that is sent twice runs once. A name holds in one
 * log: with several groups, in that of the group at whose node it was made.
 */
import { QuorateError } from '../base/errors.ts'
import type { Topology } from './nodes.ts'
import type { Place, Session } from './session.ts'

/** Times that a write moves to another group because it surely has not run in the one before. */
const MOVES_MAX = 3

/**
 * Sends a write under a new name. OTHER_GROUP says that nodes of the group where it was named don't
 * answer, and that it has not run: then it is named anew where there is one that does.
 *
 * @param ask a node that answers, for its place in its log
 * @param send under this name; rejects with OTHER_GROUP only if no attempt may have run
 */
export async function sendNamed<T>(
  session: Session,
  ask: () => Promise<Topology>,
  send: (name: string) => Promise<T>,
): Promise<T> {
  let place = session.place ?? (await placeOf(session, ask))
  for (let moves = 0; ; moves += 1) {
    try {
      return await send(session.nameWrite(place))
    } catch (error) {
      if (!(error instanceof QuorateError) || error.code !== 'OTHER_GROUP') throw error
      if (moves === MOVES_MAX) throw error
      place = await placeOf(session, ask)
    }
  }
}

/** Where the log of the node that answers stands. */
export async function placeOf(session: Session, ask: () => Promise<Topology>): Promise<Place> {
  const { position, origin = null } = await ask()
  if (typeof position !== 'number') {
    throw new QuorateError('INTERNAL', 'The topology has no position.')
  }
  return session.sawPlace({ index: position, origin })
}
