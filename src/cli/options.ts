/**
 * The options of `serve`, in one table: type, default, flag, environment variable, help and
 * docs/options.md are all read from it, so that they can't disagree.
 */
import { z } from 'zod'
import { QuorateError } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import { ACK_FORM, READ_FORM, toAckLevel, toReadLevel } from '../model/levels.ts'
import { MEMBER_ROLES } from '../model/members.ts'
import { STRATEGIES, type Strategy } from '../model/origin-entry.ts'
import type { AckLevel, ReadLevel } from '../model/request.ts'
import { GROUP_NAME, NODE_DEFAULTS, type NodeOptions } from '../node/options.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What `serve` needs: what the node is told, and what only the command line does. */
export interface ServeOptions extends NodeOptions {
  readonly logLevel: LogLevel
}

interface OptionRow<T> {
  /** How the value is called in help; empty: the flag alone means true. */
  readonly value: string
  readonly schema: z.ZodType<T>
  /** Used when nobody says anything; undefined: somebody must. */
  readonly fallback: T | undefined
  /** Only where it doesn't follow from the key. */
  readonly env?: string
  /** First sentence: what it does. Then: relations to others, what goes wrong on each side. */
  readonly doc: readonly [string, ...string[]]
}

function row<T>(entry: OptionRow<T>): OptionRow<T> {
  return entry
}

const MS_MAX = 3_600_000

