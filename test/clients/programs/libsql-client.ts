/**
 * @libsql/client, over http and ws: a bank. Accounts, transfers in interactive transactions and in
 * batches, statements of account, paging. Every transfer has a number of its own, so that one whose
 * outcome is unknown can be sent again.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { type Client, createClient, LibsqlBatchError, LibsqlError } from '@libsql/client'
import { brokenConnection, retrying, runProgram, type Work } from './harness.ts'

const MIGRATIONS = [
  `create table if not exists bank_accounts (
     id integer primary key,
     owner text not null,
     balance integer not null check (balance >= 0),
     opened text not null default (datetime('now')),
     details text not null default '{}' check (json_valid(details)),
     photo blob
   )`,
  `create table if not exists bank_transfers (
     run text not null,
     number integer not null,
     payer integer not null references bank_accounts (id),
     payee integer not null references bank_accounts (id),
     amount integer not null check (amount > 0),
     primary key (run, number)
   ) without rowid`,
  'create index if not exists bank_transfers_by_payer on bank_transfers (payer, amount desc)',
  `create trigger if not exists bank_transfers_move after insert on bank_transfers begin
     update bank_accounts set balance = balance - new.amount where id = new.payer;
     update bank_accounts set balance = balance + new.amount where id = new.payee;
   end`,
]

/** Codes that say that nothing was changed (docs/clients.md). */
const NOTHING_HAPPENED: ReadonlySet<string> = new Set([
  ...['SQLITE_BUSY', 'TRANSACTION_CLOSED', 'TRANSACTION_TIMEOUT', 'STREAM_EXPIRED'],
])
/**
 * Codes after which the same may be tried again. After one of the others it is not known whether it
 * happened, which is why transfers are numbered. The last ones are the client's own.
 */
const RETRYABLE: ReadonlySet<string> = new Set([
  ...NOTHING_HAPPENED,
  'UNKNOWN_OUTCOME',
  ...['SERVER_ERROR', 'HRANA_WEBSOCKET_ERROR', 'HRANA_CLOSED_ERROR'],
])

function reasonToRetry(error: unknown): string | null {
  if (error instanceof LibsqlError) return RETRYABLE.has(error.code) ? error.code : null
  return brokenConnection(error)
}

async function check(url: string): Promise<void> {
  const db = createClient({ url })
  await db.migrate(MIGRATIONS)
  await db.batch(['delete from bank_transfers', 'delete from bank_accounts'], 'write')
  await openAccounts(db)
  await constraints(db)
  await transfers(db)
  await paging(db)
  await manyAtOnce(db)
  equal(db.protocol, url.startsWith('ws:') ? 'ws' : 'http')
  await rejects(async () => db.sync(), { code: 'SYNC_NOT_SUPPORTED' })
  await db.reconnect()
  deepEqual((await db.execute('select ? + ?', [2, 3])).rows[0]?.[0], 5)
  db.close()
  equal(db.closed, true)
  await rejects(db.execute('select 1'), LibsqlError)
}

async function openAccounts(db: Client): Promise<void> {
  const photo = Uint8Array.from({ length: 300_000 }, (_, at) => at % 251)
  const insert =
    'insert into bank_accounts (id, owner, balance, details, photo) values (?, ?, ?, ?, ?)'
  const details = JSON.stringify({ tags: ['vip', 'ž"'], since: 2020 })
  const [, second] = await db.batch(
    [
      { sql: insert, args: [1, 'Ada', 1000, details, photo] },
      { sql: insert, args: [2, 'Grace', 500n, '{}', null] },
    ],
    'write',
  )
  deepEqual([second?.rowsAffected, second?.lastInsertRowid], [1, 2n])
  const { rows } = await db.execute({
    sql: `select owner, balance, opened, details ->> '$.since' as since, photo
          from bank_accounts where id = :id`,
    args: { id: 1 },
  })
  const [ada] = rows
  deepEqual([ada?.['owner'], ada?.['balance'], ada?.['since']], ['Ada', 1000, 2020])
  ok(Math.abs(Date.parse(`${String(ada?.['opened'])}Z`) - Date.now()) < 60_000)
  ok(ada?.['photo'] instanceof ArrayBuffer && Buffer.from(photo).equals(Buffer.from(ada['photo'])))
}

