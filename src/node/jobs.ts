/** What the writer is asked to run: programs, and rounds of interactive streams. */
import type { LogIndex, NodeId } from '../base/brand.ts'
import type { Program } from '../model/program.ts'
import type { AckLevel, NodeReply } from '../model/request.ts'
import type { Paused } from '../store/types.ts'

interface JobBase {
  readonly ack: AckLevel
  /** Monotonic ms. */
  readonly deadline: number
  readonly done: (reply: NodeReply) => void
  /** Leadership went before it had an effect: find the new leader. */
  readonly reroute: () => void
  /** Its first part has run and is logged at `index`; the rest waits for that to be committed. */
  begun?: { readonly paused: Paused; readonly index: LogIndex }
  /** With several origins: it changes the schema, and runs while nobody else writes. */
  needsBarrier?: boolean
}

export interface ProgramJob extends JobBase {
  readonly kind: 'program'
  readonly program: Program
}

export interface StreamJob extends JobBase {
  readonly kind: 'stream'
  readonly stream: string
  /** The fellow node whose client's it is; null: a client here. */
  readonly from: NodeId | null
  readonly open: boolean
  readonly program: Program | null
  /** Nothing follows: what is open after it is rolled back. */
  end: boolean
}

export type Job = ProgramJob | StreamJob
