/**
 * Knex with @libsql/knex-libsql: a help desk. Knex's own migrations, one of which rebuilds a table,
 * its pool of one connection, transactions with savepoints.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import LibsqlDialect from '@libsql/knex-libsql'
import createKnex, { type Knex } from 'knex'
import { retrying, runProgram, type Work } from './harness.ts'

const MIGRATIONS: Record<string, Knex.Migration> = {
  '001_create': {
    async up(db) {
      await db.schema.createTable('desk_agents', (table) => {
        table.increments('id')
        table.string('name', 100).notNullable().unique()
        table.boolean('on_duty').notNullable().defaultTo(true)
        table.timestamps(true, true)
      })
      await db.schema.createTable('desk_tickets', (table) => {
        table.increments('id')
        table.integer('agent_id').notNullable().references('desk_agents.id').onDelete('CASCADE')
        table.integer('number').notNullable()
        table.text('subject').notNullable()
        table.json('labels')
        table.binary('attachment')
        table.decimal('hours', 8, 2)
        table.unique(['agent_id', 'number'])
      })
    },
    async down(db) {
      await db.schema.dropTable('desk_tickets').dropTable('desk_agents')
    },
  },
  '002_change': {
    async up(db) {
      await db.schema.alterTable('desk_tickets', (table) => {
        table.string('state').notNullable().defaultTo('open')
        table.dropColumn('hours')
      })
      await db.schema.alterTable('desk_tickets', (table) => {
        table.string('subject', 300).nullable().alter()
        table.index(['agent_id', 'state'], 'desk_tickets_by_state')
        table.renameColumn('attachment', 'screenshot')
      })
      await db.schema.createTable('desk_counts', (table) => {
        table.integer('agent_id').primary().references('desk_agents.id').onDelete('CASCADE')
        table.integer('closed').notNullable().defaultTo(0)
      })
    },
    async down(db) {
      await db.schema.dropTable('desk_counts')
    },
  },
}

const migrationSource: Knex.MigrationSource<string> = {
  getMigrations: () => Promise.resolve(Object.keys(MIGRATIONS)),
  getMigrationName: (name) => name,
  getMigration: async (name) => {
    const migration = MIGRATIONS[name]
    ok(migration)
    return migration
  },
}

/**
 * A connection of the pool is a stream of the server, which ends one that nobody uses for ten
 * seconds: the pool must let go of it sooner.
 */
function connect(url: string): Knex {
  return createKnex({
    client: LibsqlDialect,
    connection: { filename: url },
    useNullAsDefault: true,
    pool: { min: 0, max: 1, idleTimeoutMillis: 5_000 },
  })
}

const RETRYABLE: ReadonlySet<string> = new Set([
  ...['SQLITE_BUSY', 'TRANSACTION_CLOSED', 'TRANSACTION_TIMEOUT', 'STREAM_EXPIRED'],
  'UNKNOWN_OUTCOME',
])

/** The old Hrana client of this dialect gives names only to what happens to a connection. */
const CONNECTION_ERRORS: ReadonlySet<string> = new Set([
  ...['HttpServerError', 'ClosedError', 'WebSocketError', 'FetchError'],
])

function reasonToRetry(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if ('code' in error && RETRYABLE.has(String(error.code))) return String(error.code)
  return isConnectionError(error) ? error.constructor.name : null
}

function isConnectionError(error: unknown): boolean {
  return error instanceof Error && CONNECTION_ERRORS.has(error.constructor.name)
}

async function check(url: string): Promise<void> {
  const db = connect(url)
  await db.migrate.latest({ migrationSource })
  await db.migrate.latest({ migrationSource })
  await db('desk_agents').del()
  await schema(db)
  await queries(db)
  await transactions(db)
  await paging(db)
  await constraints(db)
  await db.destroy()
}

async function schema(db: Knex): Promise<void> {
  ok(await db.schema.hasTable('desk_tickets'))
  equal(await db.schema.hasColumn('desk_tickets', 'hours'), false)
  const columns = await db('desk_tickets').columnInfo()
  deepEqual(
    ['subject', 'screenshot', 'state'].map((name) => columns[name]?.nullable),
    [true, true, false],
  )
}

