/**
 * Session tokens as the opaque short text that clients carry: base64url of "term.index.cluster",
 * with several origins of the JSON [cluster, term, index, self, [[origin, sequence], …]].
 * Not signed: a forged one can make only its bearer wait or be refused.
 */
import { QuorateError } from '../base/errors.ts'
import { fields, known, list, originName, parseJson, text as toText, whole } from './fields.ts'
import type { SessionToken } from './request.ts'

const FORM = /^(\d{1,16})\.(\d{1,16})\.(.+)$/su
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

type Origins = NonNullable<SessionToken['origins']>

export function encodeToken({ cluster, term, index, origins }: SessionToken): string {
  const text =
    origins === undefined
      ? `${term}.${index}.${cluster}`
      : JSON.stringify([cluster, term, index, origins.self, origins.seen])
  const bytes = encoder.encode(text)
  return bytes.toBase64({ alphabet: 'base64url', omitPadding: true })
}

/** Throws BAD_REQUEST for a text that encodeToken did not make. */
export function decodeToken(text: string): SessionToken {
  const inner = plain(text)
  if (inner.startsWith('[')) return withOrigins(inner)
  const [, term, index, cluster] = FORM.exec(inner) ?? []
  if (term === undefined || index === undefined || cluster === undefined) throw malformed()
  const token = { cluster, term: Number(term), index: Number(index) }
  if (!Number.isSafeInteger(token.term) || !Number.isSafeInteger(token.index)) throw malformed()
  return token
}

function withOrigins(json: string): SessionToken {
  try {
    const [cluster, term, index, self, seen] = list(parseJson(json, 'token'), 'token')
    return {
      cluster: toText(cluster, 'cluster'),
      term: whole(term, 'term'),
      index: whole(index, 'index'),
      origins: tokenOrigins({ self, seen }),
    }
  } catch {
    throw malformed()
  }
}

/** Checks the part of a token that several origins have. Throws BAD_REQUEST. */
export function tokenOrigins(value: unknown): Origins {
  const { self, seen } = fields(value, 'token.origins')
  return { self: originName(self, 'token.self'), seen: [...known(seen, 'token.seen')] }
}

/**
 * What a session that has seen both has seen; null: nothing that it had not before. Answers may
 * overtake each other, so neither need be the later one. With one leader an older token never replaces a later one.
 *
 * @param answered of the answer that came last
 */
export function joinTokens(known: SessionToken | null, answered: SessionToken): SessionToken {
  if (known === null) return answered
  const later = isLater(answered, known) ? answered : known
  if (known.origins === undefined || answered.origins === undefined) return later
  const seen = new Map(known.origins.seen)
  for (const [origin, sequence] of answered.origins.seen) {
    if (sequence > (seen.get(origin) ?? 0)) seen.set(origin, sequence)
  }
  const { cluster, term, index, origins } = later
  return { cluster, term, index, origins: { self: origins?.self ?? '', seen: [...seen] } }
}

/** Positions of different logs can't be compared: then the last answer's counts. */
function isLater(answered: SessionToken, known: SessionToken): boolean {
  if (answered.cluster !== known.cluster) return answered.term > known.term
  if (answered.origins?.self !== known.origins?.self) return true
  if (answered.term !== known.term) return answered.term > known.term
  return answered.index > known.index
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
