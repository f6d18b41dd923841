/**
 * One client object is one session: it never reads what is older than what it wrote or read before,
 * and its writes carry numbers, so that one that is sent twice runs once.
 */

import type { SessionToken } from '../model/request.ts'
import { decodeToken } from '../model/token.ts'

export class Session {
  /** 16 random bytes: no two clients may ever share a name, or one's write would answer the other's. */
  readonly #name = randomName()
  #number = 0
  #text: string | null = null
  #token: SessionToken | null = null
  #first: number | null = null

  /** What the next request must show to see everything that this session saw. */
  get token(): string | null {
    return this.#text
  }

  /** A position that is safe for a write not yet sent; null before anything was heard. */
  get since(): number | null {
    return this.#token?.index ?? this.#first
  }

  /** Answers may overtake each other, so an older token never replaces a later one. */
  sawToken(text: string | null): void {
    if (text === null || text === this.#text) return
    const token = readToken(text)
    if (token === null || !isLater(token, this.#token)) return
    this.#text = text
    this.#token = token
  }

  /** Where the log stood before this session's first answer. */
  sawPosition(index: number): void {
    this.#first ??= index
  }

  /** The name of a write: made once for each write, the same on every retry of it. */
  nameWrite(since: number): string {
    this.#number += 1
    return `${this.#name}:${this.#number}:${since}`
  }
}

function isLater(token: SessionToken, known: SessionToken | null): boolean {
  if (known === null || token.term !== known.term) return token.term > (known?.term ?? -1)
  return token.index > known.index
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
