/**
 * Bugs planted on purpose, each a classic one, to prove that the simulator would find it. They are
 * put in from outside, by replacing parts of a node: production code has no switches for them.
 */
import { DatabaseSync } from 'node:sqlite'
import type { LogIndex, NodeId } from '../base/brand.ts'
import { toLogIndex } from '../base/brand.ts'
import { LeaderOrder } from '../core/order/leader/leader-order.ts'
import type { Effects, Input } from '../core/order/leader/types.ts'
import type { Entry } from '../model/entry.ts'
import { decodeBatch } from '../model/entry-codec.ts'
import type { CreateOrder } from '../node/driver.ts'
import type { StorePort } from '../node/ports.ts'
import { RowApplier } from '../store/apply/row-apply.ts'
import { Connection } from '../store/connections.ts'
import { Store } from '../store/store.ts'
import type { Parts } from './node.ts'
import type { RunsCommands } from './store-port.ts'

export const MUTATIONS = [
  'ackBeforeFlush',
  'countLearners',
  'countOldTerms',
  'readWithoutQuorum',
  'skipInverse',
  'forgetVote',
] as const
export type Mutation = (typeof MUTATIONS)[number]

/** The parts of a node that has the bug. */
export function mutated(mutation: Mutation): Parts {
  switch (mutation) {
    case 'ackBeforeFlush':
      return { wrapStorePort: flushedAtOnce }
    case 'countLearners':
      return { createOrder: creates(CountsLearners) }
    case 'countOldTerms':
      return { createOrder: creates(CountsOldTerms) }
    case 'readWithoutQuorum':
      return { createOrder: creates(ReadsWithoutQuorum) }
    case 'skipInverse':
      return { wrapStore: skipsInverse }
    case 'forgetVote':
      return { forget: ({ term }) => ({ term, vote: null }) }
  }
}

function creates(order: typeof LeaderOrder): CreateOrder {
  return (options, prng, hardState, log) => new order(options, prng, hardState, log)
}

/** Says that a write is durable as soon as the store has done it. */
function flushedAtOnce(port: StorePort): StorePort {
  let listener: (ticket: number) => void = () => {}
  return {
    onFlushed: (given) => {
      listener = given
    },
    submit: (command, done) => {
      port.submit(command, (reply) => {
        done(reply)
        if ('ticket' in command) listener(command.ticket)
      })
    },
  }
}

/** Commits by a rule of its own; all else is the real order. */
class OwnCommitRule extends LeaderOrder {
  #commit: LogIndex | null = null

  override get commit(): LogIndex {
    const real = super.commit
    return this.#commit !== null && this.#commit > real ? this.#commit : real
  }

  override step(input: Input): Effects {
    const effects = super.step(input)
    const index = this.role === 'leader' ? this.committable() : null
    const moved = index !== null && index > this.commit && index <= this.last.index
    if (moved) this.#commit = index
    const { commit } = this
    // What it tells its followers must be the same lie.
    const send = effects.send.map(({ to, message }) => {
      return { to, message: message.kind === 'append' ? { ...message, commit } : message }
    })
    return { ...effects, send, commit: moved ? commit : effects.commit }
  }

  protected committable(): LogIndex | null {
    return null
  }

  protected heldBy(id: NodeId): number {
    return id === this.#self ? this.durable : (this.progress.get(id)?.match ?? 0)
  }

  get #self(): NodeId | null {
    return this.leader
  }
}

/** The highest of these numbers that so many of them reach. */
function reachedBy(held: readonly number[], count: number): LogIndex {
  return toLogIndex([...held].sort((a, b) => b - a)[count - 1] ?? 0)
}

/** Counts what learners hold towards the majority of voters. */
class CountsLearners extends OwnCommitRule {
  protected override committable(): LogIndex | null {
    const { members } = this.members
    const voters = members.filter(({ role }) => role === 'voter').length
    const held = members.map(({ id }) => this.heldBy(id))
    const index = reachedBy(held, Math.floor(voters / 2) + 1)
    return this.termAt(index) === this.term ? index : null
  }
}

/** Commits whatever a majority holds, entries of earlier terms as well (Raft, figure 8). */
class CountsOldTerms extends OwnCommitRule {
  protected override committable(): LogIndex | null {
    const voters = this.members.members.filter(({ role }) => role === 'voter')
    return reachedBy(
      voters.map(({ id }) => this.heldBy(id)),
      Math.floor(voters.length / 2) + 1,
    )
  }
}

/** A leader answers strong reads from what it believes, without asking whether it still leads. */
class ReadsWithoutQuorum extends LeaderOrder {
  override step(input: Input): Effects {
    if (this.role !== 'leader' || !this.mayExecute) return super.step(input)
    if (input.kind === 'read') {
      return { ...NOTHING, reads: [{ id: input.id, index: this.commit }] }
    }
    if (input.kind !== 'message' || input.message.kind !== 'readIndex') return super.step(input)
    const { term, commit: index } = this
    const message = { kind: 'readIndexReply', term, id: input.message.id, index } as const
    return { ...NOTHING, send: [{ to: input.from, message }] }
  }
}

const NOTHING: Effects = {
  hardState: null,
  ticket: null,
  truncate: null,
  append: [],
  send: [],
  commit: null,
  propose: [],
  snapshotTo: [],
  reads: [],
  replies: [],
  changed: false,
}

/** Takes entries out of the log and leaves their effects in the tables. */
function skipsInverse(store: RunsCommands): RunsCommands {
  if (!(store instanceof Store)) return store
  return {
    run: (command) => {
      if (command.kind !== 'truncate') return store.run(command)
      const { applied, last } = store.log
      const to = toLogIndex(Math.min(applied, last.index))
      const from = toLogIndex(command.to + 1)
      const range = { kind: 'read', from, to, bytesMax: Number.MAX_SAFE_INTEGER } as const
      const undone = from <= to ? store.run(range) : null
      const reply = store.run(command)
      if (undone?.kind === 'entries') putBack(store.path, undone.entries)
      return reply
    },
  }
}

/** Undoes the undoing: the store has no way to be told not to. */
function putBack(path: string, entries: readonly Entry[]): void {
  const db = new DatabaseSync(path, { enableForeignKeyConstraints: false, defensive: false })
  const rows = new RowApplier(new Connection(db))
  for (const { kind, body } of entries) {
    if (kind !== 'data') continue
    for (const operation of decodeBatch(body).operations) {
      if (operation.kind === 'changeset')
        db.applyChangeset(operation.bytes, { onConflict: () => 0 })
      if (operation.kind === 'rows') rows.apply(operation.bytes)
    }
  }
  db.close()
}
