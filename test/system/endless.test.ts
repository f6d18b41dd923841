/** A statement without end runs in a thread that nothing can interrupt: it must not hold a stop up. */
import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { Cluster, problemsOf, rowsOf } from '../cluster.ts'

const ENDLESS = `with recursive r (x) as (select 1 union all select x + 1 from r)
  select count(*) from r`

test('a node ends on SIGTERM while an endless SELECT runs, and starts again', async () => {
  await using cluster = await Cluster.start({ names: ['a'] })
  const node = cluster.node('a')
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  await db.execute('insert into t values (1)')
  const underWay = rejects(db.query(ENDLESS))
  await rejects(db.query(ENDLESS, [], { timeoutMs: 200 }))
  // Throws when the node has to be killed.
  equal(await node.stop(), 'SIGTERM')
  await db.close()
  await underWay
  match(node.logTail(2), /node\.stopped/)
  equal(rowsOf(node.file, 'select id from t')[0]?.['id'], 1)
  deepEqual(problemsOf(node.file), [])
  node.start()
  await node.ready()
  deepEqual(await cluster.client().query('select id from t'), [{ id: 1 }])
  equal(await node.stop(), null)
})

/** An application that closes its database while the statement runs, and goes on. */
const APPLICATION = `
  import { open } from ${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)}
  const [, , file, sql] = process.argv
  const db = await open(file, { name: 'a' })
  const code = await db.query(sql, [], { timeoutMs: 200 }).catch((error) => error.code)
  await db.close()
  const again = await open(file, { name: 'a' })
  await again.close()
  console.log(code, await db.query('select 1').catch((error) => error.code))
  process.kill(process.pid, 'SIGTERM')`

test('an embedded database closes while an endless SELECT runs, and opens again', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const application = join(dir, 'application.mjs')
  writeFileSync(application, APPLICATION)
  const args = [application, join(dir, 'a.db'), ENDLESS]
  const child = spawn(process.execPath, args, { timeout: 60_000, killSignal: 'SIGKILL' })
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  equal(output, 'DEADLINE NOT_READY\n', errors)
  equal(child.signalCode, 'SIGTERM')
})
