/** Times and sizes of the exchange between groups, in production. */
import type { ExchangeOptions } from '../../core/order/clock/exchange/types.ts'

const MEGABYTE = 1024 * 1024

export const EXCHANGE_DEFAULTS: Omit<ExchangeOptions, 'self'> = {
  digestMs: 500,
  askDelayMs: 50,
  askTimeoutMs: 2_000,
  markDelayMs: 100,
  pushMs: 30,
  driftMaxMs: 500,
  alarmMs: 10_000,
  askBytesMax: 4 * MEGABYTE,
  askEntriesMax: 2_048,
  pushBytesMax: 4 * MEGABYTE,
  windowEntriesMax: 4_096,
  bufferBytesMax: 32 * MEGABYTE,
  bufferEntriesMax: 4_096,
  storeBytesMax: 16 * MEGABYTE,
  storeEntriesMax: 4_096,
  keptEntriesMax: 10_000,
}

/** A leader tells the nodes of other groups again that it leads, in case that was lost, ms. */
export const LEADS_MS = 500
/**
 * While local writes wait, what others wrote is gathered for so long, ms. Each merge has a price of its
 * own, about that of 100 transactions: it takes pages out of the other connection's cache, two
 * commits and five messages between threads.
 */
export const MERGE_MS = 60
/** So long after a batch others count as about to come, and have their turn at most, ms. */
export const TURN_MS = 30
/** A group whose next entry to merge is older than this is behind, ms. */
export const BEHIND_MS = 2_000
/** Then local writes have the time that the last merge took divided by this: a fifth of all. */
export const BEHIND_SHARE = 4
/** Where much is taken back, what others wrote is gathered for so long at most, ms. */
export const GATHER_MS_MAX = 200
/** Or until it is so much. */
export const MERGE_BYTES = MEGABYTE / 2
/**
 * At most so much becomes one entry of the log, but for an entry that is larger by itself: local
 * writes wait while it is applied, which for small transactions takes about 20 us each. All that
 * there is where both sides wrote the same rows, since all that came later runs again for each.
 */
export const MERGE_BYTES_MAX = 2 * MEGABYTE
export const MERGE_OPERATIONS_MAX = 1_024
/** What can't matter any more is forgotten so often at most, ms. */
export const FORGET_MS = 250
/** Conflicts that somebody has dealt with are kept for so long: thirty days, in clock time. */
export const CONFLICTS_KEPT = 30 * 24 * 3_600 * 1_000_000
/** Entries kept in memory for handing on. */
export const CACHE_BYTES = 8 * MEGABYTE
/** All groups must have stopped writing within this time, or the schema does not change, ms. */
export const BARRIER_MS = 10_000
/** A fellow node is told something for so long, ms. */
export const TELL_MS = 1_000
/** The leader of another group is asked something about the groups for so long, ms. */
export const ASK_MS = 2_000
/** Who is frozen and lives is asked so often whether we were removed, ms. */
export const NEWS_MS = 3_000
