/**
 * Prisma with @prisma/adapter-libsql: a shop. Prisma's own tool for migrations speaks to files only,
 * so its scripts are applied with the client, in order and once, as Prisma's guide to libSQL tells.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createClient, LibsqlError } from '@libsql/client'
import { PrismaLibSql } from '@prisma/adapter-libsql'
import { Prisma, PrismaClient } from '../generated/prisma/client.ts'
import { brokenConnection, retrying, runProgram, type Work } from './harness.ts'

const MIGRATIONS = fileURLToPath(new URL('prisma/migrations', import.meta.url))

const RETRYABLE =
  /\b(SQLITE_BUSY|TRANSACTION_CLOSED|TRANSACTION_TIMEOUT|STREAM_EXPIRED|UNKNOWN_OUTCOME|SERVER_ERROR|HRANA_WEBSOCKET_ERROR|HRANA_CLOSED_ERROR|fetch failed)\b/

/**
 * Prisma's own codes for "try the transaction again", and what its adapter passes on in words: it
 * knows libSQL's codes of local files only.
 */
function reasonToRetry(error: unknown): string | null {
  const broken = brokenConnection(error)
  if (broken !== null) return broken
  if (!(error instanceof Error)) return null
  if (error instanceof Prisma.PrismaClientKnownRequestError) {
    if (['P2028', 'P2034', 'P1008'].includes(error.code)) return error.code
  }
  const cause = error.cause instanceof Error ? error.cause.message : ''
  const meta = 'meta' in error ? JSON.stringify(error.meta) : ''
  return RETRYABLE.exec(`${error.message} ${cause} ${meta}`)?.[1] ?? null
}

function connect(url: string): PrismaClient {
  return new PrismaClient({ adapter: new PrismaLibSql({ url }) })
}

async function migrate(url: string): Promise<void> {
  const db = createClient({ url })
  try {
    await db.execute('create table if not exists _prisma_done (name text primary key not null)')
    for (const name of readdirSync(MIGRATIONS).sort()) {
      const sql = 'select 1 from _prisma_done where name = ?'
      const { rows } = await db.execute({ sql, args: [name] })
      if (rows.length > 0) continue
      await db.executeMultiple(readFileSync(`${MIGRATIONS}/${name}/migration.sql`, 'utf8'))
      await db.execute({ sql: 'insert into _prisma_done values (?)', args: [name] })
    }
  } catch (error) {
    // Another instance of the application was faster: its tables are the same.
    if (!(error instanceof LibsqlError && /already exists/.test(error.message))) throw error
  } finally {
    db.close()
  }
}

async function check(url: string): Promise<void> {
  await migrate(url)
  await migrate(url)
  const db = connect(url)
  await db.customer.deleteMany()
  await db.product.deleteMany()
  await columns(db)
  await relations(db)
  await transactions(db)
  await paging(db)
  await constraints(db)
  await manyAtOnce(db)
  await db.$disconnect()
}

async function columns(db: PrismaClient): Promise<void> {
  const picture = Uint8Array.from([0, 127, 128, 255])
  const data = { sku: 'tea', stock: 100, sold: 2n ** 52n, weight: 0.125, picture }
  const tea = await db.product.create({ data: { ...data, size: 'LARGE' } })
  deepEqual({ ...tea, picture: Uint8Array.from(tea.picture ?? []) }, { ...data, size: 'LARGE' })
  const before = Date.now()
  const ada = await db.customer.create({
    data: { email: 'ada@example.com', balance: '12.50', notes: { likes: ['tea', null, 1.5] } },
  })
  ok(ada.createdAt.getTime() > before - 60_000 && ada.updatedAt instanceof Date)
  deepEqual([ada.loyal, ada.name, ada.notes], [false, null, { likes: ['tea', null, 1.5] }])
  ok(ada.balance.equals(12.5))
  const read = await db.customer.findUniqueOrThrow({ where: { email: 'ada@example.com' } })
  deepEqual(read, ada)
  const found = await db.customer.findMany({ where: { createdAt: { lte: ada.createdAt } } })
  equal(found.length, 1)
}

async function relations(db: PrismaClient): Promise<void> {
  const order = await db.order.create({
    data: {
      number: 1,
      customer: { connect: { email: 'ada@example.com' } },
      lines: {
        create: [
          { product: { connect: { sku: 'tea' } }, quantity: 2 },
          { product: { create: { sku: 'mug', stock: 5 } }, quantity: 1 },
        ],
      },
    },
    include: { lines: { include: { product: true }, orderBy: { sku: 'asc' } }, customer: true },
  })
  equal(order.customer.email, 'ada@example.com')
  deepEqual(
    order.lines.map(({ quantity, product }) => [product.sku, product.size, quantity]),
    [
      ['mug', 'SMALL', 1],
      ['tea', 'LARGE', 2],
    ],
  )
  const nested = await db.customer.findMany({
    where: { orders: { some: { lines: { some: { quantity: { gt: 1 } } } } } },
    select: { email: true, _count: { select: { orders: true } } },
  })
  deepEqual(nested, [{ email: 'ada@example.com', _count: { orders: 1 } }])
  const sums = await db.orderLine.groupBy({
    by: ['sku'],
    _sum: { quantity: true },
    orderBy: { sku: 'asc' },
  })
  deepEqual(
    sums.map(({ sku, _sum }) => [sku, _sum.quantity]),
    [
      ['mug', 1],
      ['tea', 2],
    ],
  )
  const raw = await db.$queryRaw<
    { n: bigint }[]
  >`select count(*) as n from shop_orders where number = ${1}`
  equal(Number(raw[0]?.n), 1)
}

