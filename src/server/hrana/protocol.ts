/**
 * libSQL's Hrana protocol without its encodings: requests on a stream and their responses. The
 * encodings (JSON here; Protobuf to come) and the carriers (HTTP here; WebSocket to come) both end
 * at these types. Specification: docs/HRANA_2_SPEC.md and docs/HRANA_3_SPEC.md of libSQL.
 */
import type { ErrorData } from '../../base/errors.ts'
import type { Condition, StatementResult, StepResult, Value } from '../../model/program.ts'

export type HranaVersion = 2 | 3

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

export type StreamRequest =
  | { readonly type: 'close' }
  | { readonly type: 'execute'; readonly statement: HranaStatement }
  | { readonly type: 'batch'; readonly steps: readonly HranaStep[] }
  | { readonly type: 'sequence'; readonly source: SqlSource }
  | { readonly type: 'describe'; readonly source: SqlSource }
  | { readonly type: 'store_sql'; readonly sqlId: number; readonly sql: string }
  | { readonly type: 'close_sql'; readonly sqlId: number }
  | { readonly type: 'get_autocommit' }

export interface Description {
  /** Name with prefix, or null, of each parameter in index order. */
  readonly params: readonly (string | null)[]
  readonly columns: StatementResult['columns']
  readonly isExplain: boolean
  readonly isReadonly: boolean
}

export type StreamResponse =
  | { readonly type: 'close' | 'sequence' | 'store_sql' | 'close_sql' }
  | { readonly type: 'execute'; readonly result: StatementResult }
  | { readonly type: 'batch'; readonly steps: readonly StepResult[] }
  | { readonly type: 'describe'; readonly description: Description }
  | { readonly type: 'get_autocommit'; readonly isAutocommit: boolean }

export type StreamOutcome =
  | { readonly ok: StreamResponse }
  /** The request failed; the stream goes on. */
  | { readonly error: ErrorData }
