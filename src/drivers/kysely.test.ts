/** Kysely on a real node, embedded and over the network: queries, transactions, migrations. */
import { deepEqual, equal, rejects } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Generated, Kysely, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { QuorateError } from '../base/errors.ts'
import { connect } from '../client/index.ts'
import type { Db } from '../client/types.ts'
import { type Database, open } from '../host/embedded.ts'
import { QuorateDialect } from './kysely.ts'

interface Tables {
  person: { id: Generated<number>; name: string; photo: Uint8Array | null }
  pet: { id: Generated<number>; owner: number; name: string }
}

const MIGRATIONS: Record<string, Migration> = {
  '1-person': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('person')
        .addColumn('id', 'integer', (column) => column.primaryKey())
        .addColumn('name', 'text', (column) => column.notNull().unique())
        .addColumn('photo', 'blob')
        .execute()
    },
  },
  '2-pet': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('pet')
        .addColumn('id', 'integer', (column) => column.primaryKey())
        .addColumn('owner', 'integer', (column) => column.references('person.id'))
        .addColumn('name', 'text')
        .execute()
    },
    async down(db: Kysely<unknown>) {
      await db.schema.dropTable('pet').execute()
    },
  },
}

const folder = mkdtempSync(join(tmpdir(), 'quorate-kysely-'))
let database: Database

before(async () => {
  database = await open(join(folder, 'k.db'), { name: 'a' })
  const orm = new Kysely<Tables>({ dialect: new QuorateDialect({ database }) })
  const { error, results } = await migrator(orm).migrateToLatest()
  equal(error, undefined)
  deepEqual(
    results?.map(({ status }) => status),
    ['Success', 'Success'],
  )
})

after(async () => {
  await database.close()
  rmSync(folder, { recursive: true })
})

function migrator(db: Kysely<Tables>, migrations = MIGRATIONS): Migrator {
  return new Migrator({ db, provider: { getMigrations: async () => migrations } })
}

test('a migration that fails leaves nothing behind', async () => {
  const orm = new Kysely<Tables>({ dialect: new QuorateDialect({ database }) })
  const broken: Migration = {
    async up(db: Kysely<unknown>) {
      await db.schema.createTable('half').addColumn('id', 'integer').execute()
      await sql`insert into nowhere values (1)`.execute(db)
    },
  }
  const { error } = await migrator(orm, { ...MIGRATIONS, '3-broken': broken }).migrateToLatest()
  equal(error instanceof QuorateError && error.code, 'SQL_ERROR')
  deepEqual(await database.query("select * from sqlite_schema where name = 'half'"), [])
})

test('migrations run once, and back', async () => {
  const orm = new Kysely<Tables>({ dialect: new QuorateDialect({ database }) })
  deepEqual((await migrator(orm).migrateToLatest()).results, [])
  const down = await migrator(orm).migrateDown()
  deepEqual(
    down.results?.map(({ migrationName, status }) => [migrationName, status]),
    [['2-pet', 'Success']],
  )
  equal((await migrator(orm).migrateToLatest()).results?.length, 1)
  const tables = await orm.introspection.getTables()
  deepEqual(
    tables.map(({ name }) => name),
    ['person', 'pet'],
  )
})

for (const kind of ['embedded', 'remote'] as const) {
  test(`${kind}: queries, joins, results of writes`, async (t) => {
    const db: Db = kind === 'embedded' ? database : connect(database.url)
    if (kind === 'remote') t.after(() => db.close())
    const orm = new Kysely<Tables>({ dialect: new QuorateDialect({ database: db }) })
    await orm.deleteFrom('pet').execute()
    await orm.deleteFrom('person').execute()
    const photo = new Uint8Array([0, 200])
    const { insertId, numInsertedOrUpdatedRows } = await orm
      .insertInto('person')
      .values({ name: 'Ada', photo })
      .executeTakeFirstOrThrow()
    equal(numInsertedOrUpdatedRows, 1n)
    const owner = Number(insertId)
    const pet = await orm
      .insertInto('pet')
      .values({ owner, name: 'Rex' })
      .returning(['name', 'owner'])
      .executeTakeFirstOrThrow()
    deepEqual(pet, { name: 'Rex', owner })
    const joined = await orm
      .selectFrom('person')
      .innerJoin('pet', 'pet.owner', 'person.id')
      .select(['person.name as person', 'pet.name as pet', 'person.photo'])
      .execute()
    deepEqual(joined, [{ person: 'Ada', pet: 'Rex', photo }])
    const updated = await orm.updateTable('pet').set({ name: 'Max' }).executeTakeFirst()
    equal(updated.numUpdatedRows, 1n)
    const raw = await sql<{ n: number }>`select count(*) as n from pet`.execute(orm)
    deepEqual(raw.rows, [{ n: 1 }])
    const again = orm.insertInto('person').values({ name: 'Ada' }).execute()
    await rejects(
      again,
      (error) => error instanceof QuorateError && error.code === 'SQL_CONSTRAINT',
    )
  })

  test(`${kind}: transactions commit, roll back, have savepoints, and don't mix`, async (t) => {
    const db: Db = kind === 'embedded' ? database : connect(database.url)
    if (kind === 'remote') t.after(() => db.close())
    const orm = new Kysely<Tables>({ dialect: new QuorateDialect({ database: db }) })
    await orm.deleteFrom('pet').execute()
    await orm.deleteFrom('person').execute()
    const names = async (): Promise<string[]> =>
      (await orm.selectFrom('person').select('name').orderBy('name').execute()).map((p) => p.name)
    await orm.transaction().execute(async (trx) => {
      await trx.insertInto('person').values({ name: 'in' }).execute()
      deepEqual(await names(), [], 'others do not see it yet')
    })
    const failing = orm.transaction().execute(async (trx) => {
      await trx.insertInto('person').values({ name: 'lost' }).execute()
      throw new Error('changed my mind')
    })
    await rejects(failing, /^Error: changed my mind$/)
    const trx = await orm.startTransaction().execute()
    await trx.insertInto('person').values({ name: 'kept' }).execute()
    const inner = await trx.savepoint('s').execute()
    await inner.insertInto('person').values({ name: 'undone' }).execute()
    const back = await inner.rollbackToSavepoint('s').execute()
    await back.commit().execute()
    deepEqual(await names(), ['in', 'kept'])
    const reading = orm.transaction().setAccessMode('read only')
    equal(
      await reading.execute(
        async (r) => (await r.selectFrom('person').selectAll().execute()).length,
      ),
      2,
    )
    const writing = reading.execute((r) => r.deleteFrom('person').execute())
    await rejects(writing, (error) => error instanceof QuorateError && error.code === 'SQL_ERROR')
  })

  test(`${kind}: rows are streamed`, async (t) => {
    const db: Db = kind === 'embedded' ? database : connect(database.url)
    if (kind === 'remote') t.after(() => db.close())
    const orm = new Kysely<Tables>({ dialect: new QuorateDialect({ database: db }) })
    await orm.deleteFrom('pet').execute()
    await orm.deleteFrom('person').execute()
    await db.execute(`insert into person (name)
      with recursive n (i) as (select 1 union all select i + 1 from n where i < 500)
      select 'name ' || i from n`)
    let count = 0
    for await (const { id } of orm.selectFrom('person').select('id').stream(64)) {
      equal(typeof id, 'number')
      count += 1
      if (count === 300) break
    }
    equal(count, 300)
  })
}
