/**
 * Entries that are no client's: those that the core proposes, and with several origins what the
 * exchange does. They wait here until the writer is free.
 */
import type { LogIndex, Term } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import type { LeaderOrder } from '../core/order/leader/leader-order.ts'
import type { MergeOperation, OriginEntry, OriginOperation } from '../model/origin-entry.ts'
import type { Making, StoreCommand } from '../store/types.ts'

interface ProposalBase {
  readonly term: Term
  /** With the index; null: leadership went, or the store refused. */
  readonly made: (index: LogIndex | null, error: ErrorData | null) => void
}

export interface CoreProposal extends ProposalBase {
  readonly kind: 'noop' | 'members' | 'verify' | 'data'
  readonly body: Uint8Array
}

/** An entry of our own origin that is no client's. */
export interface OwnProposal extends ProposalBase {
  readonly answer: OriginEntry['answer']
  /** Called when it is made: what is known then is known by the entry. */
  readonly operations: () => readonly OriginOperation[]
  /** Whether it may be made now. */
  readonly may: () => boolean
}

/** What other origins wrote. */
export interface MergeProposal extends ProposalBase {
  readonly operations: readonly MergeOperation[]
}

export type Proposal =
  | CoreProposal
  | (OwnProposal & { readonly kind: 'originate' })
  | (MergeProposal & { readonly kind: 'merge' })

/** What the exchange with other groups needs of the writer. */
export interface Proposing {
  readonly queued: number
  readonly busy: boolean
  readonly activeAt: number
  originate(proposal: OwnProposal): void
  merge(proposal: MergeProposal): void
}

export class Proposals {
  #waiting: Proposal[] = []

  add(proposal: Proposal): void {
    this.#waiting.push(proposal)
  }

  /**
   * The first one that may be made now. A `verify` entry's snapshot is pinned at its position, so
   * all before it must be applied (a new leader's noop goes first). What is of another term comes
   * too: nobody can make it any more.
   */
  take(order: LeaderOrder): Proposal | null {
    const at = this.#waiting.findIndex((proposal) => {
      if (proposal.term !== order.term) return true
      switch (proposal.kind) {
        case 'verify':
          return order.applied === order.last.index
        case 'originate':
          return order.mayExecute && proposal.may()
        case 'merge':
        case 'data':
          return order.mayExecute
        default:
          return true
      }
    })
    return this.#waiting.splice(at < 0 ? this.#waiting.length : at, 1)[0] ?? null
  }

  /** Leadership is gone. */
  drop(): void {
    for (const { made } of this.#waiting.splice(0)) made(null, null)
  }
}

/** What has the store make an entry. */
export function commandOf(proposal: Proposal, making: Making): StoreCommand {
  switch (proposal.kind) {
    case 'originate': {
      const { kind, answer, operations } = proposal
      return { kind, ...making, answer, operations: operations() }
    }
    case 'merge': {
      const { kind, operations } = proposal
      return { kind, ...making, operations }
    }
    default: {
      const { kind, body } = proposal
      return { kind: 'propose', ...making, entry: kind, body }
    }
  }
}
