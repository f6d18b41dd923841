/** Commands to the store's thread and its replies as they travel: what is small costs little to copy. */
import { type CompactPrograms, compactPrograms, expandPrograms } from '../model/compact-programs.ts'
import {
  type CompactOutcomes,
  compactOutcomes,
  expandOutcomes,
} from './execute/compact-outcomes.ts'
import { lightweightEntries, lightweightOperations } from './execute/lightweight.ts'
import type { StoreCommand, StoreReply } from './types.ts'

type Execute = Extract<StoreCommand, { readonly kind: 'execute' }>
type Executed = Extract<StoreReply, { readonly kind: 'executed' }>

export type PackedCommand =
  | Exclude<StoreCommand, Execute>
  | (Omit<Execute, 'programs'> & { readonly programs: CompactPrograms })

export type PackedReply =
  | Exclude<StoreReply, Executed>
  | (Omit<Executed, 'outcomes'> & { readonly outcomes: CompactOutcomes })

export function packCommand(command: StoreCommand): PackedCommand {
  switch (command.kind) {
    case 'execute':
      return { ...command, programs: compactPrograms(command.programs) }
    case 'append':
      return { ...command, entries: lightweightEntries(command.entries) }
    case 'merge':
      return { ...command, operations: lightweightOperations(command.operations) }
    default:
      return command
  }
}

/** The inverse of packCommand. */
export function unpackCommand(command: PackedCommand): StoreCommand {
  if (command.kind !== 'execute') return command
  return { ...command, programs: expandPrograms(command.programs) }
}

export function packReply(reply: StoreReply): PackedReply {
  switch (reply.kind) {
    case 'executed':
      return {
        ...reply,
        entries: lightweightEntries(reply.entries),
        outcomes: compactOutcomes(reply.outcomes),
      }
    case 'entries':
      return { ...reply, entries: lightweightEntries(reply.entries) }
    case 'originEntries':
      return { ...reply, entries: lightweightEntries(reply.entries) }
    default:
      return reply
  }
}

/** The inverse of packReply. */
export function unpackReply(reply: PackedReply): StoreReply {
  return reply.kind === 'executed' ? { ...reply, outcomes: expandOutcomes(reply.outcomes) } : reply
}
