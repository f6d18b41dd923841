/** A group that was cut off for longer than logs are kept, as real processes: it returns by itself. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { present } from '../../src/base/assert.ts'
import { type ChildNode, until } from '../../src/bench/child-node.ts'
import type { RemoteDb } from '../../src/client/index.ts'
import { rowsOf } from '../cluster.ts'
import { Groups } from '../groups.ts'

/** The least that there is: what each group writes below is several times that. */
const LIMIT = 1024 * 1024
const SMALL_LOG = ['--log-retain-entries', '1000', '--log-retain-bytes', String(LIMIT)]
const TEXT = 'x'.repeat(64 * 1024)
const ROWS = 60

async function writeMuch(db: RemoteDb, group: string): Promise<void> {
  for (let i = 0; i < ROWS; i += 1) {
    await db.execute('insert into doc (name, body) values (?, ?)', [`${group}${i}`, TEXT])
  }
  await db.execute("update doc set body = ? where name = 'one'", [`of ${group}`])
}

async function count(db: RemoteDb): Promise<number> {
  const [row] = await db.query('select count(*) as n from doc', [], { read: 'local' })
  return Number(row?.['n'])
}

function logBytes(node: ChildNode): number {
  const [row] = rowsOf(node.file, 'select sum(length(body)) as n from _quorate_log')
  return Number(row?.['n'])
}

test('cut off for longer than logs are kept, a group returns by itself with all that it wrote', {
  timeout: 120_000,
}, async () => {
  await using groups = await Groups.start({ a: 1, b: 1, c: 1 }, 'multi-leader', SMALL_LOG)
  const [a, c] = [groups.client('a'), groups.client('c')]
  await a.execute('create table doc (id integer primary key, name text unique not null, body text)')
  await a.execute("insert into doc (name) values ('one')")
  await groups.level()
  await groups.cut('c')
  await Promise.all([writeMuch(a, 'a'), writeMuch(c, 'c')])
  const isTold = ({ logFile }: ChildNode) => readFileSync(logFile, 'utf8').includes('log.heldBack')
  const [node] = groups.nodesOf('c')
  const cut = present(node, () => 'the node of c')
  await until('the logs are over their limit', 10_000, async () => groups.nodes.every(isTold))
  await groups.heal()
  // In the middle of it, it dies.
  await until('some of it', 10_000, async () => (await count(c)) > ROWS + 1)
  await cut.kill()
  cut.start()
  await cut.ready()
  await groups.verify()
  for (const group of groups.names) equal(await count(groups.client(group)), 2 * ROWS + 1)
  const kept = await a.query("select body from doc where name = 'one'")
  const [lost] = await c.query("select lost from quorate_conflicts where name = 'doc'")
  const bodies = [String(kept[0]?.['body']), String(lost?.['lost'])]
  deepEqual(
    ['of a', 'of c'].map((body) => bodies.filter((one) => one.includes(body)).length),
    [1, 1],
  )
  // A node counts how large its log is from its start: the one that died may have counted little.
  await writeMuch(c, 'after')
  await c.execute("insert into doc (name) values ('after')", [], { ack: 'stable' })
  await until('the logs are small again', 10_000, async () => {
    return groups.nodes.every((each) => logBytes(each) <= LIMIT)
  })
  ok(!readFileSync(cut.logFile, 'utf8').includes('origin.tooFarBehind'))
})