async function constraints(db: Client): Promise<void> {
  const isConstraint = { code: 'SQLITE_CONSTRAINT' }
  await rejects(
    db.execute("insert into bank_accounts values (1, 'x', 1, '', '{}', x'')"),
    isConstraint,
  )
  await rejects(db.execute('update bank_accounts set balance = -1 where id = 1'), isConstraint)
  await rejects(db.execute("insert into bank_transfers values ('c', 1, 1, 99, 5)"), isConstraint)
  await rejects(db.execute('select owner from bank_acounts'), { code: 'SQLITE_ERROR' })
  const failing = db.batch(
    [
      "insert into bank_transfers values ('c', 2, 1, 2, 5)",
      "insert into bank_transfers values ('c', 3, 1, 2, 50000)",
      "insert into bank_transfers values ('c', 4, 1, 2, 5)",
    ],
    'write',
  )
  await rejects(failing, (error) => {
    ok(error instanceof LibsqlBatchError)
    deepEqual([error.code, error.statementIndex], ['SQLITE_CONSTRAINT', 1])
    return true
  })
  deepEqual(await balances(db), [1000, 500])
}

async function transfers(db: Client): Promise<void> {
  const sql = 'insert into bank_transfers values (?, ?, ?, ?, ?)'
  const kept = await db.transaction('write')
  await kept.execute({ sql, args: ['check', 1, 1, 2, 300] })
  const inside = await kept.execute('select balance from bank_accounts order by id')
  deepEqual(
    inside.rows.map((row) => row['balance']),
    [700, 800],
  )
  await rejects(kept.execute({ sql, args: ['check', 1, 1, 2, 300] }), { code: 'SQLITE_CONSTRAINT' })
  await kept.batch([
    { sql, args: ['check', 2, 1, 2, 50] },
    { sql, args: ['check', 3, 2, 1, 150] },
  ])
  await kept.commit()
  equal(kept.closed, true)
  await rejects(kept.execute('select 1'), { code: 'TRANSACTION_CLOSED' })
  deepEqual(await balances(db), [800, 700])

  const dropped = await db.transaction('write')
  await dropped.execute({ sql, args: ['check', 4, 1, 2, 800] })
  await dropped.rollback()
  const abandoned = await db.transaction('deferred')
  await abandoned.executeMultiple(`insert into bank_transfers values ('check', 4, 1, 2, 800)`)
  abandoned.close()
  deepEqual(await balances(db), [800, 700])

  const reading = await db.transaction('read')
  equal((await reading.execute('select sum(balance) from bank_accounts')).rows[0]?.[0], 1500)
  await reading.commit()
}

async function paging(db: Client): Promise<void> {
  const numbers = Array.from({ length: 95 }, (_, at) => at + 100)
  const sql = 'insert into bank_transfers values (?, ?, ?, ?, ?)'
  await db.batch(
    numbers.map((number) => ({ sql, args: ['page', number, 1, 2, 1] })),
    'write',
  )
  const seen: number[] = []
  for (;;) {
    const { rows } = await db.execute({
      sql: `select number from bank_transfers where run = 'page' and number > ?
            order by number limit 20`,
      args: [seen.at(-1) ?? 0],
    })
    if (rows.length === 0) break
    seen.push(...rows.map((row) => Number(row['number'])))
  }
  deepEqual(seen, numbers)
}

/** Read, think, write: lost updates would show. */
async function manyAtOnce(db: Client): Promise<void> {
  const [before = 0] = await balances(db)
  const one = async (): Promise<void> => {
    const tx = await db.transaction('write')
    try {
      const { rows } = await tx.execute('select balance from bank_accounts where id = 1')
      const balance = Number(rows[0]?.['balance'])
      await tx.execute({
        sql: 'update bank_accounts set balance = ? where id = 1',
        args: [balance - 1],
      })
      await tx.commit()
    } finally {
      tx.close()
    }
  }
  await Promise.all(Array.from({ length: 30 }, one))
  const [after] = await balances(db)
  equal(after, before - 30)
}

