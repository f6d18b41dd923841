/**
 * Hrana's messages over WebSocket, without their encodings: several streams share one socket, so
 * requests name their stream and are numbered by the client.
 */
import type { ErrorData } from '../../base/errors.ts'
import type { SessionToken } from '../../model/request.ts'
import type { HranaBatch, HranaEntry, StreamRequest, StreamResponse } from './protocol.ts'

/** Ids of streams, cursors, texts and requests are the client's: any 32-bit integers. */
export type WsRequest =
  | { readonly type: 'open_stream' | 'close_stream'; readonly streamId: number }
  /** What version and encoding call `execute`, `batch` and so on, with a stream_id. */
  | { readonly type: 'run'; readonly streamId: number; readonly request: WsStreamRequest }
  /** Texts belong to the connection, not to a stream. */
  | { readonly type: 'store_sql'; readonly sqlId: number; readonly sql: string }
  | { readonly type: 'close_sql'; readonly sqlId: number }
  | {
      readonly type: 'open_cursor'
      readonly streamId: number
      readonly cursorId: number
      readonly batch: HranaBatch
    }
  | { readonly type: 'close_cursor'; readonly cursorId: number }
  | { readonly type: 'fetch_cursor'; readonly cursorId: number; readonly maxCount: number }

export type WsStreamRequest = Exclude<
  StreamRequest,
  { readonly type: 'close' | 'store_sql' | 'close_sql' }
>

export type ClientMessage =
  | { readonly type: 'hello'; readonly jwt: string | null }
  | { readonly type: 'request'; readonly requestId: number; readonly request: WsRequest }

export type WsResponse =
  | Exclude<StreamResponse, { readonly type: 'close' }>
  | { readonly type: 'open_stream' | 'close_stream' | 'open_cursor' | 'close_cursor' }
  | {
      readonly type: 'fetch_cursor'
      readonly entries: readonly HranaEntry[]
      readonly done: boolean
    }

export type ServerMessage =
  | { readonly type: 'hello_ok' }
  | { readonly type: 'hello_error'; readonly error: ErrorData }
  | {
      readonly type: 'response_ok'
      readonly requestId: number
      readonly response: WsResponse
      /** What the stream has seen, in each result as `replication_index`. */
      readonly token: SessionToken | null
    }
  | { readonly type: 'response_error'; readonly requestId: number; readonly error: ErrorData }