async function queries(db: Knex): Promise<void> {
  const [ada] = await db('desk_agents').insert({ name: 'Ada' })
  equal(typeof ada, 'number')
  const screenshot = Buffer.from([0, 200, 255])
  const labels = JSON.stringify(['urgent', 'ž'])
  const [ticket] = await db('desk_tickets')
    .insert({ agent_id: ada, number: 1, subject: 'It hums', labels, screenshot })
    .returning(['id', 'state'])
  equal(ticket?.state, 'open')
  const row = await db('desk_tickets').where({ id: ticket?.id }).first()
  deepEqual([row?.subject, JSON.parse(row?.labels)], ['It hums', ['urgent', 'ž']])
  deepEqual(Buffer.from(row?.screenshot), screenshot)
  const joined = await db('desk_tickets as t')
    .join('desk_agents as a', 'a.id', 't.agent_id')
    .select('a.name', 't.number', db.raw("t.labels ->> '$[0]' as label"))
    .whereIn('t.number', [1, 2])
  deepEqual(
    joined.map((each) => ({ ...each })),
    [{ name: 'Ada', number: 1, label: 'urgent' }],
  )
  equal(await db('desk_tickets').where('state', 'open').update({ state: 'closed' }), 1)
  await db('desk_counts').insert({ agent_id: ada, closed: 1 })
  await db('desk_counts')
    .insert({ agent_id: ada, closed: 1 })
    .onConflict('agent_id')
    .merge({ closed: db.raw('closed + 1') })
  deepEqual(await db('desk_counts').pluck('closed'), [2])
  equal(await db('desk_tickets').where('number', 99).del(), 0)
}

async function transactions(db: Knex): Promise<void> {
  await db.transaction(async (tx) => {
    await tx('desk_agents').insert({ name: 'Grace' })
    const nested = tx.transaction(async (inner) => {
      await inner('desk_agents').del()
      throw new Error('changed my mind')
    })
    await rejects(nested, /changed my mind/)
    await tx('desk_agents').where({ name: 'Grace' }).update({ on_duty: false })
  })
  const failing = db.transaction(async (tx) => {
    await tx('desk_agents').del()
    await tx('desk_agents').insert({ name: null })
  })
  await rejects(failing, { code: 'SQLITE_CONSTRAINT' })
  deepEqual(await db('desk_agents').orderBy('name').pluck('name'), ['Ada', 'Grace'])
}

async function paging(db: Knex): Promise<void> {
  const [agent] = await db('desk_agents').where({ name: 'Grace' }).pluck('id')
  const numbers = Array.from({ length: 120 }, (_, at) => at + 1)
  const rows = numbers.map((number) => ({ agent_id: agent, number, subject: `page ${number}` }))
  await db.batchInsert('desk_tickets', rows, 50)
  const seen: number[] = []
  for (let offset = 0; offset < 120; offset += 50) {
    const page = db('desk_tickets').where({ agent_id: agent }).orderBy('number')
    seen.push(...(await page.limit(50).offset(offset).pluck('number')))
  }
  deepEqual(seen, numbers)
  const count = await db('desk_tickets').where({ agent_id: agent }).count({ n: '*' }).first()
  equal(count?.['n'], 120)
}

async function constraints(db: Knex): Promise<void> {
  const isConstraint = { code: 'SQLITE_CONSTRAINT' }
  await rejects(async () => db('desk_agents').insert({ name: 'Ada' }), isConstraint)
  const orphan = { agent_id: 98_765, number: 1, subject: 'x' }
  await rejects(async () => db('desk_tickets').insert(orphan), isConstraint)
  await rejects(async () => db('nowhere').select(), { code: 'SQLITE_ERROR' })
  await db('desk_agents').del()
  equal((await db('desk_tickets').count({ n: '*' }).first())?.['n'], 0)
}

/** Each run has an agent; a piece of work is a ticket with a count of tickets. */
async function open(url: string, run: string): Promise<Work> {
  const db = connect(url)
  const attempt = <T>(action: () => Promise<T>): Promise<T> =>
    retrying(async () => {
      try {
        return await action()
      } catch (error) {
        // The pool would keep a broken connection for ever.
        if (isConnectionError(error)) await db.destroy().then(() => db.initialize())
        throw error
      }
    }, reasonToRetry)
  await attempt(async () => {
    await db.migrate.latest({ migrationSource })
  })
  const agent = await attempt(async () => {
    await db('desk_agents').insert({ name: run }).onConflict().ignore()
    const [id] = await db('desk_agents').where({ name: run }).pluck('id')
    await db('desk_counts').insert({ agent_id: id }).onConflict().ignore()
    return Number(id)
  })
  return {
    lanes: 1,
    step: (number) => attempt(() => close(db, agent, number)),
    done: () => attempt(() => audit(db, agent)),
    close: () => db.destroy(),
  }
}

async function close(db: Knex, agent: number, number: number): Promise<void> {
  await db.transaction(async (tx) => {
    // Had an earlier attempt succeeded after all, its ticket would be here.
    if ((await tx('desk_tickets').where({ agent_id: agent, number }).first()) !== undefined) return
    await tx('desk_tickets').insert({ agent_id: agent, number, subject: 'work', state: 'closed' })
    await tx('desk_counts').where({ agent_id: agent }).increment('closed', 1)
  })
}

async function audit(db: Knex, agent: number): Promise<number[]> {
  const numbers: number[] = await db('desk_tickets').where({ agent_id: agent }).pluck('number')
  deepEqual(await db('desk_counts').where({ agent_id: agent }).pluck('closed'), [numbers.length])
  return numbers
}

await runProgram({ check, open })
