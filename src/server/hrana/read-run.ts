/** Programs of reads that are pulled piece by piece from a cursor of the node. */
import type { ErrorData } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import type { Program, StatementResult, StepResult, Value } from '../../model/program.ts'
import type {
  CursorEntry,
  NodeReply,
  NodeRequest,
  ReadLevel,
  SessionToken,
} from '../../model/request.ts'
import { ResultRoom } from '../../store/execute/statement.ts'

/** What a piece weighs: enough for speed, little enough for memory with many clients. */
const CHUNK_BYTES = 128 * 1024
const CLOSE_TIMEOUT_MS = 5_000

export type Ask = (request: NodeRequest) => Promise<NodeReply>

export type Piece =
  | {
      readonly kind: 'piece'
      readonly entries: readonly CursorEntry[]
      /** The program has ended. */
      readonly done: boolean
      readonly token: SessionToken
    }
  | { readonly kind: 'writeNeeded' }
  | { readonly kind: 'error'; readonly error: ErrorData }

export interface ReadCall {
  readonly read: ReadLevel
  readonly timeoutMs: number
}

export class ReadRun {
  readonly #ask: Ask
  readonly #keep: boolean
  #cursor: string | null = null
  #closed = false

  /** @param keep the snapshot for more programs: a transaction that only reads */
  constructor(ask: Ask, keep: boolean) {
    this.#ask = ask
    this.#keep = keep
  }

  /** The node holds a cursor for it. */
  get open(): boolean {
    return this.#cursor !== null
  }

  /**
   * Runs a program; on a snapshot that was kept, in that snapshot. The last piece says that it is
   * the last; an error or `writeNeeded` is followed by nothing.
   */
  async *pieces(
    program: Program,
    token: SessionToken | null,
    { read: level, timeoutMs }: ReadCall,
  ): AsyncGenerator<Piece, void, undefined> {
    const common = { chunkBytes: CHUNK_BYTES, timeoutMs }
    const known = this.#cursor
    let piece = await this.#next(
      known === null
        ? { kind: 'cursor', program, level, token, keep: this.#keep, ...common }
        : { kind: 'fetch', cursor: known, program, ...common },
    )
    yield piece
    while (piece.kind === 'piece' && !piece.done) {
      const cursor = this.#cursor
      if (cursor === null) return
      piece = await this.#next({ kind: 'fetch', cursor, program: null, ...common })
      yield piece
    }
  }

  /** Lets the node's cursor go, also while a piece is on its way. */
  close(): void {
    this.#closed = true
    if (this.#cursor === null) return
    const request = {
      kind: 'closeCursor',
      cursor: this.#cursor,
      timeoutMs: CLOSE_TIMEOUT_MS,
    } as const
    this.#cursor = null
    this.#ask(request).catch(() => {})
  }

  async #next(request: NodeRequest): Promise<Piece> {
    const reply = await this.#ask(request)
    switch (reply.kind) {
      case 'chunk': {
        const { entries, done, token } = reply
        this.#cursor = reply.cursor
        if (this.#closed) this.close()
        return { kind: 'piece', entries, done, token }
      }
      case 'writeNeeded':
        return reply
      case 'error':
        this.#cursor = null
        return reply
      default:
        throw new Error(`a ${reply.kind} reply to a cursor`)
    }
  }
}

/** Puts the pieces of a program together again, as far as they have room in an answer. */
export class StepCollector {
  readonly steps: StepResult[]
  readonly #room = new ResultRoom(LIMITS.networkResultBytesMax)
  #columns: StatementResult['columns'] = []
  #rows: (readonly Value[])[] = []

  constructor(steps: number) {
    this.steps = new Array<StepResult>(steps).fill(null)
  }

  /** Throws RESPONSE_TOO_LARGE. */
  add(entries: readonly CursorEntry[]): void {
    for (const entry of entries) {
      switch (entry.kind) {
        case 'begin':
          this.#columns = entry.columns
          this.#rows = []
          break
        case 'rows':
          for (const row of entry.rows) this.#room.take(row)
          this.#rows.push(...entry.rows)
          break
        case 'end': {
          const ok = { columns: this.#columns, rows: this.#rows, changes: 0, lastInsertRowid: null }
          this.steps[entry.step] = { ok }
          break
        }
        case 'error':
          this.steps[entry.step] = { error: entry.error }
      }
    }
  }
}
