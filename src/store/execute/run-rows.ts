/** Runs a query or a row change of a client on the writer, without any care for transactions. */
import { QuorateError } from '../../base/errors.ts'
import type { Statement, StatementResult } from '../../model/program.ts'
import type { Connection } from '../connections.ts'
import type { Classified, Statements } from './classify.ts'
import { type ResultRoom, runPrepared } from './statement.ts'

/** More than one row for a table, or what is no number: replicas keep one integer for each table. */
const ODD_SEQUENCES = `select 1 from main.sqlite_sequence group by name
  having count(*) > 1 or typeof(name) <> 'text' or typeof(seq) <> 'integer' limit 1`

/** Throws SQL_REFUSED for what sqlite_sequence must not hold; the statement has no effect then. */
export function runRows(
  writer: Connection,
  statements: Statements,
  statement: Statement,
  found: Classified,
  room?: ResultRoom,
): StatementResult {
  const prepared = found.prepare()
  const { cache, watching } = statements
  if (prepared.changes !== null) watching.watchFor(prepared)
  try {
    if (found.name === '' && !found.writesSequence()) {
      return runPrepared(cache, prepared, statement, room)
    }
    const runs = () => runPrepared(cache, prepared, statement, room)
    const run = found.name === '' ? runs : () => watching.copying(found.name, runs)
    return found.writesSequence() ? guardingSequence(writer, run) : run()
  } catch (error) {
    throw statements.facts.hasSequence ? (outOfIds(error) ?? error) : error
  }
}

function guardingSequence(writer: Connection, run: () => StatementResult): StatementResult {
  writer.db.exec('savepoint _quorate_sequence')
  try {
    const result = run()
    if (writer.internal(ODD_SEQUENCES).row() === undefined) return result
    throw new QuorateError(
      'SQL_REFUSED',
      'sqlite_sequence would hold a table twice or something else than an integer. UPDATE the row of the table.',
    )
  } catch (error) {
    if (writer.db.isTransaction) writer.db.exec('rollback to _quorate_sequence')
    throw error
  } finally {
    if (writer.db.isTransaction) writer.db.exec('release _quorate_sequence')
  }
}

/** AUTOINCREMENT at its end says that the disk is full, which is not the node's trouble. */
function outOfIds(error: unknown): QuorateError | null {
  if (!(error instanceof QuorateError) || error.facts['sqlite'] !== 'SQLITE_FULL') return null
  return new QuorateError('SQL_ERROR', error.detail, error.facts, { cause: error })
}
