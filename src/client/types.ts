/**
 * The words of the application's interface, embedded and remote alike: what goes in, what comes out,
 * and what may be asked for. Both packages' entries export exactly what is exported here.
 */

import type { AckLevel, ReadLevel } from '../model/request.ts'
import type { NodeStatus } from '../model/status.ts'

export type { AckLevel, NodeStatus, ReadLevel }

/**
 * What may be bound. A number that is a safe integer binds as INTEGER and any other as REAL,
 * because whoever writes 42 means an integer. A boolean binds as 1 or 0, a Date as its milliseconds
 * since 1970, as libSQL's client does. NaN and undefined are refused.
 */
export type Arg = null | boolean | number | bigint | string | Uint8Array | ArrayBuffer | Date

/** By position, or by name with or without prefix. */
export type Args = readonly Arg[] | Readonly<Record<string, Arg>>

/**
 * What comes back. An INTEGER is a number while that is exact, and a bigint beyond; always a bigint
 * where `bigints` was asked for.
 */
export type Cell = null | number | bigint | string | Uint8Array

export type Row = Record<string, Cell>

export interface ExecuteResult {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
  /** Rows that the statement inserted, changed or deleted. */
  readonly changes: number
  /** Of an INSERT; null otherwise. */
  readonly lastInsertRowid: number | bigint | null
}

/** How values of INTEGER columns come back. */
export interface ValueOptions {
  /** Every INTEGER as a bigint. Default: that of the connection, false at first. */
  readonly bigints?: boolean
}

export interface CallOptions extends ValueOptions {
  readonly read?: ReadLevel
  readonly ack?: AckLevel
  /** From the call to its answer, all retries included. Default 10,000. */
  readonly timeoutMs?: number
  /** Aborting rejects with the signal's reason; a write that was under way may still happen. */
  readonly signal?: AbortSignal
}

export interface BatchOptions extends CallOptions {
  /** `read`: the statements only read, so any replica may answer. Default `write`. */
  readonly mode?: 'read' | 'write'
  /**
   * False: foreign keys are not enforced while the batch runs, as migrations that rebuild a table
   * need it. Default true.
   */
  readonly foreignKeys?: boolean
}

/** `ack` counts for the COMMIT, `read` for where a transaction of mode `read` begins. */
export interface BeginOptions extends CallOptions {
  /**
   * `write`: at the leader's writer, which runs nothing else meanwhile. `read`: one snapshot for all
   * its statements, which can only read and keep nobody waiting. Default `write`.
   */
  readonly mode?: 'read' | 'write'
}

export interface TransactionOptions extends BeginOptions {
  /**
   * How often the function may be called again after its transaction was lost with its leader before
   * COMMIT was sent, so that nothing of it happened. Default 0: what the function does elsewhere is
   * not rolled back, so only the caller can know that it may run twice.
   */
  readonly retries?: number
}

