/**
 * What a call over HTTP asks for beside its statements: levels, deadline, session, the name of a
 * write. In headers or, where a client lets its user set nothing but the URL, in the query.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { QuorateError } from '../base/errors.ts'
import { bad, whole } from '../model/fields.ts'
import { toAckLevel, toReadLevel } from '../model/levels.ts'
import type { WriteId } from '../model/program.ts'
import type { AckLevel, ReadLevel, SessionToken } from '../model/request.ts'
import { decodeToken } from '../model/token.ts'

export interface CallOptions {
  readonly read: ReadLevel
  readonly ack: AckLevel
  readonly timeoutMs: number
  /** What the caller has seen; null: nothing that it told us. */
  readonly token: SessionToken | null
  /** False: its token is for reading only, and everything else is FORBIDDEN. */
  readonly mayWrite: boolean
  /**
   * The name of the one write that the call holds, null if it has none. Throws BAD_REQUEST when
   * asked again: two writes under one name would make the second a retry of the first.
   */
  readonly takeWriteId: () => WriteId | null
}

export interface CallDefaults extends Pick<CallOptions, 'read' | 'ack' | 'timeoutMs'> {
  /** With several groups: as whom the node's own one writes. */
  readonly origin?: () => string | null
}

/** Who calls, as the token it showed says (see auth.ts). */
export interface Caller {
  readonly mayWrite: boolean
  /** May administer the node and the cluster. */
  readonly mayAdminister: boolean
  /** When the token ends, ms since 1970; null: never. */
  readonly until: number | null
}

const TIMEOUT_MS_MAX = 3_600_000
const WRITE_ID = /^([^:]{1,100}):(\d+):(\d+)(?::([!-~]{1,64}))?$/

/** Throws BAD_REQUEST that names the header or query parameter. */
export function callOptions(
  url: string,
  headers: IncomingHttpHeaders,
  defaults: CallDefaults,
  { mayWrite }: Pick<Caller, 'mayWrite'>,
): CallOptions {
  const query = queryOf(url)
  const read = headers['quorate-read'] ?? query?.get('read')
  const ack = headers['quorate-ack'] ?? query?.get('ack')
  const timeout = headers['quorate-timeout-ms'] ?? query?.get('timeout')
  const token = headers['quorate-session']
  const write = headers['quorate-write']
  return {
    read: read ? toReadLevel(read) : defaults.read,
    ack: ack ? toAckLevel(ack) : defaults.ack,
    timeoutMs: timeout ? timeoutOf(String(timeout)) : defaults.timeoutMs,
    token: typeof token === 'string' && token !== '' ? decodeToken(token) : null,
    mayWrite,
    takeWriteId: write === undefined ? () => null : once(writeId(String(write), defaults)),
  }
}

function queryOf(url: string): URLSearchParams | null {
  const at = url.indexOf('?')
  return at < 0 ? null : new URLSearchParams(url.slice(at + 1))
}

function timeoutOf(text: string): number {
  const ms = Number(text)
  if (ms > 0 && ms <= TIMEOUT_MS_MAX) return ms
  throw bad('quorate-timeout-ms', `a time from 1 to ${TIMEOUT_MS_MAX}`, text)
}

function once(id: WriteId): () => WriteId {
  let taken = false
  return () => {
    if (taken) throw new QuorateError('BAD_REQUEST', 'quorate-write names one write, not several.')
    taken = true
    return id
  }
}

/**
 * `session:number:since`, with several groups `:origin` behind it; a session's name holds no colon.
 * Throws OTHER_GROUP if `since` is in the log of another group: it says nothing about this one's.
 */
function writeId(text: string, { origin }: CallDefaults): WriteId {
  const [, session, number, since, of] = WRITE_ID.exec(text) ?? []
  if (session === undefined) throw bad('quorate-write', 'session:number:since', text)
  const own = of === undefined ? null : (origin?.() ?? null)
  if (of !== undefined && of !== own) {
    const detail = `The write was named at a node of ${of}, and this one is of ${own ?? 'none'}.`
    throw new QuorateError('OTHER_GROUP', detail)
  }
  return { session, number: whole(Number(number), 'number'), since: whole(Number(since), 'since') }
}