export const OPTIONS = {
  file: row({
    value: 'FILE',
    schema: text('a path'),
    fallback: undefined,
    doc: [
      'The SQLite file that this node keeps.',
      'On the command line it comes first, without a flag.',
      'A file that exists and belongs to no cluster is adopted; one that does not exist is made.',
    ],
  }),
  name: row({
    value: 'NAME',
    schema: text('a name'),
    fallback: undefined,
    doc: ['What people call this node; unique in its cluster, and it stays.'],
  }),
  listen: row({
    value: 'HOST:PORT',
    schema: address(),
    fallback: '127.0.0.1:7001',
    doc: [
      'Address and port for clients and for the other nodes.',
      'Port 0 takes a free one, which then changes with each start.',
      'Anything but a loopback address wants a token as well.',
    ],
  }),
  advertise: row({
    value: 'URL',
    schema: z.nullable(url()),
    fallback: NODE_DEFAULTS.advertise,
    doc: [
      'URL under which the others reach this node.',
      'Default: http:// and the address of listen, which is wrong behind a proxy or with 0.0.0.0.',
    ],
  }),
  join: row<readonly string[]>({
    value: 'URL,URL…',
    schema: urls(),
    fallback: NODE_DEFAULTS.join,
    doc: [
      'Nodes to ask for admission to their cluster; any one that answers will do.',
      'Without it a file that belongs to no cluster founds one. On a restart it is only a hint.',
    ],
  }),
  expect: row({
    value: 'COUNT',
    schema: z.nullable(whole(1, LIMITS.votersMax)),
    fallback: NODE_DEFAULTS.expect,
    doc: [
      'Found the cluster together, once this many nodes of join see each other.',
      'For machines that all start at once with the same command line.',
    ],
  }),
  strategy: row<Strategy | null>({
    value: 'STRATEGY',
    schema: z.nullable(oneOf(STRATEGIES)),
    fallback: NODE_DEFAULTS.strategy,
    doc: [
      'leader, multi-leader or peer: who may write.',
      'leader: one elected node. multi-leader: one node of each group. peer: every node.',
      'It is chosen when a cluster is founded, leader if nobody says anything, and stays; a node that',
      'joins takes what there is, and refuses to start if it was told another.',
    ],
  }),
  group: row({
    value: 'NAME',
    schema: z.nullable(groupName()),
    fallback: NODE_DEFAULTS.group,
    doc: [
      'The group that this node is of, with multi-leader: nodes of one group share a leader.',
      'With peer every node is a group of its own, called like the node. On a restart it is not needed.',
    ],
  }),
  zone: row({
    value: 'NAME',
    schema: z.nullable(groupName()),
    fallback: NODE_DEFAULTS.zone,
    doc: [
      'Where the group of this node is, if this node is the first of it: a region, a data centre.',
      'The levels local-quorum and each-quorum count by it; groups without a zone are one together.',
      'For a group that is there it is not looked at: `quorate groups zone` changes it.',
    ],
  }),
  exchangeWith: row<readonly string[]>({
    value: 'NAME,NAME…',
    schema: names(),
    fallback: NODE_DEFAULTS.exchangeWith,
    doc: [
      'Groups that this one exchanges writes with; all, if nobody says anything.',
      'Others get its writes handed on, so the groups must be connected somehow: a ring, a star, a chain.',
      'The same on all nodes of a group. Either side may leave the other out.',
    ],
  }),
  mergeFunctions: row({
    value: 'FILE',
    schema: z.nullable(text('a path')),
    fallback: NODE_DEFAULTS.mergeFunctions,
    doc: [
      'A JavaScript module whose exported functions can be named as rules: `function:NAME`.',
      'The same on all nodes: one that lacks a function that a rule names does not start.',
    ],
  }),
  allowClockDrift: row({
    value: 'MS',
    schema: whole(1, MS_MAX),
    fallback: NODE_DEFAULTS.allowClockDrift,
    doc: [
      "How far another group's clock may be ahead of this one's.",
      'Writes from further ahead are kept and wait for their time, with an alarm that names the group.',
    ],
  }),
  role: row({
    value: 'ROLE',
    schema: oneOf(MEMBER_ROLES),
    fallback: NODE_DEFAULTS.role,
    doc: [
      'voter or learner: whether this node becomes a voter once it has caught up.',
      'A learner follows without a vote: it counts for no majority and never leads.',
    ],
  }),
  priority: row({
    value: 'NUMBER',
    schema: whole(0, 100),
    fallback: NODE_DEFAULTS.priority,
    doc: ['The node with the highest is preferred as leader.', '0: it never leads.'],
  }),
  token: row({
    value: 'SECRET',
    schema: z.nullable(text('a secret')),
    fallback: NODE_DEFAULTS.token,
    doc: [
      'Shared secret that clients and nodes must show, the same on all nodes.',
      'Better in the environment or the file: other users of a machine can see flags.',
      'Without it everybody who reaches the port may do everything.',
    ],
  }),
  authJwtKey: row({
    value: 'FILE|KEY',
    schema: z.nullable(text('a file or a key')),
    fallback: NODE_DEFAULTS.authJwtKey,
    doc: [
      'Public Ed25519 key: clients may then show a JSON Web Token that its private half signed.',
      'A file in PEM (several keys are fine) or the key itself in base64, the same on all nodes.',
      'The claim `a` is `rw` or `ro` (reading only); `exp`, `nbf`, `id` and `p` count as with libSQL.',
      'It needs a token too: nodes and administration use that one, and it opens the data as well.',
    ],
  }),
  ack: row<AckLevel | null>({
    value: 'LEVEL',
    schema: z.nullable(level(toAckLevel, ACK_FORM)),
    fallback: NODE_DEFAULTS.ack,
    doc: [
      'How far a write must have come before it is answered, unless the caller says otherwise.',
      "local: this leader's disk, faster, and lost if the leader is. A number counts voters.",
      'all: every voter, so one that is down stops all writes. Default: majority, with peer quorum.',
      'With several groups a number counts groups that hold it, and quorum is more than half of them,',
      'local-quorum more than half of those of the own zone, each-quorum that in every zone;',
      'stable: its place in the order of all writes is final; all: every group, and every own voter.',
    ],
  }),
  read: row<ReadLevel | null>({
    value: 'LEVEL',
    schema: z.nullable(level(toReadLevel, READ_FORM)),
    fallback: NODE_DEFAULTS.read,
    doc: [
      'What a read may miss, unless the caller says otherwise.',
      'local: this replica as it is. session: at least what the session saw before.',
      'strong: everything acknowledged before, for one more round trip.',
      'With several groups a number is how many of them are asked, quorum more than half,',
      'local-quorum more than half of the own zone, each-quorum that in every zone;',
      'strong then waits for all groups, and shows what is final.',
      'Default: session, with peer quorum.',
    ],
  }),
  electionTimeoutMs: row({
    value: 'MS',
    schema: whole(50, MS_MAX),
    fallback: NODE_DEFAULTS.electionTimeoutMs,
    doc: [
      'Silence from the leader after which an election begins, drawn from [x, 2x).',
      'At least three times heartbeatMs. The same on all nodes.',
      'Lower: faster failover. Higher: fewer needless elections on slow links and busy machines.',
    ],
  }),
  heartbeatMs: row({
    value: 'MS',
    schema: whole(10, MS_MAX),
    fallback: NODE_DEFAULTS.heartbeatMs,
    doc: ['How often a leader with nothing to send shows that it is alive.'],
  }),
  transactionIdleMs: row({
    value: 'MS',
    schema: whole(100, MS_MAX),
    fallback: NODE_DEFAULTS.transactionIdleMs,
    doc: [
      'An interactive transaction that nobody uses for this long is rolled back.',
      'While one is open, all other writes wait.',
    ],
  }),
  logRetainEntries: row({
    value: 'COUNT',
    schema: whole(1_000, 1_000_000_000),
    fallback: NODE_DEFAULTS.logRetainEntries,
    doc: [
      'Log entries that each node keeps for others to catch up from.',
      'Lower: a node that was away is sooner sent a whole snapshot. Higher: a larger file.',
    ],
  }),
  logRetainBytes: row({
    value: 'BYTES',
    schema: whole(1024 * 1024, Number.MAX_SAFE_INTEGER),
    fallback: NODE_DEFAULTS.logRetainBytes,
    doc: [
      'The log is cut to this size even if a member needs more: it then gets a snapshot.',
      'This is what keeps a dead member from filling the disks of the others.',
      'Of several groups a whole one that is away keeps what it lacks, until it is back or removed.',
    ],
  }),
  logLevel: row<LogLevel>({
    value: 'LEVEL',
    schema: oneOf(LOG_LEVELS),
    fallback: 'info',
    doc: [`Lines on stdout, as JSON: ${LOG_LEVELS.join(', ')}.`, 'They never hold row values.'],
  }),
  allowFaults: row({
    value: '',
    schema: truth(),
    fallback: NODE_DEFAULTS.allowFaults as boolean,
    env: 'QUORATE_FAULTS',
    doc: ['Lets POST /admin/fault cut links, for tests and the demo. Never in production.'],
  }),
} as const

