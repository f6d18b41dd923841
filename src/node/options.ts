/** What a node can be told when it starts. The command line's table of options gives the defaults. */
import type { MemberRole } from '../model/members.ts'
import type { Strategy } from '../model/origin-entry.ts'
import type { AckLevel, ReadLevel } from '../model/request.ts'

export interface NodeOptions {
  /** Path of the SQLite file. */
  readonly file: string
  /** What people call the node; unique in its cluster. */
  readonly name: string
  /** Address and port to listen on, for example 127.0.0.1:7001. Port 0 picks a free one. */
  readonly listen: string
  /** URL under which others reach it; default http:// and the address listened on. */
  readonly advertise: string | null
  /** URLs of nodes to join; empty: found a cluster if the file belongs to none. */
  readonly join: readonly string[]
  /** Found the cluster together once this many nodes of `join` see each other. */
  readonly expect: number | null
  /** Who may write; null: as the cluster has it, `leader` when founding one. */
  readonly strategy: Strategy | null
  /** Which group of the cluster the node is of, with several; null: as the file has it. */
  readonly group: string | null
  /** Where the group is, when this node founds it: what levels by zone count by; null: not said. */
  readonly zone: string | null
  /** Names of groups that this one talks to; empty: all. */
  readonly exchangeWith: readonly string[]
  /** Path of a module whose functions decide conflicts, see the rule `function:NAME`. */
  readonly mergeFunctions: string | null
  /** How far another group's clock may be ahead of ours before its writes have to wait, ms. */
  readonly allowClockDrift: number
  readonly role: MemberRole
  /** Higher is preferred as leader; 0 never leads. */
  readonly priority: number
  /** Shared secret that clients and nodes show; null: everybody may. */
  readonly token: string | null
  /** Public Ed25519 keys of JSON Web Tokens that clients may show: a file, PEM, or base64. */
  readonly authJwtKey: string | null
  /** Null: as levelsOf has it for the strategy. */
  readonly ack: AckLevel | null
  readonly read: ReadLevel | null
  /** Silence from the leader after which an election begins: drawn from [x, 2x), ms. */
  readonly electionTimeoutMs: number
  readonly heartbeatMs: number
  /** An interactive transaction that nobody uses for this long is rolled back, ms. */
  readonly transactionIdleMs: number
  readonly logRetainEntries: number
  readonly logRetainBytes: number
  /** Faults may be switched on through /admin/fault: tests and the demo only. */
  readonly allowFaults: boolean
}

export const NODE_DEFAULTS = {
  advertise: null,
  join: [],
  expect: null,
  strategy: null,
  group: null,
  zone: null,
  exchangeWith: [],
  mergeFunctions: null,
  allowClockDrift: 500,
  role: 'voter',
  priority: 1,
  token: null,
  authJwtKey: null,
  ack: null,
  read: null,
  electionTimeoutMs: 500,
  heartbeatMs: 100,
  transactionIdleMs: 5_000,
  logRetainEntries: 50_000,
  logRetainBytes: 256 * 1024 * 1024,
  allowFaults: false,
} as const satisfies Omit<NodeOptions, 'file' | 'name' | 'listen'>

/** What a group may be called: it becomes part of its origin's name, which travels with every entry. */
export const GROUP_NAME = /^[A-Za-z0-9][\w.-]{0,49}$/

/** Levels of calls that name none. */
export interface DefaultLevels {
  readonly ack: AckLevel
  readonly read: ReadLevel
}

/** The levels of a node's calls that name none: what it was told, else what suits the strategy. */
export function levelsOf(
  strategy: Strategy,
  { ack, read }: Pick<NodeOptions, 'ack' | 'read'>,
): DefaultLevels {
  const usual: DefaultLevels =
    strategy === 'peer' ? { ack: 'quorum', read: 'quorum' } : { ack: 'majority', read: 'session' }
  return { ack: ack ?? usual.ack, read: read ?? usual.read }
}
