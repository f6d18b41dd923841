/**
 * Random requests of Hrana that are valid as messages; whether they make sense to a server is up to
 * chance. Few ids and few texts, so that requests meet: a text is stored twice, a closed stream used.
 */
import type { Prng } from '../../base/prng.ts'
import type { http } from '../testing/official-codec.ts'

type Statement = http.Stmt
type Batch = http.Batch
type Condition = http.BatchCond
type Value = http.Value

const TEXTS = [
  'SELECT 1',
  'SELECT ?, ?2, :a',
  'SELECT :a, @b, $c',
  'SELECT * FROM t ORDER BY id LIMIT 20',
  "SELECT x'00ff', 1.5, 'text', NULL, -1",
  'INSERT INTO t (v) VALUES (?)',
  'INSERT INTO t (v) VALUES (1), (2) RETURNING id, v',
  'UPDATE t SET v = v + 1 WHERE id % 7 = 0',
  'DELETE FROM t WHERE id % 5 = 0',
  'INSERT INTO t (id, v) VALUES (1, 1)',
  'WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 50) SELECT n FROM c',
  'BEGIN',
  'BEGIN IMMEDIATE',
  'BEGIN TRANSACTION READONLY',
  'COMMIT',
  'ROLLBACK',
  'SAVEPOINT s',
  'ROLLBACK TO s',
  'RELEASE s',
  'EXPLAIN SELECT 1',
  'PRAGMA table_info(t)',
  'SELECT 1; SELECT 2',
  '',
  '-- nothing',
  'nonsense',
  "SELECT 'open",
  'SELECT nothing FROM nowhere',
]

/** A list of so many, as drawn. */
function many<T>(prng: Prng, max: number, make: () => T): T[] {
  return Array.from({ length: prng.intInclusive(0, max) }, make)
}

/** What a client knows of its stream or socket, so that most of what it sends makes sense there. */
export interface Session {
  readonly version: 1 | 2 | 3
  /** Ids of the texts that it stored. */
  readonly stored: Set<number>
  /** Percent of its choices that are made without looking at any of this. */
  readonly wild: number
}

export function newSession(prng: Prng, version: Session['version']): Session {
  return { version, stored: new Set(), wild: prng.pick([0, 0, 1, 10]) }
}

/** Mostly one of few, so that ids meet; sometimes any. */
export function randomId(prng: Prng): number {
  return prng.percent(95) ? prng.intInclusive(0, 3) : prng.intInclusive(-(2 ** 31), 2 ** 31 - 1)
}

/** One of these ids; any, if there is none. */
export function idAmong(prng: Prng, ids: Iterable<number>): number {
  const list = [...ids]
  return list.length === 0 ? randomId(prng) : prng.pick(list)
}

export function randomValue(prng: Prng): Value {
  switch (prng.intInclusive(0, 5)) {
    case 0:
      return null
    case 1:
      return BigInt(prng.intInclusive(-(2 ** 31), 2 ** 31)) * BigInt(prng.intInclusive(1, 2 ** 31))
    case 2:
      return prng.intInclusive(-1000, 1000) / 8
    case 3:
      return 'é✓\u0000x'.repeat(prng.intInclusive(0, 5))
    case 4:
      return Uint8Array.from(many(prng, 40, () => prng.intInclusive(0, 255)))
    default:
      return prng.pick([2n ** 63n - 1n, -(2n ** 63n), '', new Uint8Array(), 1e308])
  }
}

function source(prng: Prng, { version, stored, wild }: Session): Pick<Statement, 'sql' | 'sqlId'> {
  if (prng.percent(wild)) return { sql: undefined, sqlId: randomId(prng) }
  if (version > 1 && stored.size > 0 && prng.percent(20)) {
    return { sql: undefined, sqlId: idAmong(prng, stored) }
  }
  return { sql: prng.pick(TEXTS), sqlId: undefined }
}

function randomStatement(prng: Prng, session: Session): Statement {
  const named = (): http.NamedArg => ({
    name: prng.pick(['a', ':a', '@b', 'c', '']),
    value: randomValue(prng),
  })
  return {
    ...source(prng, session),
    args: prng.percent(50) ? [] : many(prng, 3, () => randomValue(prng)),
    namedArgs: prng.percent(80) ? [] : many(prng, 3, named),
    wantRows: prng.percent(80),
  }
}