/** Of a streamed read. */
export interface StreamOptions extends ValueOptions {
  readonly read?: ReadLevel
  /** For each piece of the result, not for the whole. Default 10,000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** One statement of a batch: its text, or text and arguments. */
export type BatchItem = string | readonly [sql: string, args?: Args]

/** What statements can be given to: a database, or a transaction. */
export interface Queryable {
  /** Runs one statement. Returns its rows as lists beside the columns. */
  execute(sql: string, args?: Args, options?: ValueOptions): Promise<ExecuteResult>
  /** Runs one statement and returns its rows as objects by column name. */
  query<T extends object = Row>(sql: string, args?: Args, options?: ValueOptions): Promise<T[]>
  /** Runs one statement and returns its first row; null if there is none. */
  first<T extends object = Row>(sql: string, args?: Args, options?: ValueOptions): Promise<T | null>
}

/** What is open between BEGIN and COMMIT. Statements run one after the other. */
export interface Transaction extends Queryable {}

/** A transaction that the caller ends. Disposing of one that was not ended rolls it back. */
export interface OpenTransaction extends Transaction, AsyncDisposable {
  /** Throws UNKNOWN_OUTCOME if no answer came: it may be committed. */
  commit(): Promise<void>
  /** Never throws: what can't be told is rolled back by its node. */
  rollback(): Promise<void>
}

/** The calls that an embedded database and a remote one have in common. */
export interface Db extends Queryable, AsyncDisposable {
  execute(sql: string, args?: Args, options?: CallOptions): Promise<ExecuteResult>
  query<T extends object = Row>(sql: string, args?: Args, options?: CallOptions): Promise<T[]>
  first<T extends object = Row>(sql: string, args?: Args, options?: CallOptions): Promise<T | null>
  /** Runs the statements as one transaction in one round trip. The first error takes all back. */
  batch(items: readonly BatchItem[], options?: BatchOptions): Promise<ExecuteResult[]>
  /** Commits when the function's promise resolves, rolls back when it rejects. */
  transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>
  /** Begins a transaction that the caller commits or rolls back. */
  begin(options?: BeginOptions): Promise<OpenTransaction>
  /**
   * Reads rows one by one from one snapshot, a piece at a time and no faster than they are taken.
   * Leaving the loop early ends the statement.
   */
  stream<T extends object = Row>(
    sql: string,
    args?: Args,
    options?: StreamOptions,
  ): AsyncGenerator<T, void, undefined>
  /** Calls the listener with each event until the function that it returns is called. */
  on<Name extends keyof DbEvents>(name: Name, listener: Listener<DbEvents[Name]>): () => void
  off<Name extends keyof DbEvents>(name: Name, listener: Listener<DbEvents[Name]>): void
  /** How the node that answers sees itself and its group. */
  status(): Promise<NodeStatus>
  close(): Promise<void>
}

/** Change events wait for what a listener returns, so a slow one gets them later, not many at once. */
export type Listener<Event> = (event: Event) => void | Promise<void>

export interface DbEvents {
  /** Another node leads, as this node sees it. */
  leader: LeaderEvent
  /** This replica fell behind what it knows to be committed, or caught up. Looked at once a second. */
  lag: LagEvent
  /** Rows changed at this replica, own writes included. */
  change: ChangeEvent
  /** With several groups: writes of two of them clashed, and a rule decided. */
  conflict: ConflictEvent
  /** With several groups: writes that are not final got another place in the order of all. */
  reordered: ReorderedEvent
  /** Everything that a node tells about itself: elections, members, snapshots, alarms. */
  event: NodeEventData
}

export interface LeaderEvent {
  readonly name: string
  readonly term: number
}

export interface LagEvent {
  /** Committed entries that this replica has not applied. 0: it has caught up. */
  readonly entries: number
}

/** The conflicts of one moment. Their rows are in the table quorate_conflicts. */
export interface ConflictEvent {
  /** How many there are more than before. */
  readonly conflicts: number
  /** Of the first of them. */
  readonly table: string
  readonly kind: string
}

export interface ReorderedEvent {
  /** How many transactions were taken back and run again behind others that came late. */
  readonly transactions: number
}

/** What one entry of the log changed, in the order in which entries are applied. */
export type ChangeEvent =
  | {
      readonly kind: 'change'
      /** Position of the entry. */
      readonly index: number
      /** Tables were made, altered or dropped as well. */
      readonly schema: boolean
      readonly rows: readonly RowChange[]
    }
  /**
   * Changes through this position can't be told any more: the log no longer has them, or one entry
   * was too large. Whoever keeps a copy reads the tables again.
   */
  | { readonly kind: 'gap'; readonly through: number }

export interface RowChange {
  readonly table: string
  readonly op: 'insert' | 'update' | 'delete'
  /**
   * The row's key by column name, its rowid as `rowid` in a table without PRIMARY KEY. null: the
   * table has another form by now, or is gone.
   */
  readonly key: Readonly<Row> | null
}

export interface NodeEventData {
  /** Stable name, for example `leader.elected`. */
  readonly name: string
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly facts: Readonly<Record<string, string | number | boolean | null>>
}
