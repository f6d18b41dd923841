/**
 * One client object is one session: it never reads what is older than what it wrote or read before,
 * and its writes carry numbers, so that one that is sent twice runs once.
 */

import type { SessionToken } from '../model/request.ts'
import { decodeToken, encodeToken, joinTokens } from '../model/token.ts'

/** Where a log stands: that of the one leader, or of the group that writes as an origin. */
export interface Place {
  readonly index: number
  readonly origin: string | null
}

export class Session {
  /** 16 random bytes: no two clients may ever share a name, or one's write would answer the other's. */
  readonly #name = randomName()
  #number = 0
  #text: string | null = null
  #token: SessionToken | null = null
  #place: Place | null = null

  /** What the next request must show to see everything that this session saw. */
  get token(): string | null {
    return this.#text
  }

  /** A place that is safe for a write not yet sent; null before anything was heard. */
  get place(): Place | null {
    return this.#place
  }

  /** Answers may overtake each other, so an older token never replaces a later one. */
  sawToken(text: string | null): void {
    if (text === null || text === this.#text) return
    const token = readToken(text)
    if (token === null) return
    const joined = joinTokens(this.#token, token)
    if (joined === this.#token) return
    this.#text = joined === token ? text : encodeToken(joined)
    this.#token = joined
    this.#place = { index: joined.index, origin: joined.origins?.self ?? null }
  }

  /** Where a log stands that this session has not read from, or not for a while. */
  sawPlace(place: Place): Place {
    const known = this.#place
    if (known === null || known.origin !== place.origin) this.#place = place
    return this.#place ?? place
  }

  /** The name of a write: made once for each write, the same on every retry of it. */
  nameWrite({ index, origin }: Place): string {
    this.#number += 1
    const name = `${this.#name}:${this.#number}:${index}`
    return origin === null ? name : `${name}:${origin}`
  }
}

/** A token that can't be read must not turn an answer that is there into an error. */
function readToken(text: string): SessionToken | null {
  try {
    return decodeToken(text)
  } catch {
    return null
  }
}

function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