export function randomBatch(prng: Prng, session: Session): Batch {
  const count = prng.intInclusive(0, 6)
  return {
    steps: Array.from({ length: count }, (_, at) => ({
      condition: hasCondition(prng, at, session) ? condition(prng, at, session, 0) : undefined,
      stmt: randomStatement(prng, session),
    })),
  }
}

/** The first step has none before it to depend on, except against the protocol. */
function hasCondition(prng: Prng, at: number, { wild }: Session): boolean {
  return prng.percent(at === 0 ? wild : 50)
}

function condition(prng: Prng, at: number, session: Session, depth: number): Condition {
  const inner = (): Condition => condition(prng, at, session, depth + 1)
  const step = at > 0 && !prng.percent(session.wild) ? prng.intInclusive(0, at - 1) : at
  switch (prng.intInclusive(0, depth > 4 ? 1 : 5)) {
    case 0:
      return { type: 'ok', step }
    case 1:
      return { type: 'error', step }
    case 2:
      return { type: 'not', cond: inner() }
    case 3:
      return { type: 'and', conds: many(prng, 3, inner) }
    case 4:
      return { type: 'or', conds: many(prng, 3, inner) }
    default:
      return session.version > 2 || prng.percent(session.wild)
        ? { type: 'is_autocommit' }
        : { type: 'ok', step }
  }
}

/** One request of a pipeline. */
export function randomRequest(prng: Prng, session: Session): http.StreamRequest {
  const { version, wild } = session
  const kinds = version > 2 || prng.percent(wild) ? 8 : version > 1 ? 7 : 2
  switch (prng.intInclusive(0, kinds)) {
    case 0:
    case 1:
      return { type: 'execute', stmt: randomStatement(prng, session) }
    case 2:
    case 3:
      return { type: 'batch', batch: randomBatch(prng, session) }
    case 4:
      return randomStore(prng, session)
    case 5:
      return { type: 'describe', ...source(prng, session) }
    case 6:
    case 7:
      return { type: 'sequence', ...source(prng, session) }
    default:
      return { type: 'get_autocommit' }
  }
}

/** A text is stored, or one of those stored is forgotten. */
function randomStore(prng: Prng, { stored, wild }: Session): http.StreamRequest {
  const sqlId = randomId(prng)
  if (stored.has(sqlId) && !prng.percent(wild)) {
    stored.delete(sqlId)
    return { type: 'close_sql', sqlId }
  }
  stored.add(sqlId)
  return { type: 'store_sql', sqlId, sql: prng.pick(TEXTS) }
}

/** A pipeline that may go on with a stream, and may end it. */
export function randomPipeline(
  prng: Prng,
  session: Session,
  baton: string | undefined,
): http.PipelineReqBody {
  const requests = many(prng, 4, () => randomRequest(prng, session))
  return { baton, requests: prng.percent(40) ? [...requests, { type: 'close' }] : requests }
}

/** Bytes with some of them changed, taken out, doubled, or cut off at the end. */
export function mutate(prng: Prng, message: Uint8Array): Uint8Array {
  const bytes = [...message]
  for (let times = prng.intInclusive(1, 4); times > 0; times -= 1) {
    const at = prng.intInclusive(0, bytes.length)
    const length = prng.intInclusive(1, 8)
    switch (prng.intInclusive(0, 4)) {
      case 0:
        bytes[Math.min(at, bytes.length)] = prng.intInclusive(0, 255)
        break
      case 1:
        bytes.splice(at, length)
        break
      case 2:
        bytes.splice(at, 0, ...bytes.slice(at, at + length))
        break
      case 3:
        bytes.splice(at, 0, ...Array.from({ length }, () => prng.intInclusive(0, 255)))
        break
      default:
        bytes.length = at
    }
  }
  return Uint8Array.from(bytes)
}

/** Bytes of nobody's making. */
export function randomBytes(prng: Prng): Uint8Array {
  return Uint8Array.from(many(prng, 200, () => prng.intInclusive(0, 255)))
}
