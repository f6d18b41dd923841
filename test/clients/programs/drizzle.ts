/**
 * drizzle-orm/libsql: a blog. Migrations as drizzle-kit writes them (one rebuilds a table), typed
 * columns (JSON, dates, booleans, blobs, bigints), relational queries, transactions, batches.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { createClient, LibsqlError } from '@libsql/client'
import { and, count, DrizzleQueryError, desc, eq, gt, like, relations, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/libsql'
import { migrate } from 'drizzle-orm/libsql/migrator'
import { blob, integer, primaryKey, real, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import { brokenConnection, retrying, runProgram, type Work } from './harness.ts'

const MIGRATIONS = fileURLToPath(new URL('drizzle', import.meta.url))

const authors = sqliteTable('blog_authors', {
  id: integer().primaryKey({ autoIncrement: true }),
  handle: text().notNull().unique(),
  profile: text({ mode: 'json' }).$type<{ links?: string[] }>().notNull().default({}),
  joined: integer({ mode: 'timestamp_ms' })
    .notNull()
    .$defaultFn(() => new Date()),
  active: integer({ mode: 'boolean' }).notNull().default(true),
})

const posts = sqliteTable('blog_posts', {
  id: integer().primaryKey({ autoIncrement: true }),
  authorId: integer('author_id')
    .notNull()
    .references(() => authors.id, { onDelete: 'cascade' }),
  title: text({ length: 200 }).notNull(),
  cover: blob({ mode: 'buffer' }),
  views: blob({ mode: 'bigint' }).notNull().default(0n),
  status: text({ enum: ['draft', 'published'] })
    .notNull()
    .default('draft'),
})

const tags = sqliteTable(
  'blog_tags',
  {
    postId: integer('post_id')
      .notNull()
      .references(() => posts.id, { onDelete: 'cascade' }),
    tag: text().notNull(),
    weight: real().notNull().default(1),
  },
  (table) => [primaryKey({ columns: [table.postId, table.tag] })],
)

const schema = {
  ...{ authors, posts, tags },
  authorRelations: relations(authors, ({ many }) => ({ posts: many(posts) })),
  postRelations: relations(posts, ({ one, many }) => ({
    author: one(authors, { fields: [posts.authorId], references: [authors.id] }),
    tags: many(tags),
  })),
  tagRelations: relations(tags, ({ one }) => ({
    post: one(posts, { fields: [tags.postId], references: [posts.id] }),
  })),
}

function connect(url: string) {
  return drizzle({ client: createClient({ url }), schema })
}
type Blog = ReturnType<typeof connect>

const RETRYABLE: ReadonlySet<string> = new Set([
  ...['SQLITE_BUSY', 'TRANSACTION_CLOSED', 'TRANSACTION_TIMEOUT', 'STREAM_EXPIRED'],
  'UNKNOWN_OUTCOME',
  ...['SERVER_ERROR', 'HRANA_WEBSOCKET_ERROR', 'HRANA_CLOSED_ERROR'],
])

/** Drizzle wraps what its driver throws. */
function reasonToRetry(error: unknown): string | null {
  const cause = error instanceof DrizzleQueryError ? error.cause : error
  if (cause instanceof LibsqlError) return RETRYABLE.has(cause.code) ? cause.code : null
  return brokenConnection(cause)
}

async function check(url: string): Promise<void> {
  const db = connect(url)
  await migrate(db, { migrationsFolder: MIGRATIONS })
  await migrate(db, { migrationsFolder: MIGRATIONS })
  await db.delete(authors)
  await columns(db)
  await relational(db)
  await transactions(db)
  await batches(db)
  await paging(db)
  await constraints(db)
  db.$client.close()
}

async function columns(db: Blog): Promise<void> {
  const joined = new Date('2024-02-29T12:00:00.123Z')
  const [ada] = await db
    .insert(authors)
    .values({ handle: 'ada', profile: { links: ['https://a.example/?q="1"'] }, joined })
    .returning()
  deepEqual(ada, {
    id: ada?.id ?? 0,
    handle: 'ada',
    profile: { links: ['https://a.example/?q="1"'] },
    joined,
    active: true,
  })
  const cover = Buffer.from([0, 1, 254, 255])
  const views = 2n ** 62n
  const authorId = ada?.id ?? 0
  const result = await db.insert(posts).values({ authorId, title: 'Notes', cover, views })
  equal(result.rowsAffected, 1)
  const [post] = await db.select().from(posts).where(eq(posts.authorId, authorId))
  deepEqual([post?.cover, post?.views, post?.status], [cover, views, 'draft'])
  const raw = await db.get<{ n: number }>(sql`select count(*) as n from ${posts}`)
  equal(raw.n, 1)
}

async function relational(db: Blog): Promise<void> {
  const ada = await db.query.authors.findFirst({ where: eq(authors.handle, 'ada') })
  const [post] = await db
    .insert(posts)
    .values({ authorId: ada?.id ?? 0, title: 'Engines', status: 'published' })
    .returning({ id: posts.id })
  const postId = post?.id ?? 0
  await db.insert(tags).values([
    { postId, tag: 'maths' },
    { postId, tag: 'looms', weight: 0.25 },
  ])
  const found = await db.query.authors.findMany({
    columns: { handle: true },
    with: {
      posts: {
        columns: { title: true, status: true },
        orderBy: desc(posts.id),
        with: { tags: { columns: { tag: true, weight: true } } },
      },
    },
  })
  deepEqual(found, [
    {
      handle: 'ada',
      posts: [
        {
          title: 'Engines',
          status: 'published',
          tags: [
            { tag: 'looms', weight: 0.25 },
            { tag: 'maths', weight: 1 },
          ],
        },
        { title: 'Notes', status: 'draft', tags: [] },
      ],
    },
  ])
  const joined = await db
    .select({ tag: tags.tag, handle: authors.handle })
    .from(tags)
    .innerJoin(posts, eq(tags.postId, posts.id))
    .innerJoin(authors, eq(posts.authorId, authors.id))
    .where(and(like(tags.tag, 'm%'), gt(tags.weight, 0.5)))
  deepEqual(joined, [{ tag: 'maths', handle: 'ada' }])
}

