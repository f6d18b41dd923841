/**
 * libSQL's Hrana protocol without its encodings: requests on a stream and their responses. The
 * encodings (JSON, Protobuf) and the carriers (HTTP, WebSocket) all end at these types; what only
 * WebSocket has is in ws-protocol.ts. Specification: docs/HRANA_1_SPEC.md to HRANA_3_SPEC.md of
 * libSQL.
 */
import type { ErrorData } from '../../base/errors.ts'
import { bad } from '../../model/fields.ts'
import type { Condition, StatementResult, StepResult, Value } from '../../model/program.ts'

export type HranaVersion = 1 | 2 | 3

/** A few bytes of a hostile message may not become many of memory: above what anybody sends. */
const COUNTS_MAX = {
  requests: 100_000,
  steps: 1_000_000,
  /** SQLite takes no more. */
  args: 32_766,
}

/** Checks how many there are of something in a message. Throws BAD_REQUEST. */
export function checkCount(what: keyof typeof COUNTS_MAX, count: number): void {
  const most = COUNTS_MAX[what]
  if (count > most) throw bad(what, `at most ${most}`, count)
}

/** A statement's text, or the id under which the stream keeps it. */
export type SqlSource = { readonly sql: string } | { readonly sqlId: number }

export interface HranaStatement {
  readonly source: SqlSource
  readonly args: readonly Value[]
  readonly named: Readonly<Record<string, Value>> | null
  readonly wantRows: boolean
}

export interface HranaStep {
  readonly statement: HranaStatement
  readonly condition: Condition | null
}

/** What a request tells about the session that it belongs to. */
export interface Seen {
  /** Replication index that the client has seen (see replication-index.ts); null: it tells none. */
  readonly atLeast: bigint | null
}

export interface HranaBatch extends Seen {
  readonly steps: readonly HranaStep[]
}

export type StreamRequest =
  | { readonly type: 'close' }
  | ({ readonly type: 'execute'; readonly statement: HranaStatement } & Seen)
  | ({ readonly type: 'batch' } & HranaBatch)
  | ({ readonly type: 'sequence'; readonly source: SqlSource } & Seen)
  | ({ readonly type: 'describe'; readonly source: SqlSource } & Seen)
  | { readonly type: 'store_sql'; readonly sqlId: number; readonly sql: string }
  | { readonly type: 'close_sql'; readonly sqlId: number }
  | { readonly type: 'get_autocommit' }

/**
 * The body of a pipeline. Its requests are decoded one by one, when the stream is known that a
 * malformed one ends; each throws BAD_REQUEST then.
 */
export interface PipelineRequest {
  readonly baton: string | null
  readonly requests: readonly (() => StreamRequest)[]
}

export interface Description {
  /** Name with prefix, or null, of each parameter in index order. */
  readonly params: readonly (string | null)[]
  readonly columns: StatementResult['columns']
  readonly isExplain: boolean
  readonly isReadonly: boolean
}

export type StreamResponse =
  | { readonly type: 'close' }
  | { readonly type: 'sequence' | 'store_sql' | 'close_sql' }
  | { readonly type: 'execute'; readonly result: StatementResult }
  | { readonly type: 'batch'; readonly steps: readonly StepResult[] }
  | { readonly type: 'describe'; readonly description: Description }
  | { readonly type: 'get_autocommit'; readonly isAutocommit: boolean }

export type StreamOutcome =
  | { readonly ok: StreamResponse }
  /** The request failed; the stream goes on. */
  | { readonly error: ErrorData }

/** What a cursor tells, in order, about the steps of its batch; a skipped step is not told. */
export type HranaEntry =
  | {
      readonly type: 'step_begin'
      readonly step: number
      readonly columns: StatementResult['columns']
    }
  | { readonly type: 'row'; readonly row: readonly Value[] }
  | {
      readonly type: 'step_end'
      readonly changes: number
      readonly lastInsertRowid: bigint | null
    }
  /** Instead of step_begin, or after it and some rows. */
  | { readonly type: 'step_error'; readonly step: number; readonly error: ErrorData }
  /** The whole batch failed; the last entry. */
  | { readonly type: 'error'; readonly error: ErrorData }
