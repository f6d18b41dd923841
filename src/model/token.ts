/**
 * Session tokens as the opaque short text that clients carry: base64url of "term.index.cluster".
 * Not signed: a forged one can make only its bearer wait or be refused.
 */
import { QuorateError } from '../base/errors.ts'
import type { SessionToken } from './request.ts'

const FORM = /^(\d{1,16})\.(\d{1,16})\.(.+)$/su
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export function encodeToken({ cluster, term, index }: SessionToken): string {
  const bytes = encoder.encode(`${term}.${index}.${cluster}`)
  return bytes.toBase64({ alphabet: 'base64url', omitPadding: true })
}

/** Throws BAD_REQUEST for a text that encodeToken did not make. */
export function decodeToken(text: string): SessionToken {
  const [, term, index, cluster] = FORM.exec(plain(text)) ?? []
  if (term === undefined || index === undefined || cluster === undefined) throw malformed()
  const token = { cluster, term: Number(term), index: Number(index) }
  if (!Number.isSafeInteger(token.term) || !Number.isSafeInteger(token.index)) throw malformed()
  return token
}

function plain(text: string): string {
  try {
    return decoder.decode(Uint8Array.fromBase64(text, { alphabet: 'base64url' }))
  } catch {
    throw malformed()
  }
}

function malformed(): QuorateError {
  return new QuorateError('BAD_REQUEST', 'The session token is malformed.')
}