async function transactions(db: Blog): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.insert(authors).values({ handle: 'grace' })
    const nested = tx.transaction(async (inner) => {
      await inner.insert(authors).values({ handle: 'lost' })
      inner.rollback()
    })
    await rejects(nested)
    await tx.update(authors).set({ active: false }).where(eq(authors.handle, 'grace'))
  })
  const failing = db.transaction(async (tx) => {
    await tx.delete(authors)
    throw new Error('changed my mind')
  })
  await rejects(failing, /changed my mind/)
  deepEqual(await db.select({ handle: authors.handle }).from(authors).orderBy(authors.handle), [
    { handle: 'ada' },
    { handle: 'grace' },
  ])
}

async function batches(db: Blog): Promise<void> {
  const [inserted, total] = await db.batch([
    db.insert(authors).values({ handle: 'joan' }).returning({ handle: authors.handle }),
    db.select({ n: count() }).from(authors),
    db.delete(authors).where(eq(authors.handle, 'joan')),
  ])
  deepEqual([inserted, total], [[{ handle: 'joan' }], [{ n: 3 }]])
  const upserts = Array.from({ length: 20 }, () =>
    db
      .insert(authors)
      .values({ handle: 'upsert', joined: new Date(0) })
      .onConflictDoUpdate({
        target: authors.handle,
        set: { joined: sql`${authors.joined} + 1` },
      }),
  )
  await Promise.all(upserts)
  const upsert = await db.query.authors.findFirst({ where: eq(authors.handle, 'upsert') })
  equal(upsert?.joined.getTime(), 19)
}

async function paging(db: Blog): Promise<void> {
  const ada = await db.query.authors.findFirst({ where: eq(authors.handle, 'ada') })
  const authorId = ada?.id ?? 0
  const titles = Array.from({ length: 50 }, (_, at) => `Page ${String(at).padStart(2, '0')}`)
  await db.insert(posts).values(titles.map((title) => ({ authorId, title })))
  const isPage = like(posts.title, 'Page %')
  const page = db
    .select({ title: posts.title })
    .from(posts)
    .where(isPage)
    .orderBy(posts.title)
    .limit(sql.placeholder('limit'))
    .offset(sql.placeholder('offset'))
    .prepare()
  const seen: string[] = []
  for (let offset = 0; offset < 50; offset += 15) {
    seen.push(...(await page.all({ limit: 15, offset })).map(({ title }) => title))
  }
  deepEqual(seen, titles)
  equal(await db.$count(posts, isPage), 50)
}

async function constraints(db: Blog): Promise<void> {
  const isConstraint = (error: unknown): boolean => {
    ok(error instanceof DrizzleQueryError && error.cause instanceof LibsqlError, String(error))
    equal(error.cause.code, 'SQLITE_CONSTRAINT')
    return true
  }
  await rejects(db.insert(authors).values({ handle: 'ada' }), isConstraint)
  await rejects(db.insert(posts).values({ authorId: 123_456, title: 'orphan' }), isConstraint)
  await rejects(db.update(posts).set({ title: '' }), isConstraint)
  await db.delete(authors).where(eq(authors.handle, 'ada'))
  deepEqual([await db.$count(posts), await db.$count(tags)], [0, 0])
}

/** One author a run; each piece of work is a post with two tags, or nothing. */
async function open(url: string, run: string): Promise<Work> {
  const db = connect(url)
  await retrying(() => migrate(db, { migrationsFolder: MIGRATIONS }), reasonToRetry)
  const author = { handle: run }
  await retrying(
    async () => void (await db.insert(authors).values(author).onConflictDoNothing()),
    reasonToRetry,
  )
  const own = await retrying(
    () => db.query.authors.findFirst({ where: eq(authors.handle, run) }),
    reasonToRetry,
  )
  const authorId = own?.id ?? 0
  return {
    lanes: 3,
    step: (number) => retrying(() => publish(db, authorId, number), reasonToRetry),
    done: () => retrying(() => published(db, authorId), reasonToRetry),
    close: () => db.$client.close(),
  }
}

async function publish(db: Blog, authorId: number, number: number): Promise<void> {
  await db.transaction(async (tx) => {
    const title = `${number}`
    // Had an earlier attempt succeeded after all, its post would be here.
    const mine = and(eq(posts.authorId, authorId), eq(posts.title, title))
    if ((await tx.$count(posts, mine)) > 0) return
    const [post] = await tx.insert(posts).values({ authorId, title }).returning({ id: posts.id })
    const postId = post?.id ?? 0
    await tx.insert(tags).values({ postId, tag: 'a' })
    await tx.insert(tags).values({ postId, tag: 'b' })
    await tx.update(posts).set({ status: 'published' }).where(eq(posts.id, postId))
  })
}

async function published(db: Blog, authorId: number): Promise<number[]> {
  const found = await db.query.posts.findMany({
    where: eq(posts.authorId, authorId),
    with: { tags: true },
  })
  for (const post of found) deepEqual([post.status, post.tags.length], ['published', 2])
  return found.map(({ title }) => Number(title))
}

await runProgram({ check, open })
