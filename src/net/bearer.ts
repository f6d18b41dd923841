/** The cluster's shared token in an Authorization header: who may talk to a node at all. */
import { createHash, timingSafeEqual } from 'node:crypto'

/** Checks a header; made once for a token, because hashing it for each request would be waste. */
export type BearerCheck = (authorization: string | undefined) => boolean

/** A check that passes everything if there is no token. */
export function bearerCheck(token: string | null): BearerCheck {
  if (token === null) return () => true
  const expected = digest(`Bearer ${token}`)
  // Digests, because timingSafeEqual wants equal lengths, and a length is a hint too.
  return (authorization) => timingSafeEqual(digest(normalize(authorization ?? '')), expected)
}

/** The name of the scheme is case-insensitive (RFC 9110). */
function normalize(header: string): string {
  return header.replace(/^bearer +/i, 'Bearer ')
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
