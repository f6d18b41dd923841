/**
 * Reads one database file: runs programs of reads, each in one read transaction that also tells
 * which entry the database is at; at once, or piece by piece (a cursor). Synchronous and without
 * threads, so that the simulator, an application's own thread and the reader threads all use this one.
 */
import type { LogIndex } from '../../base/brand.ts'
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import type { Program, ProgramResult } from '../../model/program.ts'
import type { CursorEntry } from '../../model/request.ts'
import { mapSqliteError } from '../execute/statement.ts'
import { inodeOf } from '../files/live-file.ts'
import { ReaderConnection } from './reader-connection.ts'
import { CursorRun } from './reader-cursor.ts'
import { planReadOnly, planReads } from './reader-plan.ts'
import { runReads } from './reader-run.ts'

/** Nothing was run. */
export type NoRead =
  /** At least one statement is not a read. */
  { readonly kind: 'notRead' } | { readonly kind: 'failed'; readonly error: ErrorData }

export type ReadReply =
  | {
      readonly kind: 'rows'
      readonly result: ProgramResult
      /** The database as of this entry. */
      readonly applied: LogIndex
    }
  | NoRead

export type CursorReply =
  | {
      readonly kind: 'chunk'
      readonly entries: readonly CursorEntry[]
      /** The program has ended. */
      readonly done: boolean
      /** Null: nothing more to fetch or to close. */
      readonly cursor: number | null
      /** The database as of this entry. */
      readonly applied: LogIndex
    }
  | NoRead

export interface CursorBegin {
  /** What the cursor will be called if it stays open. */
  readonly cursor: number
  readonly program: Program
  /** About how much a chunk may hold; at least one row goes. */
  readonly chunkBytes: number
  /** Whether the snapshot stays for the next program, until COMMIT or ROLLBACK. */
  readonly keep: boolean
}

export interface CursorNext {
  readonly cursor: number
  /** To begin, on a cursor that was kept; null: go on. */
  readonly program: Program | null
  readonly chunkBytes: number
}

interface Cursor {
  readonly connection: ReaderConnection
  readonly applied: LogIndex
  readonly keep: boolean
  run: CursorRun
}

/** Connections kept open that no cursor holds. */
const FREE_MAX = 4

export interface ReaderOptions {
  /** A chunk ends early when this says so; called after each row. Default: never. */
  readonly enough?: () => boolean
  /** Cursors open at once. */
  readonly cursorsMax?: number
}

/** Reads of one database file. Opens it when first asked, and anew when the file was replaced. */
export class Reader {
  readonly #path: string
  readonly #enough: () => boolean
  readonly #cursorsMax: number
  #free: ReaderConnection[] = []
  readonly #cursors = new Map<number, Cursor>()

  constructor(path: string, options: ReaderOptions = {}) {
    this.#path = path
    this.#enough = options.enough ?? (() => false)
    this.#cursorsMax = options.cursorsMax ?? LIMITS.cursorsMax
  }

  /** Cursors that are open. */
  get cursors(): number {
    return this.#cursors.size
  }

  /**
   * Runs a program of reads in one read transaction. BEGIN, COMMIT and ROLLBACK among them do
   * nothing beyond what they say in the result. Never throws for what a caller can get wrong:
   * errors of statements are in their steps, those of the file in `failed`.
   */
  read(program: Program): ReadReply {
    try {
      const connection = this.#take()
      try {
        const applied = connection.begin()
        const result = runReads(connection.cache, program)
        return result === null ? { kind: 'notRead' } : { kind: 'rows', result, applied }
      } finally {
        this.#give(connection)
      }
    } catch (error) {
      return failed(error)
    }
  }

  /**
   * Begins a program whose rows are pulled piece by piece. Never throws, as read. Asked twice for
   * the same cursor, it refuses: a pool of readers hands a task on and back again.
   */
  open({ cursor, program, chunkBytes, keep }: CursorBegin): CursorReply {
    if (this.#cursors.has(cursor)) return cursorClosed(cursor)
    try {
      const connection = this.#take()
      try {
        const applied = connection.begin()
        const { cache } = connection
        const plans = keep ? planReadOnly(cache, program.steps) : planReads(cache, program.steps)
        if (plans === null) {
          this.#give(connection)
          return { kind: 'notRead' }
        }
        const run = new CursorRun(program, plans, true)
        return this.#chunk(cursor, { connection, applied, keep, run }, chunkBytes)
      } catch (error) {
        if (!this.#cursors.has(cursor)) this.#give(connection)
        throw error
      }
    } catch (error) {
      return failed(error)
    }
  }

  /** The next chunk, or the first of the next program in the same snapshot. */
  fetch({ cursor, program, chunkBytes }: CursorNext): CursorReply {
    const found = this.#cursors.get(cursor)
    if (found === undefined) return cursorClosed(cursor)
    try {
      if (program !== null) this.#next(found, program)
      return this.#chunk(cursor, found, chunkBytes)
    } catch (error) {
      this.closeCursor(cursor)
      return failed(error)
    }
  }

  closeCursor(cursor: number): void {
    const found = this.#cursors.get(cursor)
    if (found === undefined) return
    this.#cursors.delete(cursor)
    found.run.stop()
    this.#give(found.connection)
  }

  /** Lets go of the file; the next read opens it again. Cursors keep what they had. */
  reopen(): void {
    for (const connection of this.#free) connection.close()
    this.#free = []
  }

  close(): void {
    for (const cursor of [...this.#cursors.keys()]) this.closeCursor(cursor)
    this.reopen()
  }

  #next(cursor: Cursor, program: Program): void {
    if (!cursor.keep) {
      throw new QuorateError('BAD_REQUEST', 'The cursor was not opened for a second program.')
    }
    cursor.run.stop()
    const plans = planReadOnly(cursor.connection.cache, program.steps)
    cursor.run = new CursorRun(program, plans, cursor.run.autocommit)
  }

  #chunk(name: number, cursor: Cursor, chunkBytes: number): CursorReply {
    const { connection, applied, keep, run } = cursor
    const entries = run.next(chunkBytes, this.#enough)
    const { done } = run
    if (!done || (keep && !run.closed)) {
      if (!this.#cursors.has(name)) this.#add(name, cursor)
      return { kind: 'chunk', entries, done, cursor: name, applied }
    }
    this.#cursors.delete(name)
    this.#give(connection)
    return { kind: 'chunk', entries, done, cursor: null, applied }
  }

  #add(name: number, cursor: Cursor): void {
    if (this.#cursors.size >= this.#cursorsMax) {
      cursor.run.stop()
      throw new QuorateError('OVERLOADED', `${this.#cursorsMax} cursors are open on one thread.`)
    }
    this.#cursors.set(name, cursor)
  }

  /** A connection to the file as it is named now. */
  #take(): ReaderConnection {
    const inode = inodeOf(this.#path)
    for (let known = this.#free.pop(); known !== undefined; known = this.#free.pop()) {
      if (known.inode === inode) return known
      known.close()
    }
    return new ReaderConnection(this.#path)
  }

  #give(connection: ReaderConnection): void {
    connection.end()
    if (this.#free.length < FREE_MAX) this.#free.push(connection)
    else connection.close()
  }
}

function failed(error: unknown): NoRead {
  return { kind: 'failed', error: toErrorData(mapSqliteError(error)) }
}

function cursorClosed(cursor: number): NoRead {
  const detail = `There is no cursor ${cursor} any more.`
  return { kind: 'failed', error: { code: 'CURSOR_CLOSED', detail } }
}
