/**
 * Kysely with @libsql/kysely-libsql: a library that lends books. Kysely's own migrator, typed
 * queries with joins and JSON, transactions.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict'
import { LibsqlDialect } from '@libsql/kysely-libsql'
import { type Generated, Kysely, sql } from 'kysely'
import { jsonArrayFrom } from 'kysely/helpers/sqlite'
import { type Migration, Migrator } from 'kysely/migration'
import { brokenConnection, retrying, runProgram, type Work } from './harness.ts'

interface Library {
  lib_members: { id: Generated<number>; name: string; joined: Generated<string> }
  lib_books: { isbn: string; title: string; copies: number; scan: Uint8Array | null }
  lib_loans: { member_id: number; isbn: string; number: number }
}

const MIGRATIONS: Record<string, Migration> = {
  '2026-01-01-create': {
    async up(db) {
      await db.schema
        .createTable('lib_members')
        .addColumn('id', 'integer', (column) => column.primaryKey().autoIncrement())
        .addColumn('name', 'text', (column) => column.notNull().unique())
        .addColumn('joined', 'text', (column) => column.notNull().defaultTo(sql`current_timestamp`))
        .execute()
      await db.schema
        .createTable('lib_books')
        .addColumn('isbn', 'text', (column) => column.primaryKey().notNull())
        .addColumn('title', 'text', (column) => column.notNull())
        .addColumn('scan', 'blob')
        .execute()
    },
    async down(db) {
      await db.schema.dropTable('lib_books').execute()
      await db.schema.dropTable('lib_members').execute()
    },
  },
  '2026-02-01-lend': {
    async up(db) {
      await db.schema
        .alterTable('lib_books')
        .addColumn('copies', 'integer', (column) => column.notNull().defaultTo(1))
        .execute()
      await db.schema
        .createTable('lib_loans')
        .addColumn('member_id', 'integer', (column) =>
          column.notNull().references('lib_members.id').onDelete('cascade'),
        )
        .addColumn('isbn', 'text', (column) => column.notNull().references('lib_books.isbn'))
        .addColumn('number', 'integer', (column) => column.notNull())
        .addPrimaryKeyConstraint('lib_loans_pk', ['member_id', 'isbn', 'number'])
        .execute()
      await db.schema.createIndex('lib_loans_isbn').on('lib_loans').column('isbn').execute()
    },
  },
}

function connect(url: string): Kysely<Library> {
  return new Kysely<Library>({ dialect: new LibsqlDialect({ url }) })
}

async function migrate(db: Kysely<Library>): Promise<void> {
  const provider = { getMigrations: () => Promise.resolve(MIGRATIONS) }
  const { error, results } = await new Migrator({ db, provider }).migrateToLatest()
  if (error !== undefined) throw error
  equal(
    results?.every(({ status }) => status === 'Success'),
    true,
  )
}

const RETRYABLE: ReadonlySet<string> = new Set([
  ...['SQLITE_BUSY', 'TRANSACTION_CLOSED', 'TRANSACTION_TIMEOUT', 'STREAM_EXPIRED'],
  'UNKNOWN_OUTCOME',
  ...['SERVER_ERROR', 'HRANA_WEBSOCKET_ERROR', 'HRANA_CLOSED_ERROR'],
])

/** The dialect brings a @libsql/client of its own and lets its errors through. */
function reasonToRetry(error: unknown): string | null {
  if (error instanceof Error && error.name.startsWith('Libsql') && 'code' in error) {
    const code = String(error.code)
    return RETRYABLE.has(code) ? code : null
  }
  return brokenConnection(error)
}

async function check(url: string): Promise<void> {
  const db = connect(url)
  await migrate(db)
  await migrate(db)
  await db.deleteFrom('lib_loans').execute()
  await db.deleteFrom('lib_members').execute()
  await db.deleteFrom('lib_books').execute()
  await introspection(db)
  await queries(db)
  await transactions(db)
  await paging(db)
  await constraints(db)
  await db.destroy()
}

async function introspection(db: Kysely<Library>): Promise<void> {
  const tables = await db.introspection.getTables()
  const books = tables.find(({ name }) => name === 'lib_books')
  deepEqual(
    books?.columns.map(({ name, dataType, isNullable }) => [name, dataType, isNullable]),
    [
      ['isbn', 'TEXT', false],
      ['title', 'TEXT', false],
      ['scan', 'BLOB', true],
      ['copies', 'INTEGER', false],
    ],
  )
}

async function queries(db: Kysely<Library>): Promise<void> {
  const { id } = await db
    .insertInto('lib_members')
    .values({ name: 'Ada' })
    .returning('id')
    .executeTakeFirstOrThrow()
  const scan = Uint8Array.from([1, 0, 255])
  const inserted = await db
    .insertInto('lib_books')
    .values([
      { isbn: '1', title: 'Notes', copies: 2, scan },
      { isbn: '2', title: 'Sketch', copies: 1, scan: null },
    ])
    .executeTakeFirst()
  equal(inserted.numInsertedOrUpdatedRows, 2n)
  await db.insertInto('lib_loans').values({ member_id: id, isbn: '1', number: 1 }).execute()
  const member = await db
    .selectFrom('lib_members')
    .select((eb) => [
      'name',
      jsonArrayFrom(
        eb
          .selectFrom('lib_loans')
          .innerJoin('lib_books', 'lib_books.isbn', 'lib_loans.isbn')
          .select(['title', 'copies'])
          .whereRef('lib_loans.member_id', '=', 'lib_members.id'),
      ).as('loans'),
    ])
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  // Without Kysely's plugin for results JSON comes as text.
  equal(member.name, 'Ada')
  deepEqual(JSON.parse(String(member.loans)), [{ title: 'Notes', copies: 2 }])
  const book = await db
    .selectFrom('lib_books')
    .selectAll()
    .where('isbn', '=', '1')
    .executeTakeFirst()
  deepEqual(Uint8Array.from(Buffer.from(book?.scan ?? [])), scan)
  const updated = await db
    .updateTable('lib_books')
    .set((eb) => ({ copies: eb('copies', '+', 1) }))
    .where('copies', '<', 100)
    .executeTakeFirst()
  equal(updated.numUpdatedRows, 2n)
  const upserted = await db
    .insertInto('lib_books')
    .values({ isbn: '2', title: 'Sketch II', copies: 0, scan: null })
    .onConflict((oc) => oc.column('isbn').doUpdateSet({ title: (eb) => eb.ref('excluded.title') }))
    .returning(['title', 'copies'])
    .executeTakeFirst()
  deepEqual({ ...upserted }, { title: 'Sketch II', copies: 2 })
}

