/** Hrana's messages over WebSocket in Protobuf: one binary frame each. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { bad } from '../../model/fields.ts'
import { protoBatch, protoRequest } from './proto-decode.ts'
import { message, writeEntry, writeError, writeResponseBody } from './proto-encode.ts'
import { decodeProto, type ProtoReader } from './proto-reader.ts'
import type { HranaBatch } from './protocol.ts'
import { toReplicationIndex } from './replication-index.ts'
import type {
  ClientMessage,
  ServerMessage,
  WsRequest,
  WsResponse,
  WsStreamRequest,
} from './ws-protocol.ts'

/** Throws BAD_REQUEST. */
export function decodeProtoMessage(frame: Uint8Array): ClientMessage {
  return decodeProto(frame, 'The message', (reader) => {
    let decoded: ClientMessage | null = null
    reader.fields((field) => {
      if (field === 1) decoded = reader.message(hello)
      else if (field === 2) decoded = reader.message(request)
    })
    if (decoded === null) throw bad('the message', 'hello or request', null)
    return decoded
  })
}

function hello(reader: ProtoReader): ClientMessage {
  let jwt: string | null = null
  reader.fields((field) => {
    if (field === 1) jwt = reader.text()
  })
  return { type: 'hello', jwt }
}

/** Numbers of a request's kinds in its message, those of the responses too. */
const KINDS = {
  open_stream: 2,
  close_stream: 3,
  execute: 4,
  batch: 5,
  open_cursor: 6,
  close_cursor: 7,
  fetch_cursor: 8,
  sequence: 9,
  describe: 10,
  store_sql: 11,
  close_sql: 12,
  get_autocommit: 13,
} as const satisfies Readonly<Record<Exclude<WsResponse['type'], 'close'>, number>>

type Kind = keyof typeof KINDS
const KIND_OF: ReadonlyMap<number, Kind> = new Map(
  Object.entries(KINDS).map(([kind, field]) => [field, kind as Kind]),
)

function request(reader: ProtoReader): ClientMessage {
  let requestId = 0
  let decoded: WsRequest | null = null
  reader.fields((field) => {
    const kind = KIND_OF.get(field)
    if (field === 1) requestId = reader.int32()
    else if (kind !== undefined) decoded = reader.message(() => wsRequest(reader, kind))
  })
  if (decoded === null) throw bad('the request', 'one of Hrana 3', null)
  return { type: 'request', requestId, request: decoded }
}

function wsRequest(reader: ProtoReader, type: Kind): WsRequest {
  switch (type) {
    case 'open_stream':
    case 'close_stream': {
      const [streamId] = numbers(reader)
      return { type, streamId }
    }
    case 'close_cursor': {
      const [cursorId] = numbers(reader)
      return { type, cursorId }
    }
    case 'fetch_cursor': {
      const [cursorId, maxCount] = numbers(reader)
      return { type, cursorId, maxCount: maxCount >>> 0 }
    }
    case 'open_cursor':
      return openCursor(reader)
    case 'store_sql':
    case 'close_sql':
      return protoRequest(reader, type, 1) as Extract<WsRequest, { type: typeof type }>
    default:
      return streamRequest(reader, type)
  }
}

/** Fields 1 and 2 of a message that holds nothing else. */
function numbers(reader: ProtoReader): [number, number] {
  const found: [number, number] = [0, 0]
  reader.fields((field) => {
    if (field === 1) found[0] = reader.int32()
    else if (field === 2) found[1] = reader.int32()
  })
  return found
}

function openCursor(reader: ProtoReader): WsRequest {
  let streamId = 0
  let cursorId = 0
  let batch: HranaBatch = { steps: [], atLeast: null }
  reader.fields((field) => {
    if (field === 1) streamId = reader.int32()
    else if (field === 2) cursorId = reader.int32()
    else if (field === 3) batch = reader.message(protoBatch)
  })
  return { type: 'open_cursor', streamId, cursorId, batch }
}

function streamRequest(reader: ProtoReader, type: WsStreamRequest['type']): WsRequest {
  let streamId = 0
  const decoded = protoRequest(reader, type, 2, (field) => {
    if (field === 1) streamId = reader.int32()
  })
  return { type: 'run', streamId, request: decoded as WsStreamRequest }
}

export function encodeProtoMessage(sent: ServerMessage): Uint8Array {
  const writer = new BinaryWriter()
  switch (sent.type) {
    case 'hello_ok':
      message(writer, 1, () => {})
      break
    case 'hello_error':
      message(writer, 2, () => writeError(writer, 1, sent.error))
      break
    case 'response_ok':
      message(writer, 3, () => writeResponse(writer, sent))
      break
    case 'response_error':
      message(writer, 4, () => {
        writer.tag(1, WireType.Varint).int32(sent.requestId)
        writeError(writer, 2, sent.error)
      })
  }
  return writer.finish()
}

function writeResponse(
  writer: BinaryWriter,
  { requestId, response, token }: Extract<ServerMessage, { type: 'response_ok' }>,
): void {
  writer.tag(1, WireType.Varint).int32(requestId)
  message(writer, KINDS[response.type], () => {
    switch (response.type) {
      case 'open_stream':
      case 'close_stream':
      case 'open_cursor':
      case 'close_cursor':
        break
      case 'fetch_cursor':
        for (const entry of response.entries) message(writer, 1, () => writeEntry(writer, entry))
        writer.tag(2, WireType.Varint).bool(response.done)
        break
      default:
        writeResponseBody(writer, response, toReplicationIndex(token))
    }
  })
}
