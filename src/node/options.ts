/** What a node can be told when it starts. The command line's table of options gives the defaults. */
import type { MemberRole } from '../model/members.ts'
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
  readonly role: MemberRole
  /** Higher is preferred as leader; 0 never leads. */
  readonly priority: number
  /** Shared secret that clients and nodes show; null: everybody may. */
  readonly token: string | null
  /** Public Ed25519 keys of JSON Web Tokens that clients may show: a file, PEM, or base64. */
  readonly authJwtKey: string | null
  readonly ack: AckLevel
  readonly read: ReadLevel
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
  role: 'voter',
  priority: 1,
  token: null,
  authJwtKey: null,
  ack: 'majority',
  read: 'session',
  electionTimeoutMs: 500,
  heartbeatMs: 100,
  transactionIdleMs: 5_000,
  logRetainEntries: 50_000,
  logRetainBytes: 256 * 1024 * 1024,
  allowFaults: false,
} as const satisfies Omit<NodeOptions, 'file' | 'name' | 'listen'>
