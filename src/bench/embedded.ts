/**
 * The benchmark's application with Quorate inside: a process that opens the database, and runs what
 * its parent asks for over the channel between them. Started by bench.ts only.
 */
import { type OpenOptions, open } from '../index.ts'
import type { AckLevel } from '../model/request.ts'
import { busyLoop, closedLoop, type Rate } from './measure.ts'
import { fillTable, type KeyShare, POINT_READ, randomKey, UPSERT, upsertArgs } from './workload.ts'

/** What the parent may ask for, one at a time. */
export type Task =
  | { readonly kind: 'fill' }
  | {
      readonly kind: 'writes'
      readonly clients: number
      readonly seconds: number
      readonly ack: AckLevel
      readonly share?: KeyShare
    }
  | { readonly kind: 'localReads'; readonly seconds: number }
  | { readonly kind: 'stop' }

/** What it answers; `open` comes by itself once the database is open. */
export type Answer =
  | { readonly kind: 'open' }
  | { readonly kind: 'done' }
  | { readonly kind: 'writes'; readonly rate: Rate }
  | { readonly kind: 'localReads'; readonly perSecond: number }
  | { readonly kind: 'failed'; readonly message: string }

const [file = '', name = '', listen = '', more = '{}'] = process.argv.slice(2)
const db = await open(file, { name, listen, ...(JSON.parse(more) as Partial<OpenOptions>) })
process.on('message', async (task: Task) => answer(await attempt(task)))
process.on('disconnect', () => process.exit(0))
answer({ kind: 'open' })

function answer(message: Answer): void {
  process.send?.(message)
}

async function attempt(task: Task): Promise<Answer> {
  try {
    return await perform(task)
  } catch (error) {
    return { kind: 'failed', message: String(error) }
  }
}

async function perform(task: Task): Promise<Answer> {
  switch (task.kind) {
    case 'fill':
      await fillTable(db)
      return { kind: 'done' }
    case 'writes': {
      const { clients, seconds, ack, share } = task
      const rate = await closedLoop(clients, seconds, () =>
        db.execute(UPSERT, upsertArgs(share), { ack }),
      )
      return { kind: 'writes', rate }
    }
    case 'localReads': {
      const perSecond = await busyLoop(task.seconds, () => db.querySync(POINT_READ, [randomKey()]))
      return { kind: 'localReads', perSecond }
    }
    case 'stop':
      await db.close()
      return { kind: 'done' }
  }
}
