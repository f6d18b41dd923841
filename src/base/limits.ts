import { assert } from './assert.ts'

/** Sizes and counts that everything respects. Times that a user may set are options instead. */
export const LIMITS = {
  /** One transaction's changesets; a larger one is refused with TOO_LARGE. */
  entryBytesMax: 256 * 1024 * 1024,
  /** Entries that travel in one append message, by bytes: at least one goes whatever its size. */
  appendBytesMax: 4 * 1024 * 1024,
  appendEntriesMax: 1024,
  /** Append messages to one follower that await their answer. */
  appendsInFlightMax: 64,
  /** Piece of a snapshot in one message. */
  snapshotChunkBytes: 512 * 1024,
  /** Transactions in one batch. Large on purpose: capping batches was measured to lose. */
  batchTransactionsMax: 4096,
  /** Requests that wait for the writer, above which new ones get OVERLOADED. */
  queuedRequestsMax: 100_000,
  /** Bytes of entries that the leader holds but no majority does, above which writes wait. */
  uncommittedBytesMax: 512 * 1024 * 1024,
  /** Body of one HTTP request. */
  requestBytesMax: 64 * 1024 * 1024,
  /** All rows of one answer that is not streamed, above which it is RESPONSE_TOO_LARGE. */
  resultBytesMax: 64 * 1024 * 1024,
  /** The same for an answer over the network, as libSQL's server has it. */
  networkResultBytesMax: 10 * 1024 * 1024,
  /** Rows that a cursor gives in one go. */
  chunkBytesMax: 1024 * 1024,
  /** Cursors and read transactions open on one node; each is a connection. */
  cursorsMax: 200,
  /** A cursor that nobody fetches from is closed: it keeps the WAL from being used anew. */
  cursorIdleMs: 10_000,
  /** Members of one group. */
  votersMax: 7,
  membersMax: 64,
} as const

assert(
  LIMITS.snapshotChunkBytes <= LIMITS.appendBytesMax,
  () => 'a snapshot chunk may not block the line longer than an append',
)
