/**
 * All programs at work while leaders change: killed, moved on request, killed together with the
 * connections of its own clients. Each program retries as its client documents, and in the end finds
 * every piece of its work done once.
 */
import { test } from 'node:test'
import { Cluster } from '../cluster.ts'
import { requirePrepared, WORKING, WorkingProgram } from './program.ts'

/** Far above what it takes: only a program that is stuck reaches it. */
const PATIENCE_MS = 60_000
const LIFETIME_MS = 240_000
/** Pieces of work between two changes. */
const PIECES = 15

test('a leader change in the middle of any program loses and doubles nothing', async (t) => {
  requirePrepared()
  await using cluster = await Cluster.start()
  await using programs = new AsyncDisposableStack()
  const leader = await cluster.leader()
  const urls = (await cluster.followers()).map((node) => node.url)
  const runs = [
    ...WORKING.map((name) => ({ name, ws: false })),
    { name: 'libsql-client', ws: true },
  ]
  const working = runs.map(({ name, ws }, at) => {
    const url = urls[at % urls.length] ?? leader.url
    const own = ws ? url.replace('http:', 'ws:') : url
    const program = new WorkingProgram(name, own, `${name}${ws ? '-ws' : ''}`, LIFETIME_MS)
    return programs.use(program)
  })
  const goOn = async (): Promise<void> => {
    await Promise.all(working.map((program) => program.doMore(PIECES, PATIENCE_MS)))
  }
  await goOn()

  await t.test('killed', async () => {
    await leader.kill()
    await goOn()
    leader.start()
    await cluster.settled()
  })

  await t.test('moved', async () => {
    const from = await cluster.leader()
    const [to = leader] = await cluster.followers()
    await cluster.admin(from, 'transfer', { name: to.name })
    await goOn()
  })

  await t.test('killed and started again, with clients of its own', async () => {
    if (urls.includes((await cluster.leader()).url) === false) {
      const to = cluster.nodes.find((node) => node.url === urls[0]) ?? leader
      await cluster.admin(await cluster.leader(), 'transfer', { name: to.name })
    }
    const own = await cluster.leader()
    await own.kill()
    own.start()
    await goOn()
  })

  for (const program of working) t.diagnostic(`${program.name} ${await program.finish()}`)
  await cluster.settled()
  await cluster.verify()
})
