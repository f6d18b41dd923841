/**
 * What a server sends over a WebSocket (RFC 6455), as bytes: whole frames without masks. The `ws`
 * package makes two writes of each frame; many frames in one buffer are one write.
 */

const FIN = 0x80
const TEXT = 0x1
const BINARY = 0x2
/** Largest payload length in the frame's second byte; above it, 2 or 8 bytes more. */
const SHORT_MAX = 125
const MEDIUM_MAX = 0xffff

/** The frames of these messages, one after the other: text for strings, binary for bytes. */
export function frames(messages: readonly (string | Uint8Array)[]): Buffer {
  const lengths = messages.map((message) => Buffer.byteLength(message))
  const total = lengths.reduce((sum, length) => sum + headerBytes(length) + length, 0)
  const out = Buffer.allocUnsafe(total)
  let at = 0
  for (const [i, message] of messages.entries()) {
    const length = lengths[i] ?? 0
    at = writeHeader(out, at, typeof message === 'string' ? TEXT : BINARY, length)
    if (typeof message === 'string') out.write(message, at)
    else out.set(message, at)
    at += length
  }
  return out
}

function headerBytes(length: number): number {
  if (length <= SHORT_MAX) return 2
  return length <= MEDIUM_MAX ? 4 : 10
}

function writeHeader(out: Buffer, at: number, opcode: number, length: number): number {
  out[at] = FIN | opcode
  if (length <= SHORT_MAX) {
    out[at + 1] = length
    return at + 2
  }
  if (length <= MEDIUM_MAX) {
    out[at + 1] = SHORT_MAX + 1
    return out.writeUInt16BE(length, at + 2)
  }
  out[at + 1] = SHORT_MAX + 2
  return out.writeBigUInt64BE(BigInt(length), at + 2)
}
