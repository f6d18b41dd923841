/** Transactions on a line that is a script: their end, and when they may be tried again. */
import { deepEqual, equal, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, QuorateError } from '../base/errors.ts'
import type { StatementResult } from '../model/program.ts'
import { LineTransaction, runTransaction, type TransactionLine } from './transaction.ts'
import type { Transaction } from './types.ts'

const RESULT: StatementResult = { columns: [], rows: [], changes: 1, lastInsertRowid: null }

/** Notes what it is asked for; a statement named after an error code fails with it. */
function scripted(log: string[], commit: ErrorCode | null = null): LineTransaction {
  const line: TransactionLine = {
    async run({ sql }) {
      log.push(sql)
      if (sql === sql.toUpperCase()) throw new QuorateError(sql as ErrorCode, 'As asked.')
      return RESULT
    },
    async end(commits) {
      log.push(commits ? 'commit' : 'rollback')
      if (commits && commit !== null) throw new QuorateError(commit, 'As asked.')
    },
  }
  return new LineTransaction(line, false)
}

/** Runs work that fails with each of these codes in turn, then succeeds. */
async function withRetries(retries: number, codes: readonly ErrorCode[]): Promise<string[]> {
  const log: string[] = []
  let run = 0
  const work = async (tx: Transaction): Promise<string> => {
    run += 1
    await tx.execute(codes[run - 1] ?? `run ${run}`)
    return 'done'
  }
  equal(await runTransaction(async () => scripted(log), work, { retries }), 'done')
  return log
}

test('what was lost with its leader is begun again, as often as that is allowed', async () => {
  deepEqual(await withRetries(2, ['TRANSACTION_CLOSED', 'UNKNOWN_OUTCOME']), [
    ...['TRANSACTION_CLOSED', 'rollback', 'UNKNOWN_OUTCOME', 'rollback', 'run 3', 'commit'],
  ])
  const once = (error: unknown): boolean =>
    error instanceof QuorateError && error.code === 'NO_LEADER'
  await rejects(withRetries(1, ['NO_LEADER', 'NO_LEADER']), once)
  await rejects(withRetries(0, ['NO_LEADER']), once)
})

test('an error of a statement or of the function is passed on and not tried again', async () => {
  await rejects(withRetries(5, ['SQL_CONSTRAINT']), (error) => {
    return error instanceof QuorateError && error.code === 'SQL_CONSTRAINT'
  })
  const log: string[] = []
  const reason = { not: 'an Error' }
  const failing = runTransaction(
    async () => scripted(log),
    () => Promise.reject(reason),
    { retries: 5 },
  )
  await rejects(failing, (error) => error === reason)
  deepEqual(log, ['rollback'])
})

test('a function that wraps the error it met is tried again as well', async () => {
  const log: string[] = []
  let run = 0
  const value = await runTransaction(
    async () => scripted(log),
    async (tx) => {
      run += 1
      await tx.execute(run === 1 ? 'TRANSACTION_CLOSED' : 'fine').catch((cause) => {
        throw new Error('wrapped', { cause })
      })
      return run
    },
    { retries: 1 },
  )
  equal(value, 2)
})

test('a COMMIT that may have happened is never tried again, one that surely did not is', async () => {
  for (const [code, runs] of [
    ['UNKNOWN_OUTCOME', 1],
    ['UNREACHABLE', 1],
    ['TAKEN_BACK', 3],
    ['TRANSACTION_CLOSED', 3],
  ] as const) {
    const log: string[] = []
    let count = 0
    const work = runTransaction(
      async () => scripted(log, code),
      async (tx) => {
        count += 1
        // Whoever goes on after a loss must not turn a doubtful COMMIT into a certain one.
        await tx.execute('UNKNOWN_OUTCOME').catch(() => {})
      },
      { retries: 2 },
    )
    await rejects(work, (error) => error instanceof QuorateError && error.code === code)
    equal(count, runs, code)
  }
})

test('statements run one after the other, and none after the end', async () => {
  const log: string[] = []
  const tx = scripted(log)
  await Promise.all([tx.execute('a'), tx.query('b'), tx.first('c'), tx.commit(), tx.rollback()])
  await rejects(tx.execute('d'), (error) => {
    return error instanceof QuorateError && error.code === 'TRANSACTION_CLOSED'
  })
  deepEqual(log, ['a', 'b', 'c', 'commit'])
})
