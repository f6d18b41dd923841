/** Hrana's messages over WebSocket in JSON: one text frame each. */
import { bad, fields, text } from '../../model/fields.ts'
import { decodeBatch, decodeStreamRequest, int32 } from './json-decode.ts'
import { encodeEntry, encodeError, responseJson } from './json-encode.ts'
import type { HranaVersion } from './protocol.ts'
import { toReplicationIndex } from './replication-index.ts'
import type { ClientMessage, ServerMessage, WsRequest, WsStreamRequest } from './ws-protocol.ts'

/**
 * A message from what JSON.parse made of its frame.
 * Throws BAD_REQUEST for anything that is not a message of this version.
 */
export function decodeJsonMessage(parsed: unknown, version: HranaVersion): ClientMessage {
  const json = fields(parsed, 'The message')
  switch (json['type']) {
    case 'request':
      return {
        type: 'request',
        requestId: int32(json['request_id'], 'request_id'),
        request: decodeRequest(fields(json['request'], 'request'), version),
      }
    case 'hello': {
      const jwt = json['jwt'] ?? null
      return { type: 'hello', jwt: jwt === null ? null : text(jwt, 'jwt') }
    }
    default:
      throw bad('type', 'hello or request', json['type'])
  }
}

function decodeRequest(json: Readonly<Record<string, unknown>>, version: HranaVersion): WsRequest {
  const type = json['type']
  switch (type) {
    case 'open_stream':
    case 'close_stream':
      return { type, streamId: int32(json['stream_id'], 'stream_id') }
    case 'open_cursor':
    case 'close_cursor':
    case 'fetch_cursor':
      return decodeCursorRequest(type, json, version)
    case 'close':
      throw bad('request.type', `a request of Hrana ${version}`, type)
    default: {
      const request = decodeStreamRequest(json, version)
      if (request.type === 'store_sql' || request.type === 'close_sql') return request
      const streamId = int32(json['stream_id'], 'stream_id')
      return { type: 'run', streamId, request: request as WsStreamRequest }
    }
  }
}

function decodeCursorRequest(
  type: 'open_cursor' | 'close_cursor' | 'fetch_cursor',
  json: Readonly<Record<string, unknown>>,
  version: HranaVersion,
): WsRequest {
  if (version < 3) throw bad('request.type', `a request of Hrana ${version}`, type)
  const cursorId = int32(json['cursor_id'], 'cursor_id')
  switch (type) {
    case 'close_cursor':
      return { type, cursorId }
    case 'fetch_cursor':
      return { type, cursorId, maxCount: uint32(json['max_count'], 'max_count') }
    case 'open_cursor': {
      const streamId = int32(json['stream_id'], 'stream_id')
      return { type, streamId, cursorId, batch: decodeBatch(json['batch'], version) }
    }
  }
}

function uint32(value: unknown, what: string): number {
  if (typeof value === 'number' && value === value >>> 0) return value
  throw bad(what, 'a count of 32 bits', value)
}

export function encodeJsonMessage(message: ServerMessage): string {
  switch (message.type) {
    case 'response_ok': {
      const { requestId } = message
      return `{"type":"response_ok","request_id":${requestId},"response":${okJson(message)}}`
    }
    case 'response_error': {
      const error = encodeError(message.error)
      return `{"type":"response_error","request_id":${message.requestId},"error":${error}}`
    }
    case 'hello_ok':
      return '{"type":"hello_ok"}'
    case 'hello_error':
      return `{"type":"hello_error","error":${encodeError(message.error)}}`
  }
}

function okJson({ response, token }: Extract<ServerMessage, { type: 'response_ok' }>): string {
  switch (response.type) {
    case 'open_stream':
    case 'close_stream':
    case 'open_cursor':
    case 'close_cursor':
      return `{"type":"${response.type}"}`
    case 'fetch_cursor': {
      const entries = response.entries.map(encodeEntry).join(',')
      return `{"type":"fetch_cursor","entries":[${entries}],"done":${response.done}}`
    }
    default:
      return responseJson(response, toReplicationIndex(token))
  }
}
