/**
 * Who may do what: the cluster's shared token opens everything; a JSON Web Token, signed with
 * Ed25519 as libSQL's server wants it, opens the data, for reading and writing or for reading only.
 * The same token comes in an HTTP header and in the hello of a WebSocket.
 *
 * Checking a signature costs more than a small read, so tokens that were good are remembered until
 * they end. Bad ones are not: they would push out the good.
 */
import type { KeyObject } from 'node:crypto'
import { errors, type JWTPayload, jwtVerify } from 'jose'
import { QuorateError } from '../base/errors.ts'
import { bearerCheck } from '../net/bearer.ts'
import type { Caller } from './call.ts'

const KNOWN_MAX = 1_000
const TOKEN_CHARACTERS_MAX = 8_192
/** Clocks of issuer and node may differ by so much. */
const TOLERANCE_S = 30
/** How libSQL's server calls its database when it has only one. */
const DATABASE = 'default'

const ADMINISTRATOR: Caller = { mayWrite: true, mayAdminister: true, until: null }

export class Auth {
  readonly #open: boolean
  readonly #keys: readonly KeyObject[]
  readonly #isClusterToken: (authorization: string | undefined) => boolean
  readonly #known = new Map<string, Caller>()

  /**
   * @param token the cluster's; null: none
   * @param keys for JSON Web Tokens; with neither token nor keys everybody may do everything
   */
  constructor(token: string | null, keys: readonly KeyObject[]) {
    this.#open = token === null && keys.length === 0
    this.#keys = keys
    this.#isClusterToken = token === null ? () => false : bearerCheck(token)
  }

  /**
   * Who shows this header (`Bearer …`). At once for tokens that are known.
   *
   * Throws, or rejects with, UNAUTHORIZED, AUTH_JWT_MISSING, AUTH_JWT_INVALID, AUTH_JWT_EXPIRED,
   * AUTH_JWT_IMMATURE, FORBIDDEN.
   */
  check(authorization: string | undefined): Caller | Promise<Caller> {
    if (this.#open) return ADMINISTRATOR
    if (authorization !== undefined) {
      const known = this.#known.get(authorization)
      if (known !== undefined && isValid(known)) return known
    }
    if (this.#isClusterToken(authorization)) return ADMINISTRATOR
    if (this.#keys.length === 0) {
      throw new QuorateError('UNAUTHORIZED', 'The cluster token is missing or wrong.')
    }
    if (authorization === undefined) {
      throw new QuorateError('AUTH_JWT_MISSING', 'The request has no token.')
    }
    return this.#verify(authorization)
  }

  /** The same for the token alone, as a hello carries it. */
  checkToken(token: string | null): Caller | Promise<Caller> {
    return this.check(token === null ? undefined : `Bearer ${token}`)
  }

  async #verify(authorization: string): Promise<Caller> {
    const [, jwt] = /^bearer +(\S+) *$/i.exec(authorization) ?? []
    if (jwt === undefined || jwt.length > TOKEN_CHARACTERS_MAX) throw invalid('is no Bearer token')
    const caller = toCaller(await this.#payload(jwt))
    this.#known.delete(authorization)
    this.#known.set(authorization, caller)
    if (this.#known.size > KNOWN_MAX) {
      const oldest = this.#known.keys().next().value
      if (oldest !== undefined) this.#known.delete(oldest)
    }
    return caller
  }

  async #payload(jwt: string): Promise<JWTPayload> {
    for (const key of this.#keys) {
      try {
        const options = { algorithms: ['EdDSA', 'Ed25519'], clockTolerance: TOLERANCE_S }
        return (await jwtVerify(jwt, key, options)).payload
      } catch (error) {
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw toRefusal(error)
      }
    }
    throw invalid('was signed with another key')
  }
}

function isValid({ until }: Caller): boolean {
  return until === null || Date.now() < until
}

function toRefusal(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) {
    return new QuorateError('AUTH_JWT_EXPIRED', 'The token has expired.')
  }
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'nbf') {
    return new QuorateError('AUTH_JWT_IMMATURE', 'The token is not valid yet.')
  }
  return error instanceof errors.JOSEError ? invalid('is not well-formed') : error
}

function invalid(why: string): QuorateError {
  return new QuorateError('AUTH_JWT_INVALID', `The token ${why}.`)
}

/** What the claims allow. `p` (scopes by database) counts before `a` and `id`, as with libSQL. */
function toCaller({ exp, a, id, p }: JWTPayload): Caller {
  const until = exp === undefined ? null : (exp + TOLERANCE_S) * 1000
  const mayWrite = p === undefined || p === null ? mayWriteBy(a, id) : mayWriteIn(p)
  return { mayWrite, mayAdminister: false, until }
}

function mayWriteBy(access: unknown, database: unknown): boolean {
  if (access !== undefined && access !== null && access !== 'ro' && access !== 'rw') {
    throw invalid('claims an access `a` that is neither ro nor rw')
  }
  if (database === undefined || database === null || database === DATABASE) return access !== 'ro'
  throw otherDatabase()
}

function mayWriteIn(scopes: unknown): boolean {
  if (holds(scopes, 'rw')) return true
  if (holds(scopes, 'ro')) return false
  throw otherDatabase()
}

/** `{"rw": {"ns": ["default"]}}`, and `rwa`, `roa` the same with ATTACH. */
function holds(scopes: unknown, access: 'ro' | 'rw'): boolean {
  return [access, `${access}a`].some((key) => {
    const names = field(field(scopes, key), 'ns')
    return Array.isArray(names) && names.includes(DATABASE)
  })
}

function field(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}

function otherDatabase(): QuorateError {
  return new QuorateError('FORBIDDEN', `The token is not for the database \`${DATABASE}\`.`)
}
