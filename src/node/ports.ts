import type { LogIndex, NodeId, Term } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import type { HardState, Ticket } from '../core/order/leader/types.ts'
import type { PeerMessage } from '../model/message.ts'
import type { Program } from '../model/program.ts'
import type {
  CursorNext,
  CursorReply,
  ReadReply,
  CursorBegin as StoreCursorBegin,
} from '../store/read/reader.ts'
import type { StoreCommand, StoreReply, Verified } from '../store/types.ts'

/**
 * What the driver needs from the world. Production gives threads, sockets and disks, the simulator
 * virtual ones; neither the driver nor anything it calls knows which. Callbacks, not promises, so
 * that the simulator decides when each of them happens; a port never calls back before it returned.
 */
export interface Ports {
  readonly store: StorePort
  readonly reader: ReaderPort
  readonly snapshots: SnapshotPort
  readonly transport: Transport
  readonly clock: Clock
  /** Makes term and vote durable before it returns. */
  readonly saveHardState: (state: HardState) => void
  readonly events: EventSink
}

/** The database's writing side: one command after the other, on a thread of its own. */
export interface StorePort {
  submit(command: StoreCommand, done: (reply: StoreReply) => void): void
  /** Called when a flush returned: all writes under tickets through this one are durable. */
  onFlushed(listener: (ticket: Ticket) => void): void
}

/** The database's reading side: read-only connections on a thread of their own. */
export interface ReaderPort {
  /** The file was replaced by a snapshot: close every connection and open new ones. */
  reopen(): void
  /** Runs a program of reads in one read transaction, which also tells what it saw. */
  read(program: Program, timeoutMs: number, done: (reply: ReadReply) => void): void
  /**
   * Begins a program of reads whose rows are pulled piece by piece, see CursorRequest. Unless the
   * first chunk is all, it keeps a connection with its snapshot until the end or `closeCursor`.
   */
  openCursor(begin: CursorBegin, timeoutMs: number, done: (reply: CursorReply) => void): void
  /** The next chunk; `failed` with CURSOR_CLOSED if there is no such cursor any more. */
  fetchCursor(next: CursorNext, timeoutMs: number, done: (reply: CursorReply) => void): void
  /** Lets a cursor go, also while a fetch is under way. */
  closeCursor(cursor: number): void
  /**
   * Pins a snapshot of the database now, says at which applied index, then computes its checksums.
   * `pinned` is called once the snapshot is pinned, `done` when the checksums are there.
   */
  verify(pinned: (applied: LogIndex) => void, done: (result: Verified | ErrorData) => void): void
}

export type { CursorNext, CursorReply, ReadReply }
/** The port names the cursor. */
export type CursorBegin = Omit<StoreCursorBegin, 'cursor'>

/** Files of snapshots: made from the live database, or received in pieces. */
export interface SnapshotPort {
  /** Copies the database, online and throttled, into a file of its own. */
  create(done: (reply: SnapshotFile | ErrorData) => void): void
  /** A piece of a snapshot made here; fewer bytes than asked for only at its end. */
  readChunk(snapshot: string, offset: number, done: (data: Uint8Array | ErrorData) => void): void
  /** Forget a snapshot made here. */
  release(snapshot: string): void
  /** How many bytes of this snapshot are here already from an earlier attempt; 0 if none. */
  resumeAt(snapshot: string, digest: string, done: (offset: number) => void): void
  /** Appends a piece to the snapshot being received. */
  writeChunk(
    snapshot: string,
    offset: number,
    data: Uint8Array,
    done: (error: ErrorData | null) => void,
  ): void
  /** Checks size and digest of what was received; the path is then given to the store to install. */
  finish(
    snapshot: string,
    bytes: number,
    digest: string,
    done: (reply: { readonly path: string } | ErrorData) => void,
  ): void
}

export interface SnapshotFile {
  readonly snapshot: string
  /** Last log entry in it. */
  readonly last: { readonly term: Term; readonly index: LogIndex }
  readonly bytes: number
  /** sha256, hex. */
  readonly digest: string
}

/** Links to peers. Sending to a peer that is not connected drops the message. */
export interface Transport {
  /** The peers that there should be links to, with their URLs. */
  setPeers(peers: readonly { readonly id: NodeId; readonly url: string }[]): void
  send(to: NodeId, message: PeerMessage): void
}

export interface Clock {
  /** Wall clock, ms since 1970. */
  now(): number
  /** Monotonic, ms. */
  monotonic(): number
  /** Calls back once, after about so many ms. */
  after(ms: number, callback: () => void): void
}

/** Things worth telling people: log lines, the demo's event list, server-sent events. */
export interface EventSink {
  emit(event: NodeEvent): void
}

export interface NodeEvent {
  /** Stable name, for example `leader.elected`. */
  readonly name: string
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  /** Names, counts, codes, positions; never row values. */
  readonly facts: Readonly<Record<string, string | number | boolean | null>>
}
