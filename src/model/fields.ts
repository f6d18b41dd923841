/**
 * Hand-written checks of decoded JSON, for what comes in on hot paths: each returns the value with
 * its type or throws BAD_REQUEST. Texts are not repeated in errors, because they can be row values.
 */
import type { LogIndex, NodeId, Term } from '../base/brand.ts'
import { toLogIndex, toNodeId, toTerm } from '../base/brand.ts'
import {
  ERRORS,
  type ErrorCode,
  type ErrorData,
  type ErrorFacts,
  QuorateError,
} from '../base/errors.ts'

type Fields = Readonly<Record<string, unknown>>

const ORIGIN_NAME_MAX = 64
const ORIGIN_NAME = /^[!-~]{1,64}$/
/** In one frontier: members, and those that ever were. */
export const ORIGINS_MAX = 4096

/** The error for a value that is not what it should be. */
export function bad(what: string, should: string, value: unknown): QuorateError {
  return new QuorateError('BAD_REQUEST', `${what} is not ${should}: ${show(value)}.`)
}

function show(value: unknown): string {
  if (typeof value === 'string') return `a text of ${value.length} characters`
  if (Array.isArray(value)) return `a list of ${value.length}`
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

/** Parses JSON text; BAD_REQUEST if it is none. */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new QuorateError('BAD_REQUEST', `${what} is not JSON.`, {}, { cause })
  }
}

export function fields(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(what, 'an object', value)
  }
  return value as Fields
}

export function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw bad(what, 'a list', value)
  return value
}

export function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw bad(what, 'a text', value)
  return value
}

export function flag(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw bad(what, 'true or false', value)
  return value
}

/** A whole number from 0 that is exact. */
export function whole(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw bad(what, 'a count', value)
  return value as number
}

export function oneOf<T extends string>(value: unknown, what: string, allowed: readonly T[]): T {
  if (!(allowed as readonly unknown[]).includes(value)) {
    throw bad(what, `one of ${allowed.join(', ')}`, value)
  }
  return value as T
}

export function logIndex(value: unknown, what: string): LogIndex {
  return toLogIndex(whole(value, what))
}

export function term(value: unknown, what: string): Term {
  return toTerm(whole(value, what))
}

export function nodeId(value: unknown, what: string): NodeId {
  if (typeof value !== 'string' || value === '') throw bad(what, 'a node id', value)
  return toNodeId(value)
}

/** An origin's name: short and ASCII, since it orders stamps and is in every head of an entry. */
export function originName(value: unknown, what: string): string {
  if (typeof value === 'string' && ORIGIN_NAME.test(value)) return value
  throw bad(what, `an origin's name of at most ${ORIGIN_NAME_MAX} characters`, value)
}

/** A count from 1. */
export function positive(value: unknown, what: string): number {
  const count = whole(value, what)
  if (count === 0) throw bad(what, 'a count from 1', value)
  return count
}

/** Pairs of origin and sequence number, each origin once. */
export function known(value: unknown, what: string): ReadonlyMap<string, number> {
  const pairs = list(value, what)
  if (pairs.length > ORIGINS_MAX) throw bad(what, `at most ${ORIGINS_MAX} origins`, value)
  const map = new Map<string, number>()
  for (const pair of pairs) {
    const [origin, sequence] = list(pair, what)
    map.set(originName(origin, what), positive(sequence, what))
  }
  if (map.size < pairs.length) throw bad(what, 'a list with each origin once', value)
  return map
}

/** An error of a peer. A code of a later release is kept in the sentence of an INTERNAL. */
export function errorData(value: unknown, what: string): ErrorData {
  const data = fields(value, what)
  const code = text(data['code'], `${what}.code`)
  const detail = text(data['detail'], `${what}.detail`)
  if (!Object.hasOwn(ERRORS, code)) return { code: 'INTERNAL', detail: `${code}: ${detail}` }
  if (data['facts'] === undefined) return { code: code as ErrorCode, detail }
  return { code: code as ErrorCode, detail, facts: errorFacts(data['facts'], `${what}.facts`) }
}

function errorFacts(value: unknown, what: string): ErrorFacts {
  const { position, sqlite, leader } = fields(value, what)
  return {
    ...(position === undefined ? {} : { position: whole(position, `${what}.position`) }),
    ...(sqlite === undefined ? {} : { sqlite: text(sqlite, `${what}.sqlite`) }),
    ...(leader === undefined ? {} : { leader: text(leader, `${what}.leader`) }),
  }
}
