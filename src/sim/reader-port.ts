/** The production reader in virtual time: a read happens some time after it was asked for. */
import type { LogIndex } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import type { Prng } from '../base/prng.ts'
import type { Program } from '../model/program.ts'
import type { CursorBegin, CursorNext, CursorReply, ReaderPort, ReadReply } from '../node/ports.ts'
import type { Verified } from '../store/types.ts'
import type { Profile } from './profile.ts'
import { drawDelay } from './profile.ts'
import type { Lifetime, Schedule } from './schedule.ts'

/** The part of the production reader that a port needs. */
export interface Reads {
  read(program: Program): ReadReply
  open(begin: CursorBegin & { readonly cursor: number }): CursorReply
  fetch(next: CursorNext): CursorReply
  closeCursor(cursor: number): void
  reopen(): void
}

export interface ReaderPortOptions {
  readonly schedule: Schedule
  readonly life: Lifetime
  readonly prng: Prng
  readonly speed: () => Profile['disk']
  readonly reader: Reads
  /** Checksums of the database as it is now. */
  readonly verify: () => Verified
}

export class SimReaderPort implements ReaderPort {
  readonly #options: ReaderPortOptions
  #lastCursor = 0

  constructor(options: ReaderPortOptions) {
    this.#options = options
  }

  reopen(): void {
    this.#options.reader.reopen()
  }

  read(program: Program, _timeoutMs: number, done: (reply: ReadReply) => void): void {
    this.#later(() => {
      const reply = this.#options.reader.read(program)
      this.#later(() => done(reply))
    })
  }

  openCursor(begin: CursorBegin, _timeoutMs: number, done: (reply: CursorReply) => void): void {
    this.#lastCursor += 1
    const cursor = this.#lastCursor
    this.#later(() => {
      const reply = this.#options.reader.open({ ...begin, cursor })
      this.#later(() => done(reply))
    })
  }

  fetchCursor(next: CursorNext, _timeoutMs: number, done: (reply: CursorReply) => void): void {
    this.#later(() => {
      const reply = this.#options.reader.fetch(next)
      this.#later(() => done(reply))
    })
  }

  closeCursor(cursor: number): void {
    this.#options.reader.closeCursor(cursor)
  }

  verify(pinned: (applied: LogIndex) => void, done: (result: Verified | ErrorData) => void): void {
    this.#later(() => {
      // Computed at once from the state that is pinned, told later.
      const result = this.#options.verify()
      this.#later(() => {
        pinned(result.index)
        this.#later(() => done(result))
      })
    })
  }

  #later(run: () => void): void {
    const { schedule, life, prng, speed } = this.#options
    schedule.after(drawDelay(prng, speed().store), life, run)
  }
}