export type OptionKey = keyof typeof OPTIONS
export const OPTION_KEYS = Object.keys(OPTIONS) as readonly OptionKey[]

/** The value of one option as somebody gave it, and who that was, for the error message. */
export interface Given {
  readonly value: unknown
  readonly source: string
}
export type Layer = Partial<Record<OptionKey, Given>>

/** `electionTimeoutMs` -> `--election-timeout-ms`. */
export function flagOf(key: OptionKey): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** `electionTimeoutMs` -> `QUORATE_ELECTION_TIMEOUT_MS`. */
export function envOf(key: OptionKey): string {
  const entry: OptionRow<unknown> = OPTIONS[key]
  return entry.env ?? `QUORATE_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

/** What a parsed configuration file says. Throws BAD_CONFIG for what is not an option. */
export function layerFromFile(content: unknown, path: string): Layer {
  if (content === null || content === undefined) return {}
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new QuorateError('BAD_CONFIG', `${path}: the file must hold \`key: value\` lines.`)
  }
  const layer: Layer = {}
  for (const [key, value] of Object.entries(content)) {
    if (!isOptionKey(key)) throw new QuorateError('BAD_CONFIG', `${path}: ${key} is not an option.`)
    layer[key] = { value, source: path }
  }
  return layer
}

/**
 * What the environment says; an empty variable says nothing. Variables of ours that are no options
 * are let be: container platforms make some for any service that is called quorate.
 */
export function layerFromEnv(env: Readonly<Record<string, string | undefined>>): Layer {
  const layer: Layer = {}
  for (const key of OPTION_KEYS) {
    const value = env[envOf(key)]
    if (value !== undefined && value !== '') layer[key] = { value, source: envOf(key) }
  }
  return layer
}

/** What the command line says; keys as commander makes them. */
export function layerFromFlags(flags: Readonly<Record<string, unknown>>): Layer {
  const layer: Layer = {}
  for (const key of OPTION_KEYS) {
    const source = key === 'file' ? 'FILE' : flagOf(key)
    if (flags[key] !== undefined) layer[key] = { value: flags[key], source }
  }
  return layer
}

/**
 * Checks and completes what the layers say; a later layer wins over an earlier one, key by key.
 * Throws BAD_CONFIG that names the first wrong key and where its value came from.
 */
export function mergeOptions(...layers: readonly Layer[]): ServeOptions {
  const given: Layer = Object.assign({}, ...layers)
  const merged = Object.fromEntries(OPTION_KEYS.map((key) => [key, resolve(key, given[key])]))
  const options = merged as unknown as ParsedOptions
  checkRelations(options)
  return options
}

type ParsedOptions = { readonly [K in OptionKey]: z.output<(typeof OPTIONS)[K]['schema']> }

