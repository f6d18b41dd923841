/**
 * Batons: the texts that name a stream between two calls. They can't be forged (HMAC under a key of
 * this process), and they name the node that the stream lives on, so that any node that gets one
 * knows where to send the call. That name is not secret, and only the named node trusts the rest.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { QuorateError } from '../../base/errors.ts'

const MAC_BYTES = 32
const ID_BYTES = 16
const SEQUENCE_BYTES = 8
const HEAD_BYTES = MAC_BYTES + ID_BYTES + SEQUENCE_BYTES

interface Baton {
  /** Of the stream: ID_BYTES in hex. */
  readonly id: string
  /** Counts the calls on the stream. */
  readonly sequence: bigint
}

export class Batons {
  readonly #key = randomBytes(32)
  readonly #self: () => string

  /** @param self id of this node */
  constructor(self: () => string) {
    this.#self = self
  }

  write({ id, sequence }: Baton): string {
    const self = Buffer.from(this.#self())
    const baton = Buffer.alloc(HEAD_BYTES + self.length)
    baton.write(id, MAC_BYTES, 'hex')
    baton.writeBigUInt64BE(sequence, MAC_BYTES + ID_BYTES)
    self.copy(baton, HEAD_BYTES)
    this.#mac(baton).copy(baton)
    return baton.toString('base64url')
  }

  /** Throws BAD_REQUEST for a baton that this process did not write. */
  read(text: string): Baton {
    const baton = Buffer.from(text, 'base64url')
    if (baton.length < HEAD_BYTES) throw invalidBaton()
    if (!timingSafeEqual(baton.subarray(0, MAC_BYTES), this.#mac(baton))) throw invalidBaton()
    return {
      id: baton.toString('hex', MAC_BYTES, MAC_BYTES + ID_BYTES),
      sequence: baton.readBigUInt64BE(MAC_BYTES + ID_BYTES),
    }
  }

  /** The id of the other node that a baton names; null: this one, or it is no baton. */
  elsewhere(text: string): string | null {
    const baton = Buffer.from(text, 'base64url')
    const node = baton.toString('utf8', HEAD_BYTES)
    return baton.length <= HEAD_BYTES || node === this.#self() ? null : node
  }

  #mac(baton: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(baton.subarray(MAC_BYTES)).digest()
  }
}

export function invalidBaton(): QuorateError {
  return new QuorateError('BAD_REQUEST', 'Received an invalid baton')
}
