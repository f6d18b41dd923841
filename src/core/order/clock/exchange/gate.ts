/**
 * The gate for messages: whether what another machine sent can be true at all. Behind it numbers
 * are numbers; that they may still be lies is what the rest of the exchange must live with.
 */
import type { Frontier, Range } from '../frontier.ts'
import { isClockTime, type Origin } from '../stamp.ts'
import type { EntryHead, ExchangeEntry, ExchangeMessage } from './types.ts'
import { ANSWERS } from './types.ts'

/** Origins in one frontier: members, and those that ever were. */
const ORIGINS_MAX = 4_096
const SEQUENCE_MAX = 2 ** 52

/** What does not pass is dropped: an honest peer comes again, with something else. */
export function isSound(message: ExchangeMessage): boolean {
  switch (message.kind) {
    case 'digest':
      return isFrontier(message.held) && isFrontier(message.seen) && areOrigins(message.links)
    case 'ask':
      return isCount(message.request) && areRanges(message.ranges) && hasLimits(message)
    case 'entries':
      return isFrontier(message.held) && message.entries.every(isEntry)
    case 'gone':
      return isCount(message.request) && isFrontier(message.base)
    case 'probe':
      return isCount(message.id)
    case 'probed':
      return isCount(message.id) && isFrontier(message.held)
    default:
      // A kind of a later release.
      return false
  }
}

/** Whether an entry's head can be that of an honest writer. */
function isHead({ origin, sequence, time, dependencies, epoch, answer }: EntryHead): boolean {
  if (origin === '' || !isSequence(sequence) || !isClockTime(time) || !isCount(epoch)) return false
  return isFrontier(dependencies) && !dependencies.has(origin) && ANSWERS.includes(answer)
}

function isEntry(entry: ExchangeEntry): boolean {
  return isHead(entry) && entry.bytes === entry.body.byteLength
}

function isFrontier(frontier: Frontier): boolean {
  if (frontier.size > ORIGINS_MAX) return false
  for (const [origin, sequence] of frontier) {
    if (origin === '' || !isSequence(sequence)) return false
  }
  return true
}

function areOrigins(origins: readonly Origin[]): boolean {
  return origins.length <= ORIGINS_MAX && origins.every((origin) => origin !== '')
}

function areRanges(ranges: readonly Range[]): boolean {
  if (ranges.length > ORIGINS_MAX) return false
  return ranges.every(({ first, last }) => isSequence(first) && isSequence(last) && first <= last)
}

function hasLimits(limits: { readonly bytesMax: number; readonly entriesMax: number }): boolean {
  return isCount(limits.bytesMax) && isCount(limits.entriesMax)
}

function isSequence(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1 && value <= SEQUENCE_MAX
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}
