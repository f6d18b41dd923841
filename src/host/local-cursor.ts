/**
 * Rows of this node pulled piece by piece: a streamed read, and a transaction that only reads, which
 * is a cursor that keeps its snapshot for the next statement.
 */
import { fromErrorData, QuorateError } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import type { TransactionLine } from '../client/transaction.ts'
import { rowMaker } from '../client/values.ts'
import type { Column, Statement, StatementResult, Value } from '../model/program.ts'
import type { CursorRequest, NodeReply, ReadLevel } from '../model/request.ts'
import { type LocalSession, single } from './local-session.ts'

/** Small, because a cursor that nobody fetches from is closed after a while. */
const STREAM_CHUNK_BYTES = 256 * 1024

/** How a cursor is to be read. */
export interface CursorCall {
  readonly level: ReadLevel
  /** For each piece. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** A cursor of the node, from its first statement to its end. */
class Cursor {
  readonly #session: LocalSession
  readonly #call: CursorCall
  readonly #chunkBytes: number
  readonly #keep: boolean
  #id: string | null = null

  /** @param keep for more statements on the same snapshot */
  constructor(session: LocalSession, call: CursorCall, chunkBytes: number, keep: boolean) {
    this.#session = session
    this.#call = call
    this.#chunkBytes = chunkBytes
    this.#keep = keep
  }

  /** Begins a statement, the first one or, on a kept cursor, the next. */
  async begin(statement: Statement): Promise<Chunk> {
    const program = single(statement)
    if (this.#id !== null) return this.#next({ kind: 'fetch', cursor: this.#id, program })
    const { token } = this.#session
    const { level } = this.#call
    return this.#next({ kind: 'cursor', program, level, token, keep: this.#keep })
  }

  /** The next piece; null: the one before was the last. */
  fetch(chunk: Chunk): Promise<Chunk> | null {
    if (chunk.done || this.#id === null) return null
    return this.#next({ kind: 'fetch', cursor: this.#id, program: null })
  }

  /** Ends the statement if it still runs, and lets the snapshot go. */
  close(): void {
    this.#end(this.#id)
    this.#id = null
  }

  #end(cursor: string | null): void {
    const { timeoutMs } = this.#call
    if (cursor !== null) void this.#session.tell({ kind: 'closeCursor', cursor, timeoutMs })
  }

  async #next(request: Begin | Fetch): Promise<Chunk> {
    const { timeoutMs, signal } = this.#call
    const costs = { chunkBytes: this.#chunkBytes, timeoutMs }
    const reply = await this.#session.call({ ...request, ...costs }, signal, (late) => {
      if (late.kind === 'chunk') this.#end(late.cursor)
    })
    const chunk = this.#session.chunk(reply)
    if (chunk === null) throw new QuorateError('SQL_REFUSED', NOT_READ)
    this.#id = chunk.cursor
    return chunk
  }
}

const NOT_READ = 'The statement writes, and was given where only reads run; nothing was changed.'

type Chunk = Extract<NodeReply, { readonly kind: 'chunk' }>
type Unpriced<Kind> = Omit<
  Extract<CursorRequest, { readonly kind: Kind }>,
  'chunkBytes' | 'timeoutMs'
>
type Begin = Unpriced<'cursor'>
type Fetch = Unpriced<'fetch'>

/**
 * The rows of one read. The next piece is on its way while one is being used, never more.
 *
 * @throws QuorateError SQL_REFUSED for what is not a read, CURSOR_CLOSED when it was left alone for
 *   too long, and what `query` throws
 */
export async function* streamRows<T extends object>(
  session: LocalSession,
  statement: Statement,
  call: CursorCall,
  bigints: boolean,
): AsyncGenerator<T, void, undefined> {
  const cursor = new Cursor(session, call, STREAM_CHUNK_BYTES, false)
  let make: ((values: readonly Value[]) => T) | null = null
  try {
    let next: Promise<Chunk> | null = cursor.begin(statement)
    while (next !== null) {
      const chunk: Chunk = await next
      next = cursor.fetch(chunk)
      // It is looked at only if the caller takes all of this piece.
      next?.catch(() => {})
      for (const entry of chunk.entries) {
        if (entry.kind === 'begin') make = rowMaker<T>(entry.columns, bigints)
        else if (entry.kind === 'error') throw fromErrorData(entry.error)
        else if (entry.kind === 'rows' && make !== null) yield* entry.rows.map(make)
      }
    }
  } finally {
    cursor.close()
  }
}

/** A transaction on a snapshot of this replica. Keeps nobody waiting. */
export function snapshotLine(session: LocalSession, call: CursorCall): TransactionLine {
  const cursor = new Cursor(session, call, LIMITS.chunkBytesMax, true)
  return {
    run: (statement) => wholeResult(cursor, statement),
    end: async () => cursor.close(),
  }
}

async function wholeResult(cursor: Cursor, statement: Statement): Promise<StatementResult> {
  let columns: readonly Column[] = []
  const rows: (readonly Value[])[] = []
  let next: Promise<Chunk> | null = cursor.begin(statement)
  while (next !== null) {
    const chunk: Chunk = await next
    for (const entry of chunk.entries) {
      if (entry.kind === 'begin') columns = entry.columns
      else if (entry.kind === 'error') throw fromErrorData(entry.error)
      else if (entry.kind === 'rows') for (const row of entry.rows) rows.push(row)
    }
    next = cursor.fetch(chunk)
  }
  return { columns, rows, changes: 0, lastInsertRowid: null }
}
