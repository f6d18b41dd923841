/**
 * The encodings of libSQL's own TypeScript client, as what ours are compared with. They are not among
 * that package's exports, so they are taken from its files.
 */
import { readJsonObject } from '../../../node_modules/@libsql/hrana-client/lib-esm/encoding/json/decode.js'
import { writeJsonObject } from '../../../node_modules/@libsql/hrana-client/lib-esm/encoding/json/encode.js'
import { readProtobufMessage } from '../../../node_modules/@libsql/hrana-client/lib-esm/encoding/protobuf/decode.js'
import { writeProtobufMessage } from '../../../node_modules/@libsql/hrana-client/lib-esm/encoding/protobuf/encode.js'
import * as httpJsonOut from '../../../node_modules/@libsql/hrana-client/lib-esm/http/json_decode.js'
import * as httpJsonIn from '../../../node_modules/@libsql/hrana-client/lib-esm/http/json_encode.js'
import type * as http from '../../../node_modules/@libsql/hrana-client/lib-esm/http/proto.js'
import * as httpProtoOut from '../../../node_modules/@libsql/hrana-client/lib-esm/http/protobuf_decode.js'
import * as httpProtoIn from '../../../node_modules/@libsql/hrana-client/lib-esm/http/protobuf_encode.js'
import * as wsJsonOut from '../../../node_modules/@libsql/hrana-client/lib-esm/ws/json_decode.js'
import * as wsJsonIn from '../../../node_modules/@libsql/hrana-client/lib-esm/ws/json_encode.js'
import type * as ws from '../../../node_modules/@libsql/hrana-client/lib-esm/ws/proto.js'
import * as wsProtoOut from '../../../node_modules/@libsql/hrana-client/lib-esm/ws/protobuf_decode.js'
import * as wsProtoIn from '../../../node_modules/@libsql/hrana-client/lib-esm/ws/protobuf_encode.js'

export type { http, ws }

export interface OfficialCodec {
  readonly pipeline: (body: http.PipelineReqBody) => Uint8Array
  readonly cursor: (body: http.CursorReqBody) => Uint8Array
  readonly answer: (body: Uint8Array) => http.PipelineRespBody
  readonly message: (message: ws.ClientMsg) => Uint8Array
  readonly reply: (frame: Uint8Array) => ws.ServerMsg
}

export const OFFICIAL: Readonly<Record<'json' | 'protobuf', OfficialCodec>> = {
  json: {
    pipeline: (body) => Buffer.from(writeJsonObject(body, httpJsonIn.PipelineReqBody)),
    cursor: (body) => Buffer.from(writeJsonObject(body, httpJsonIn.CursorReqBody)),
    answer: (body) => readJsonObject(parse(body), httpJsonOut.PipelineRespBody),
    message: (message) => Buffer.from(writeJsonObject(message, wsJsonIn.ClientMsg)),
    reply: (frame) => readJsonObject(parse(frame), wsJsonOut.ServerMsg),
  },
  protobuf: {
    pipeline: (body) => writeProtobufMessage(body, httpProtoIn.PipelineReqBody),
    cursor: (body) => writeProtobufMessage(body, httpProtoIn.CursorReqBody),
    answer: (body) => readProtobufMessage(body, httpProtoOut.PipelineRespBody),
    message: (message) => writeProtobufMessage(message, wsProtoIn.ClientMsg),
    reply: (frame) => readProtobufMessage(frame, wsProtoOut.ServerMsg),
  },
}

function parse(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes).toString())
}
