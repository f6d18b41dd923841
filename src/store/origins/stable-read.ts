/**
 * Reads of the past: a program of reads on the data as of a time whose order is final. What has run
 * later, which may still change, is taken back for the length of the read, in a transaction of the
 * applier's that is rolled back.
 */
import type { LogIndex } from '../../base/brand.ts'
import { toErrorData } from '../../base/errors.ts'
import type { ClockTime } from '../../core/order/clock/stamp.ts'
import type { Program } from '../../model/program.ts'
import type { Applier } from '../apply/apply.ts'
import type { Connections } from '../connections.ts'
import { mapSqliteError, StatementCache } from '../execute/statement.ts'
import type { Log } from '../log.ts'
import type { ReadReply } from '../read/reader.ts'
import { mayPrepare } from '../read/reader-plan.ts'
import { runReads } from '../read/reader-run.ts'
import type { StoreReply } from '../types.ts'

/**
 * Errors of statements are in their steps.
 *
 * @throws QuorateError LOG_CORRUPT if something that ran can't be taken back
 */
export function readStable(
  { applier }: Connections,
  log: Log,
  replica: Applier,
  { program, through, since }: { program: Program; through: ClockTime; since: LogIndex },
): StoreReply {
  const read = replica.asOf(through, since, (): ReadReply => {
    // Made anew each time: nobody else prepares anything here under an authorizer.
    const cache = new StatementCache(applier.db, mayPrepare)
    try {
      const result = runReads(cache, program)
      return result === null ? { kind: 'notRead' } : { kind: 'rows', result, applied: log.applied }
    } catch (error) {
      return { kind: 'failed', error: toErrorData(mapSqliteError(error)) }
    } finally {
      cache.release()
    }
  })
  return { kind: 'stableRead', read: read ?? { kind: 'again' } }
}