async function balances(db: Client): Promise<number[]> {
  const { rows } = await db.execute('select balance from bank_accounts order by id')
  return rows.map((row) => Number(row['balance']))
}

const ACCOUNTS = 5
const OPENING = 1_000_000

/** Accounts of one run have ids of their own, so that runs don't see each other's money. */
async function open(url: string, run: string): Promise<Work> {
  const db = createClient({ url })
  const hash = [...run].reduce((sum, each) => (sum * 31 + (each.codePointAt(0) ?? 0)) % 99_991, 7)
  const accounts = Array.from({ length: ACCOUNTS }, (_, at) => (1 + hash) * 1000 + at)
  await retrying(() => db.migrate(MIGRATIONS), reasonToRetry)
  const sql = `insert into bank_accounts (id, owner, balance) values (?, ?, ?) on conflict do nothing`
  const opening = accounts.map((id) => ({ sql, args: [id, run, OPENING] }))
  await retrying(() => db.batch(opening, 'write'), reasonToRetry)
  return {
    lanes: 3,
    step: (number) => transferOnce(db, run, number, accounts),
    done: () => retrying(() => audit(db, run, accounts), reasonToRetry),
    close: () => db.close(),
  }
}

/** Retries. What failed without doubt must not have happened: then it is the last attempt that did it. */
async function transferOnce(
  db: Client,
  run: string,
  number: number,
  accounts: readonly number[],
): Promise<void> {
  let doubt = false
  const inserted = await retrying(
    () => transfer(db, run, number, accounts),
    (error) => {
      const reason = reasonToRetry(error)
      doubt ||= reason === null || !NOTHING_HAPPENED.has(reason)
      return reason
    },
  )
  if (!doubt) equal(inserted, 1, `transfer ${number} was there already`)
}

/** As a batch, as a statement or as a transaction. Returns the number of transfers that it made. */
async function transfer(
  db: Client,
  run: string,
  number: number,
  accounts: readonly number[],
): Promise<number | undefined> {
  const payer = accounts[number % ACCOUNTS] ?? 0
  const payee = accounts[(number + 1) % ACCOUNTS] ?? 0
  const insert = {
    sql: 'insert into bank_transfers values (?, ?, ?, ?, ?) on conflict do nothing',
    args: [run, number, payer, payee, number],
  }
  if (number % 3 === 0) {
    return (await db.batch([insert], 'write'))[0]?.rowsAffected
  }
  if (number % 3 === 1) {
    return (await db.execute(insert)).rowsAffected
  }
  const tx = await db.transaction('write')
  try {
    const { rows } = await tx.execute({
      sql: 'select balance from bank_accounts where id = ?',
      args: [payer],
    })
    ok(Number(rows[0]?.['balance']) >= number)
    const { rowsAffected } = await tx.execute(insert)
    await tx.commit()
    return rowsAffected
  } finally {
    tx.close()
  }
}

/** The transfers that happened; what they say must be what the accounts hold. */
async function audit(db: Client, run: string, accounts: readonly number[]): Promise<number[]> {
  const [transfers, held] = await db.batch(
    [
      { sql: 'select number, payer, payee, amount from bank_transfers where run = ?', args: [run] },
      {
        sql: 'select id, balance from bank_accounts where owner = ? order by id',
        args: [run],
      },
    ],
    'read',
  )
  const expected = new Map(accounts.map((id) => [id, OPENING]))
  for (const { payer, payee, amount } of transfers?.rows ?? []) {
    expected.set(Number(payer), (expected.get(Number(payer)) ?? 0) - Number(amount))
    expected.set(Number(payee), (expected.get(Number(payee)) ?? 0) + Number(amount))
  }
  deepEqual(
    held?.rows.map((row) => [row['id'], row['balance']]),
    [...expected],
  )
  return (transfers?.rows ?? []).map((row) => Number(row['number']))
}

await runProgram({ check, open })
