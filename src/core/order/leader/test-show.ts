/** Names and texts that the tests of the leader order share. */
import { toNodeId } from '../../../base/brand.ts'
import type { EntryId } from '../../../model/entry.ts'
import type { Member, Members } from '../../../model/members.ts'
import type { RaftMessage } from '../../../model/message.ts'

export interface Packet {
  readonly from: string
  readonly to: string
  readonly message: RaftMessage
}

export const memberOf = (name: string, role: Member['role'], priority = 1): Member => {
  const url = `http://${name}`
  return { id: toNodeId(name), name, url, role, wants: role, priority }
}

export const showId = ({ term, index }: EntryId): string => `${term}/${index}`

export function showPacket({ from, to, message }: Packet): string {
  return `${from}->${to} ${showMessage(message)}`
}

function showMessage(message: RaftMessage): string {
  const { kind, term } = message
  switch (kind) {
    case 'preVote':
      return `${kind} term=${term} last=${showId(message.last)}`
    case 'vote':
      return `${kind} term=${term} last=${showId(message.last)}${message.transfer ? ' transfer' : ''}`
    case 'preVoteReply':
    case 'voteReply':
      return `${kind} term=${term} ${message.granted ? 'granted' : 'refused'}`
    case 'append': {
      const { prev, entries, commit, round } = message
      const list = entries.map(
        (entry) => `${showId(entry)}${entry.kind === 'data' ? '' : ` ${entry.kind}`}`,
      )
      return `${kind} term=${term} prev=${showId(prev)} [${list.join(', ')}] commit=${commit} round=${round}`
    }
    case 'appendReply':
      return `${kind} term=${term} ${message.result} match=${message.match} round=${message.round}`
    case 'timeoutNow':
      return `${kind} term=${term}`
    case 'readIndex':
      return `${kind} term=${term}`
    case 'readIndexReply':
      return `${kind} term=${term} index=${message.index}`
  }
}

export function showMembers(members: Members | null): string {
  if (members === null) return ''
  const list = members.members.map(({ name, role, wants }) => {
    return `${name}:${role}${wants === role ? '' : `>${wants}`}`
  })
  return ` ${list.join(' ')}`
}
