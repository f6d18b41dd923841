/**
 * Ack and read levels as people and programs write them: in options, headers, URLs, the shell and
 * requests between nodes. One parser for all. Whether a cluster has a level is the node's to say.
 */
import { bad } from './fields.ts'
import { ID_SLOTS } from './origin-entry.ts'
import { type AckLevel, READ_LEVELS, type ReadLevel, type ZoneLevel } from './request.ts'

const ACK_LEVELS = [
  'local',
  'majority',
  'quorum',
  'local-quorum',
  'each-quorum',
  'all',
  'stable',
] as const
/** A number counts voters, or groups, of which there can be this many. */
const COUNT_MAX = ID_SLOTS

/** What may be given, for sentences about what may not. */
export const ACK_FORM = `${ACK_LEVELS.join(', ')} or a number from 1 to ${COUNT_MAX}`
export const READ_FORM = `${READ_LEVELS.join(', ')} or a number from 1 to ${COUNT_MAX}`

/**
 * How far a write must have come.
 *
 * @param value a level as it is, or a number as text
 * @throws QuorateError BAD_REQUEST
 */
export function toAckLevel(value: unknown): AckLevel {
  return find(ACK_LEVELS, value) ?? count(value) ?? refuse('ack', ACK_FORM, value)
}

/** What a read may miss; otherwise like toAckLevel. */
export function toReadLevel(value: unknown): ReadLevel {
  return find(READ_LEVELS, value) ?? count(value) ?? refuse('read', READ_FORM, value)
}

/** Whether a level is of clusters with several groups only, beside numbers of them. */
export function isOfGroups(level: AckLevel | ReadLevel): level is 'quorum' | ZoneLevel | 'stable' {
  return (
    level === 'quorum' || level === 'local-quorum' || level === 'each-quorum' || level === 'stable'
  )
}

function find<T extends string>(levels: readonly T[], value: unknown): T | undefined {
  return levels.find((level) => level === value)
}

function count(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isInteger(number)) return undefined
  return number >= 1 && number <= COUNT_MAX ? number : undefined
}

function refuse(what: string, form: string, value: unknown): never {
  throw bad(what, form, value)
}
