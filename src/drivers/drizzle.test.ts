/** Drizzle on a real node, embedded and over the network: queries, transactions, migrations. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eq, relations, sql } from 'drizzle-orm'
import { blob, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { QuorateError } from '../base/errors.ts'
import { connect } from '../client/index.ts'
import type { Db } from '../client/types.ts'
import { type Database, open } from '../host/embedded.ts'
import { drizzle, migrate, type QuorateDatabase } from './drizzle.ts'

const person = sqliteTable('person', {
  id: integer('id').primaryKey(),
  name: text('name').notNull().unique(),
  active: integer('active', { mode: 'boolean' }).notNull().default(true),
  born: integer('born', { mode: 'timestamp_ms' }),
  photo: blob('photo', { mode: 'buffer' }),
  tags: text('tags', { mode: 'json' }).$type<string[]>(),
})
const pet = sqliteTable('pet', {
  id: integer('id').primaryKey(),
  owner: integer('owner').references(() => person.id, { onDelete: 'cascade' }),
  name: text('name'),
})
const schema = {
  person,
  pet,
  personRelations: relations(person, ({ many }) => ({ pets: many(pet) })),
  petRelations: relations(pet, ({ one }) => ({
    owner: one(person, { fields: [pet.owner], references: [person.id] }),
  })),
}

/** As drizzle-kit writes them. */
const FIRST = `CREATE TABLE \`person\` (
  \`id\` integer PRIMARY KEY NOT NULL, \`name\` text NOT NULL, \`active\` integer DEFAULT true NOT NULL,
  \`born\` integer, \`photo\` blob, \`tags\` text
);
--> statement-breakpoint
CREATE TABLE \`pet\` (
  \`id\` integer PRIMARY KEY NOT NULL, \`owner\` integer, \`name\` text,
  FOREIGN KEY (\`owner\`) REFERENCES \`person\`(\`id\`) ON UPDATE no action ON DELETE cascade
);`
const REBUILD = `PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE \`__new_person\` (
  \`id\` integer PRIMARY KEY NOT NULL, \`name\` text NOT NULL UNIQUE, \`active\` integer DEFAULT true NOT NULL,
  \`born\` integer, \`photo\` blob, \`tags\` text
);
--> statement-breakpoint
INSERT INTO \`__new_person\`("id", "name", "active", "born", "photo", "tags")
  SELECT "id", "name", "active", "born", "photo", "tags" FROM \`person\`;--> statement-breakpoint
DROP TABLE \`person\`;--> statement-breakpoint
ALTER TABLE \`__new_person\` RENAME TO \`person\`;--> statement-breakpoint
PRAGMA foreign_keys=ON;`

const folder = mkdtempSync(join(tmpdir(), 'quorate-drizzle-'))
const migrationsFolder = join(folder, 'migrations')
let database: Database

before(async () => {
  database = await open(join(folder, 'd.db'), { name: 'a' })
})

after(async () => {
  await database.close()
  rmSync(folder, { recursive: true })
})

function writeMigrations(...texts: readonly string[]): void {
  mkdirSync(join(migrationsFolder, 'meta'), { recursive: true })
  const entries = texts.map((_, idx) => ({
    ...{ idx, version: '6', when: 1_700_000_000_000 + idx, tag: `000${idx}`, breakpoints: true },
  }))
  const journal = { version: '7', dialect: 'sqlite', entries }
  writeFileSync(join(migrationsFolder, 'meta/_journal.json'), JSON.stringify(journal))
  for (const [idx, each] of texts.entries()) {
    writeFileSync(join(migrationsFolder, `000${idx}.sql`), each)
  }
}

test('migrations of a folder are applied once, and a rebuilt table keeps its children', async () => {
  const orm = drizzle(database, { schema })
  writeMigrations(FIRST)
  await migrate(orm, { migrationsFolder })
  await migrate(orm, { migrationsFolder })
  await orm.insert(person).values({ id: 1, name: 'Ada' })
  await orm.insert(pet).values({ owner: 1, name: 'Rex' })
  writeMigrations(FIRST, REBUILD)
  await migrate(orm, { migrationsFolder })
  deepEqual(await orm.select({ name: pet.name }).from(pet), [{ name: 'Rex' }])
  await rejects(async () => orm.insert(person).values({ name: 'Ada' }), constraint)
  writeMigrations(
    FIRST,
    REBUILD,
    'CREATE TABLE a (id integer primary key);--> statement-breakpoint\nno',
  )
  await rejects(migrate(orm, { migrationsFolder }), QuorateError)
  deepEqual(await database.query("select name from sqlite_schema where name = 'a'"), [])
})

