/** The words of the client's interface: what goes in, what comes out, and what may be asked for. */

import type { AckLevel, ReadLevel } from '../model/request.ts'

export type { AckLevel, ReadLevel }

/**
 * What may be bound. A number that is a safe integer binds as INTEGER and any other as REAL,
 * because whoever writes 42 means an integer; a boolean binds as 1 or 0.
 */
export type Arg = null | boolean | number | bigint | string | Uint8Array

/** By position, or by name with or without prefix. */
export type Args = readonly Arg[] | Readonly<Record<string, Arg>>

/** What comes back. An INTEGER is a number while that is exact, and a bigint beyond. */
export type Cell = null | number | bigint | string | Uint8Array

export type Row = Record<string, Cell>

export interface ExecuteResult {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
  /** Rows that the statement inserted, changed or deleted. */
  readonly changes: number
  /** Of an INSERT; null otherwise. */
  readonly lastInsertRowid: number | bigint | null
}

export interface CallOptions {
  readonly read?: ReadLevel
  readonly ack?: AckLevel
  /** From the call to its answer, all retries included. */
  readonly timeoutMs?: number
  /** Aborting rejects with the signal's reason; a write that was under way may still happen. */
  readonly signal?: AbortSignal
}

export interface BatchOptions extends CallOptions {
  /** `read`: the statements only read, so any replica may answer. Default `write`. */
  readonly mode?: 'read' | 'write'
}

/** One statement of a batch: its text, or text and arguments. */
export type BatchItem = string | readonly [sql: string, args?: Args]

/** What is open between BEGIN and COMMIT. Statements run one after the other. */
export interface Transaction {
  execute(sql: string, args?: Args): Promise<ExecuteResult>
  query(sql: string, args?: Args): Promise<Row[]>
}
