/** Finds out from a node's own event who leads now. */
import type { LeaderEvent, NodeEventData, NodeStatus } from './types.ts'

/**
 * null: the event is about something else. Followers tell their leader's id, so its name is asked
 * for.
 */
export async function leaderOf(
  { name, facts }: NodeEventData,
  status: () => Promise<NodeStatus>,
): Promise<LeaderEvent | null> {
  if (name !== 'leader.elected' && name !== 'leader.following') return null
  const term = Number(facts['term'])
  if (name === 'leader.elected') return { name: String(facts['name']), term }
  const leader = String(facts['leader'])
  const { members } = await status()
  return { name: members.find(({ id }) => id === leader)?.name ?? leader, term }
}