/** Drizzle wraps what a query threw. */
function constraint(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : null
  return cause instanceof QuorateError && cause.code === 'SQL_CONSTRAINT'
}

async function emptied(db: Db): Promise<QuorateDatabase<typeof schema>> {
  const orm = drizzle(db, { schema })
  await orm.delete(pet)
  await orm.delete(person)
  return orm
}

for (const kind of ['embedded', 'remote'] as const) {
  const opened = (t: { after(fn: () => Promise<void>): void }): Db => {
    if (kind === 'embedded') return database
    const db = connect(database.url)
    t.after(() => db.close())
    return db
  }

  test(`${kind}: what goes in comes out, typed by the schema`, async (t) => {
    const orm = await emptied(opened(t))
    const born = new Date(1_000_000_000_000)
    const ada = { id: 7, name: 'Ada', active: false, born, photo: Buffer.from([0, 9]), tags: ['x'] }
    const { changes, lastInsertRowid } = await orm.insert(person).values(ada)
    deepEqual([changes, lastInsertRowid], [1, 7])
    const [found] = await orm.select().from(person).where(eq(person.id, 7))
    deepEqual(found, ada)
    const [returned] = await orm.insert(pet).values({ owner: 7, name: 'Rex' }).returning()
    equal(returned?.owner, 7)
    const nested = await orm.query.person.findFirst({ with: { pets: true } })
    deepEqual(
      nested?.pets.map(({ name }) => name),
      ['Rex'],
    )
    equal(await orm.query.person.findFirst({ where: eq(person.id, 8) }), undefined)
    equal(await orm.$count(person), 1)
    deepEqual(await orm.all(sql`select id, name from person`), [{ id: 7, name: 'Ada' }])
    deepEqual(await orm.get(sql`select name from person`), { name: 'Ada' })
    deepEqual(await orm.values(sql`select id, name from person`), [[7, 'Ada']])
    await rejects(async () => orm.insert(person).values({ name: 'Ada' }), constraint)
  })

  test(`${kind}: transactions, nested ones, and batches`, async (t) => {
    const orm = await emptied(opened(t))
    const value = await orm.transaction(async (tx) => {
      await tx.insert(person).values({ name: 'kept' })
      const undone = tx.transaction(async (inner) => {
        await inner.insert(person).values({ name: 'undone' })
        inner.rollback()
      })
      await rejects(undone)
      return (await tx.select().from(person)).length
    })
    equal(value, 1)
    const failing = orm.transaction(async (tx) => {
      await tx.delete(person)
      throw new Error('changed my mind')
    })
    await rejects(failing, /^Error: changed my mind$/)
    const [inserted, all, raw] = await orm.batch([
      orm.insert(person).values({ name: 'b' }),
      orm.select({ name: person.name }).from(person).orderBy(person.name),
      orm.all(sql`select count(*) as n from person`),
    ])
    equal(inserted.changes, 1)
    deepEqual(all, [{ name: 'b' }, { name: 'kept' }])
    deepEqual(raw, [{ n: 2 }])
    const broken = orm.batch([orm.delete(person), orm.run(sql`insert into nowhere values (1)`)])
    await rejects(broken, QuorateError)
    equal(await orm.$count(person), 2)
    const writing = orm.transaction((tx) => tx.delete(person), { mode: 'read', retries: 1 })
    await rejects(
      writing,
      (error) => error instanceof Error && /read-only/.test(String(error.cause)),
    )
    equal(await orm.transaction((tx) => tx.$count(person), { mode: 'read' }), 2)
  })

  test(`${kind}: a prepared query takes its values when it runs`, async (t) => {
    const orm = await emptied(opened(t))
    await orm.insert(person).values([{ name: 'a' }, { name: 'b' }])
    const byName = orm
      .select({ name: person.name })
      .from(person)
      .where(eq(person.name, sql.placeholder('name')))
      .prepare()
    deepEqual(await byName.all({ name: 'b' }), [{ name: 'b' }])
    ok((await byName.get({ name: 'c' })) === undefined)
  })
}