function resolve(key: OptionKey, given: Given | undefined): unknown {
  const entry: OptionRow<unknown> = OPTIONS[key]
  if (given === undefined) {
    if (entry.fallback !== undefined) return entry.fallback
    const flag = key === 'file' ? entry.value : `${flagOf(key)} ${entry.value}`
    const detail = `${key} is missing: give ${flag}, ${envOf(key)} or \`${key}:\` in the file.`
    throw new QuorateError('BAD_CONFIG', detail)
  }
  const parsed = entry.schema.safeParse(given.value)
  if (parsed.success) return parsed.data
  const what = parsed.error.issues[0]?.message ?? 'is wrong'
  const from = given.source === flagOf(key) ? given.source : `${given.source}: ${key}`
  throw new QuorateError('BAD_CONFIG', `${from} ${what}.`)
}

function checkRelations(options: ParsedOptions): void {
  if (options.electionTimeoutMs < 3 * options.heartbeatMs) {
    const detail =
      `electionTimeoutMs (${options.electionTimeoutMs}) must be at least three times ` +
      `heartbeatMs (${options.heartbeatMs}).`
    throw new QuorateError('BAD_CONFIG', detail)
  }
  if (options.authJwtKey !== null && options.token === null) {
    const detail = 'authJwtKey needs token: without it everybody could pose as a node.'
    throw new QuorateError('BAD_CONFIG', detail)
  }
  for (const key of ['group', 'zone', 'mergeFunctions', 'exchangeWith'] as const) {
    if (options.strategy !== 'leader' || (options[key] ?? []).length === 0) continue
    throw new QuorateError('BAD_CONFIG', `${key} needs strategy multi-leader or peer.`)
  }
  if (options.expect !== null && options.join.length === 0) {
    throw new QuorateError('BAD_CONFIG', 'expect needs join: the URLs of all the nodes.')
  }
}

function isOptionKey(key: string): key is OptionKey {
  return Object.hasOwn(OPTIONS, key)
}

// What a value may look like. A file gives numbers and lists, a flag and the environment texts, so
// each of these takes both.

function text(what: string): z.ZodType<string> {
  return z.string({ error: `must be ${what}` }).min(1, { error: 'must not be empty' })
}

function whole(min: number, max: number): z.ZodType<number> {
  const error = `must be a whole number from ${min} to ${max}`
  const number = z.int({ error }).min(min, { error }).max(max, { error })
  return z.preprocess(
    (value) => (typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value),
    number,
  )
}

function oneOf<const T extends readonly [string, ...string[]]>(list: T): z.ZodType<T[number]> {
  return z.enum(list, { error: `must be ${list.join(' or ')}` })
}

function truth(): z.ZodType<boolean> {
  const meaning: Record<string, boolean> = { '1': true, true: true, '0': false, false: false }
  return z.preprocess(
    (value) => (typeof value === 'string' ? (meaning[value] ?? value) : value),
    z.boolean({ error: 'must be true or false' }),
  )
}

function level<T>(parse: (value: unknown) => T, form: string): z.ZodType<T> {
  return z.unknown().transform((value, context) => {
    try {
      return parse(value)
    } catch {
      context.addIssue({ code: 'custom', message: `must be ${form}` })
      return z.NEVER
    }
  })
}

function address(): z.ZodType<string> {
  const error = 'must be HOST:PORT, for example 127.0.0.1:7001'
  return z
    .string({ error })
    .refine((value) => /^(\[[0-9a-fA-F:.]+\]|[^\s:/]+):\d{1,5}$/.test(value), { error })
    .refine((value) => Number(value.slice(value.lastIndexOf(':') + 1)) <= 65_535, { error })
}

function url(): z.ZodType<string> {
  const error = 'must be a URL that begins with http:// or https://'
  return z.string({ error }).refine(isHttpUrl, { error })
}

function urls(): z.ZodType<string[]> {
  const error = 'must be URLs that begin with http:// or https://, with commas between them'
  return z.preprocess(
    (value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value),
    z.array(z.string({ error }).refine(isHttpUrl, { error }), { error }),
  )
}

function groupName(): z.ZodType<string> {
  const error = 'must be up to 50 letters, digits, dots, dashes or underscores'
  return z.string({ error }).regex(GROUP_NAME, { error })
}

function names(): z.ZodType<string[]> {
  const error = 'must be names with commas between them'
  return z.preprocess(
    (value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value),
    z.array(z.string({ error }).min(1, { error }), { error }),
  )
}

function isHttpUrl(value: string): boolean {
  return URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
}