async function transactions(db: Kysely<Library>): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await tx.insertInto('lib_members').values({ name: 'Grace' }).execute()
    const { n } = await tx
      .selectFrom('lib_members')
      .select((eb) => eb.fn.countAll<number>().as('n'))
      .executeTakeFirstOrThrow()
    equal(n, 2)
  })
  const failing = db.transaction().execute(async (tx) => {
    await tx.deleteFrom('lib_members').execute()
    throw new Error('changed my mind')
  })
  await rejects(failing, /changed my mind/)
  const names = await db.selectFrom('lib_members').select('name').orderBy('name').execute()
  deepEqual(
    names.map(({ name }) => name),
    ['Ada', 'Grace'],
  )
}

async function paging(db: Kysely<Library>): Promise<void> {
  const isbns = Array.from({ length: 40 }, (_, at) => `page${String(at).padStart(2, '0')}`)
  const values = isbns.map((isbn) => ({ isbn, title: 'x', copies: 1, scan: null }))
  await db.insertInto('lib_books').values(values).execute()
  const seen: string[] = []
  for (;;) {
    const page = await db
      .selectFrom('lib_books')
      .select('isbn')
      .where('isbn', '>', seen.at(-1) ?? 'page')
      .where('isbn', 'like', 'page%')
      .orderBy('isbn')
      .limit(15)
      .execute()
    if (page.length === 0) break
    seen.push(...page.map(({ isbn }) => isbn))
  }
  deepEqual(seen, isbns)
}

async function constraints(db: Kysely<Library>): Promise<void> {
  const isConstraint = { code: 'SQLITE_CONSTRAINT' }
  await rejects(db.insertInto('lib_members').values({ name: 'Ada' }).execute(), isConstraint)
  const orphan = { member_id: 12_345, isbn: '1', number: 1 }
  await rejects(db.insertInto('lib_loans').values(orphan).execute(), isConstraint)
  await rejects(db.deleteFrom('lib_books').execute(), isConstraint)
  await db.deleteFrom('lib_members').where('name', '=', 'Ada').execute()
  deepEqual(await db.selectFrom('lib_loans').selectAll().execute(), [])
}

const COPIES = 1_000_000

/** Each run has a member and two books; a loan takes a copy of each. */
async function open(url: string, run: string): Promise<Work> {
  const db = connect(url)
  await retrying(() => migrate(db), reasonToRetry)
  const isbns = [`${run}/a`, `${run}/b`]
  const books = isbns.map((isbn) => ({ isbn, title: run, copies: COPIES, scan: null }))
  await retrying(async () => {
    await db
      .insertInto('lib_books')
      .values(books)
      .onConflict((oc) => oc.doNothing())
      .execute()
    await db
      .insertInto('lib_members')
      .values({ name: run })
      .onConflict((oc) => oc.doNothing())
      .execute()
  }, reasonToRetry)
  const member = await retrying(
    () =>
      db.selectFrom('lib_members').select('id').where('name', '=', run).executeTakeFirstOrThrow(),
    reasonToRetry,
  )
  return {
    lanes: 3,
    step: (number) => retrying(() => lend(db, member.id, isbns, number), reasonToRetry),
    done: () => retrying(() => audit(db, member.id, isbns), reasonToRetry),
    close: () => db.destroy(),
  }
}

async function lend(
  db: Kysely<Library>,
  memberId: number,
  isbns: readonly string[],
  number: number,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    for (const isbn of isbns) {
      const loan = { member_id: memberId, isbn, number }
      const inserted = await tx
        .insertInto('lib_loans')
        .values(loan)
        .onConflict((oc) => oc.doNothing())
        .executeTakeFirst()
      // Had an earlier attempt succeeded after all, its loan would be here.
      if (inserted.numInsertedOrUpdatedRows === 0n) return
      await tx
        .updateTable('lib_books')
        .set((eb) => ({ copies: eb('copies', '-', 1) }))
        .where('isbn', '=', isbn)
        .execute()
    }
  })
}

async function audit(
  db: Kysely<Library>,
  memberId: number,
  isbns: readonly string[],
): Promise<number[]> {
  const loans = await db
    .selectFrom('lib_loans')
    .select((eb) => ['number', eb.fn.countAll<number>().as('books')])
    .where('member_id', '=', memberId)
    .groupBy('number')
    .execute()
  for (const loan of loans) equal(loan.books, isbns.length)
  const books = await db
    .selectFrom('lib_books')
    .select('copies')
    .where('isbn', 'in', isbns)
    .execute()
  for (const book of books) equal(book.copies, COPIES - loans.length)
  return loans.map(({ number }) => number)
}

await runProgram({ check, open })
