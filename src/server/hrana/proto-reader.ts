/**
 * Reads Protobuf's wire format field by field, on the reader of @bufbuild/protobuf. There is no
 * generated code: the messages end at the types of protocol.ts, as those of the JSON encoding do.
 * What is wrong with the bytes is BAD_REQUEST, whatever the library threw.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { AssertionError } from '../../base/assert.ts'
import { QuorateError } from '../../base/errors.ts'

/** Messages inside messages: above what a condition of the greatest depth takes (two a level). */
const DEPTH_MAX = 250

/** Decodes a whole message. Throws BAD_REQUEST for what is not one. */
export function decodeProto<T>(bytes: Uint8Array, what: string, decode: (r: ProtoReader) => T): T {
  try {
    return decode(new ProtoReader(bytes))
  } catch (error) {
    if (error instanceof QuorateError || error instanceof AssertionError) throw error
    throw new QuorateError('BAD_REQUEST', `${what} is not Protobuf.`, {}, { cause: error })
  }
}

export class ProtoReader {
  readonly #reader: BinaryReader
  #end: number
  #depth = 0
  #wire: WireType = WireType.Varint
  #taken = false

  constructor(bytes: Uint8Array) {
    this.#reader = new BinaryReader(bytes)
    this.#end = this.#reader.len
  }

  /** Calls back with the number of each field of the message; what is not read is skipped. */
  fields(take: (field: number) => void): void {
    const end = this.#end
    while (this.#reader.pos < end) {
      const [field, wire] = this.#reader.tag()
      this.#wire = wire
      this.#taken = false
      take(field)
      if (!this.#taken) this.#reader.skip(wire, field)
      if (this.#reader.pos > end) throw malformed('a field is longer than its message')
    }
  }

  /** Reads a message inside this one. */
  message<T>(decode: (reader: this) => T): T {
    this.#expect(WireType.LengthDelimited)
    const outer = this.#end
    const length = this.#reader.uint32()
    this.#end = this.#reader.pos + length
    if (this.#end > outer) throw malformed('a message is longer than the one around it')
    this.#depth += 1
    if (this.#depth > DEPTH_MAX) throw malformed(`messages are nested deeper than ${DEPTH_MAX}`)
    const end = this.#end
    const decoded = decode(this)
    // A decoder that looks at no field leaves them all.
    this.#reader.pos = end
    this.#end = outer
    this.#depth -= 1
    this.#taken = true
    return decoded
  }

  text(): string {
    this.#expect(WireType.LengthDelimited)
    return this.#reader.string(true)
  }

  /** A copy: a view would keep the whole message alive, and travel with it between threads. */
  bytes(): Uint8Array {
    this.#expect(WireType.LengthDelimited)
    return this.#reader.bytes().slice()
  }

  flag(): boolean {
    this.#expect(WireType.Varint)
    return this.#reader.bool()
  }

  int32(): number {
    this.#expect(WireType.Varint)
    return this.#reader.int32()
  }

  uint32(): number {
    this.#expect(WireType.Varint)
    return this.#reader.uint32()
  }

  /** Zigzag. */
  sint64(): bigint {
    this.#expect(WireType.Varint)
    return BigInt(this.#reader.sint64())
  }

  uint64(): bigint {
    this.#expect(WireType.Varint)
    return BigInt(this.#reader.uint64())
  }

  double(): number {
    this.#expect(WireType.Bit64)
    return this.#reader.double()
  }

  #expect(wire: WireType): void {
    if (this.#wire !== wire) throw malformed('a field has another type')
    this.#taken = true
  }
}

function malformed(how: string): QuorateError {
  return new QuorateError('BAD_REQUEST', `The message is not well-formed: ${how}.`)
}
