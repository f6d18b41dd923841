/**
 * Keeps the WAL short without stopping the writer.
 *
 * Copying WAL frames into the database takes long, so a thread of its own does it in the
 * background. But SQLite only starts the WAL over when a write finds every frame copied, and while
 * writes go on there is always a newer one. So once the WAL is long, the writer's thread copies the
 * few frames that are left, between two commands; the next write then starts the WAL over.
 * Measured: doing all of it in the writer cost a sixth of the rate and six times the p99.
 *
 * Readers that stay long keep the WAL from starting over. That is shown as WAL bytes, never waited
 * for. The file itself does not shrink: SQLite writes over it from the start.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { inodeOf, openLive } from './live-file.ts'

/** What a checkpoint has to know, in frames of one page each. */
export interface WalState {
  readonly frames: number
  /** How many of them are in the database file already. */
  readonly checkpointed: number
}

export const CHECKPOINT = {
  /** Frames not copied yet above which the background copies: 40 MB of 4 KiB pages; more at once copies fewer pages twice. */
  backlogFrames: 10_000,
  /** WAL length above which the writer helps to start it over: 96 MB. */
  restartFrames: 24_576,
  /** How often the background looks. */
  everyMs: 100,
} as const

export type CheckpointStep = 'nothing' | 'background' | 'finish'

/**
 * What to do about a WAL in this state.
 *
 * @param finishedAt frames there were when the writer helped last, so that it is not asked again
 *   and again for a WAL that a reader holds; 0 if it never did
 */
export function planCheckpoint(wal: WalState, finishedAt: number): CheckpointStep {
  const grown = wal.frames - (finishedAt > wal.frames ? 0 : finishedAt)
  const backlog = wal.frames - wal.checkpointed
  if (wal.frames >= CHECKPOINT.restartFrames && grown >= CHECKPOINT.backlogFrames) return 'finish'
  return backlog >= CHECKPOINT.backlogFrames ? 'background' : 'nothing'
}

/** A connection that only checkpoints. Opens the file anew when another has taken its place. */
export class Checkpointer {
  readonly #path: string
  #open: { db: DatabaseSync; inode: number; look: StatementSync; passive: StatementSync } | null =
    null

  constructor(path: string) {
    this.#path = path
  }

  /** How the WAL stands; costs microseconds. */
  look(): WalState {
    return toState(this.#connect().look.get())
  }

  /** Copies what can be copied without waiting for anybody. */
  copy(): WalState {
    return toState(this.#connect().passive.get())
  }

  close(): void {
    this.#open?.db.close()
    this.#open = null
  }

  #connect(): { look: StatementSync; passive: StatementSync } {
    if (this.#open !== null && inodeOf(this.#path) === this.#open.inode) return this.#open
    this.close()
    const { db, inode } = openLive(this.#path)
    const look = db.prepare('pragma wal_checkpoint(noop)')
    const passive = db.prepare('pragma wal_checkpoint(passive)')
    this.#open = { db, inode, look, passive }
    return this.#open
  }
}

/** SQLite says -1 for a database that is not in WAL mode. */
function toState(row: Record<string, unknown> | undefined): WalState {
  const frames = Math.max(0, Number(row?.['log'] ?? 0))
  return { frames, checkpointed: Math.max(0, Number(row?.['checkpointed'] ?? 0)) }
}