async function transactions(db: PrismaClient): Promise<void> {
  const [grace, total] = await db.$transaction([
    db.customer.create({ data: { email: 'grace@example.com' } }),
    db.customer.count(),
  ])
  deepEqual([grace.email, total], ['grace@example.com', 2])
  const failing = db.$transaction(async (tx) => {
    await tx.product.update({ where: { sku: 'tea' }, data: { stock: { decrement: 1000 } } })
    const tea = await tx.product.findUniqueOrThrow({ where: { sku: 'tea' } })
    if (tea.stock < 0) throw new Error('sold out')
  })
  await rejects(failing, /sold out/)
  equal((await db.product.findUniqueOrThrow({ where: { sku: 'tea' } })).stock, 100)
  await db.$transaction(async (tx) => {
    await tx.customer.upsert({
      where: { email: 'grace@example.com' },
      create: { email: 'grace@example.com' },
      update: { loyal: true, balance: { increment: 3 } },
    })
    await tx.customer.updateMany({ data: { name: 'someone' } })
  })
  const after = await db.customer.findUniqueOrThrow({ where: { email: 'grace@example.com' } })
  deepEqual([after.loyal, after.name, after.balance.toString()], [true, 'someone', '3'])
}

async function paging(db: PrismaClient): Promise<void> {
  const names = Array.from({ length: 40 }, (_, at) => `page${String(at).padStart(2, '0')}`)
  await db.product.createMany({ data: names.map((sku) => ({ sku })) })
  const seen: string[] = []
  for (;;) {
    const last = seen.at(-1)
    const page = await db.product.findMany({
      where: { sku: { startsWith: 'page' } },
      orderBy: { sku: 'asc' },
      take: 12,
      ...(last === undefined ? {} : { skip: 1, cursor: { sku: last } }),
    })
    if (page.length === 0) break
    seen.push(...page.map(({ sku }) => sku))
  }
  deepEqual(seen, names)
}

/** Over a network libSQL tells no extended codes, so Prisma can't tell which constraint it was. */
async function constraints(db: PrismaClient): Promise<void> {
  await rejects(
    db.customer.create({ data: { email: 'ada@example.com' } }),
    /SQLITE_CONSTRAINT|P2002/,
  )
  const orphan = db.order.create({ data: { number: 1, customerId: 999_999 } })
  await rejects(orphan, /SQLITE_CONSTRAINT|P2003/)
  await rejects(db.product.delete({ where: { sku: 'tea' } }), /SQLITE_CONSTRAINT|P2003/)
  await rejects(db.product.update({ where: { sku: 'nothing' }, data: { stock: 1 } }), {
    code: 'P2025',
  })
  await db.customer.delete({ where: { email: 'ada@example.com' } })
  deepEqual([await db.order.count(), await db.orderLine.count()], [0, 0])
}

async function manyAtOnce(db: PrismaClient): Promise<void> {
  const sell = (): Promise<unknown> =>
    db.product.update({
      where: { sku: 'tea', stock: { gt: 0 } },
      data: { stock: { decrement: 1 }, sold: { increment: 1 } },
    })
  await Promise.all(Array.from({ length: 25 }, sell))
  const tea = await db.product.findUniqueOrThrow({ where: { sku: 'tea' } })
  deepEqual([tea.stock, tea.sold], [75, 2n ** 52n + 25n])
}

const STOCK = 1_000_000

/** Each run has a customer and two products; an order takes one of each from stock. */
async function open(url: string, run: string): Promise<Work> {
  const db = connect(url)
  await retrying(() => migrate(url), reasonToRetry)
  const skus = [`${run}/a`, `${run}/b`] as const
  const customer = await retrying(async () => {
    for (const sku of skus) {
      await db.product.upsert({ where: { sku }, create: { sku, stock: STOCK }, update: {} })
    }
    return db.customer.upsert({ where: { email: run }, create: { email: run }, update: {} })
  }, reasonToRetry)
  return {
    lanes: 3,
    step: (number) => retrying(() => order(db, customer.id, skus, number), reasonToRetry),
    done: () => retrying(() => audit(db, customer.id, skus), reasonToRetry),
    close: () => db.$disconnect(),
  }
}

async function order(
  db: PrismaClient,
  customerId: number,
  skus: readonly string[],
  number: number,
): Promise<void> {
  const patience = { maxWait: 10_000, timeout: 10_000 }
  await db.$transaction(async (tx) => {
    // Had an earlier attempt succeeded after all, its order would be here.
    if ((await tx.order.count({ where: { customerId, number } })) > 0) return
    const lines = { create: skus.map((sku) => ({ sku, quantity: 1 })) }
    await tx.order.create({ data: { customerId, number, lines } })
    for (const sku of skus) {
      await tx.product.update({ where: { sku }, data: { stock: { decrement: 1 } } })
    }
  }, patience)
}

async function audit(
  db: PrismaClient,
  customerId: number,
  skus: readonly string[],
): Promise<number[]> {
  const orders = await db.order.findMany({ where: { customerId }, include: { lines: true } })
  for (const each of orders) equal(each.lines.length, skus.length)
  for (const sku of skus) {
    const product = await db.product.findUniqueOrThrow({ where: { sku } })
    equal(product.stock, STOCK - orders.length)
  }
  return orders.map(({ number }) => number)
}

await runProgram({ check, open })
