/**
 * Writing and reading bytes piece by piece, for the codecs on hot paths: one buffer that is used
 * again for every body, and a reader that trusts nothing it reads.
 */
import { assert } from '../base/assert.ts'
import { QuorateError } from '../base/errors.ts'

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

export const CHECKSUM_BYTES = 4

/** Beyond this a buffer that grew for one large body is given back. */
const KEEP_BYTES = 4 * 1024 * 1024

/** Collects bytes. Not reentrant: one body after the other. */
export class ByteWriter {
  #buffer = Buffer.allocUnsafeSlow(64 * 1024)
  #at = 0

  reset(): void {
    this.#at = 0
    if (this.#buffer.length > KEEP_BYTES) this.#buffer = Buffer.allocUnsafeSlow(64 * 1024)
  }

  /** A copy of what was written, with memory of its own. */
  finish(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.#at))
  }

  /** Like finish, with the crc32 of everything behind it; see endsWithChecksum. */
  finishWithChecksum(crc32: (data: Uint8Array) => number): Uint8Array {
    const end = this.#at
    const checksum = crc32(this.#buffer.subarray(0, end))
    this.#reserve(CHECKSUM_BYTES)
    this.#at = this.#buffer.writeUInt32LE(checksum, end)
    return this.finish()
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#at] = value
    this.#at += 1
  }

  /** A safe integer from 0, as LEB128. */
  integer(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, () => `not a count: ${value}`)
    this.#reserve(8)
    let rest = value
    while (rest >= 128) {
      this.#buffer[this.#at] = (rest % 128) | 128
      this.#at += 1
      rest = Math.floor(rest / 128)
    }
    this.#buffer[this.#at] = rest
    this.#at += 1
  }

  int64(value: bigint): void {
    this.#reserve(8)
    this.#at = this.#buffer.writeBigInt64LE(value, this.#at)
  }

  real(value: number): void {
    this.#reserve(8)
    this.#at = this.#buffer.writeDoubleLE(value, this.#at)
  }

  text(value: string): void {
    const length = Buffer.byteLength(value)
    this.integer(length)
    this.#reserve(length)
    this.#at += this.#buffer.write(value, this.#at)
  }

  bytes(value: Uint8Array): void {
    this.integer(value.length)
    this.#reserve(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
  }

  /** Begins a piece whose length goes in front of it; give what it returns to closeLength. */
  openLength(): number {
    this.#reserve(4)
    this.#at += 4
    return this.#at
  }

  /** Ends the piece. Always four bytes of LEB128, so that nothing has to move. */
  closeLength(start: number): void {
    let rest = this.#at - start
    assert(rest < 2 ** 28, () => `a result of ${rest} bytes`)
    for (let i = 4; i >= 1; i -= 1) {
      this.#buffer[start - i] = (rest % 128) | (i > 1 ? 128 : 0)
      rest = Math.floor(rest / 128)
    }
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }
}

/** Reads what a ByteWriter wrote. Every method throws LOG_CORRUPT where the bytes end too early. */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  byte(): number {
    return this.#view.getUint8(this.#take(1))
  }

  integer(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i += 1) {
      const byte = this.byte()
      value += (byte & 127) * scale
      if (byte < 128) {
        if (Number.isSafeInteger(value)) return value
        break
      }
      scale *= 128
    }
    throw new QuorateError('LOG_CORRUPT', `The integer before byte ${this.#at} is too large.`)
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true)
  }

  real(): number {
    return this.#view.getFloat64(this.#take(8), true)
  }

  text(): string {
    return utf8.decode(this.bytes())
  }

  /** Shares memory with what is read. */
  bytes(): Uint8Array {
    const length = this.integer()
    const start = this.#take(length)
    return this.#bytes.subarray(start, start + length)
  }

  /** Checks that everything was read. */
  end(): void {
    const left = this.#bytes.length - this.#at
    if (left > 0) throw new QuorateError('LOG_CORRUPT', `${left} bytes are left over.`)
  }

  #take(bytes: number): number {
    const start = this.#at
    if (start + bytes > this.#bytes.length) {
      throw new QuorateError('LOG_CORRUPT', `The bytes end within a value at ${start}.`)
    }
    this.#at += bytes
    return start
  }
}

/**
 * Whether bytes are as finishWithChecksum made them.
 *
 * @param crc32 from outside, because node:zlib is not everywhere where model/ runs
 */
export function endsWithChecksum(bytes: Uint8Array, crc32: (data: Uint8Array) => number): boolean {
  const end = bytes.length - CHECKSUM_BYTES
  if (end < 0) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return view.getUint32(end, true) === crc32(bytes.subarray(0, end))
}

const NO_BYTES = new Uint8Array(0)

/** A copy in memory of its own. Not bytes.slice: that of a Buffer is a view. */
export function copy(bytes: Uint8Array): Uint8Array {
  return bytes.length === 0 ? NO_BYTES : new Uint8Array(bytes)
}

/** As many as a count read before says; each must take a byte at least, or a lie would run away. */
export function times<T>(count: number, make: () => T): T[] {
  const list: T[] = []
  for (let i = 0; i < count; i += 1) list.push(make())
  return list
}

/** Runs a decoder; whatever is wrong becomes LOG_CORRUPT about `what`. */
export function decoded<T>(what: string, decode: () => T): T {
  try {
    return decode()
  } catch (cause) {
    const why = cause instanceof QuorateError ? cause.detail : String(cause)
    throw new QuorateError('LOG_CORRUPT', `${what} can't be read: ${why}`, {}, { cause })
  }
}
