import { deepEqual, equal } from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { listLostFiles, readLostFile } from '../../store/apply/lost-file.ts'
import { originAlarmsOf } from './origins-status.ts'
import { codeOf, GroupWorld } from './test-world.ts'

const TIMEOUT_MS = 15_000
const ROWS = 20

function remove(world: GroupWorld, at: string, group: string) {
  const command = { kind: 'removeGroup', group } as const
  return world.begin(at, { kind: 'admin', command, timeoutMs: TIMEOUT_MS })
}

function standingAt(world: GroupWorld, name: string, group: string): string | undefined {
  const { cluster } = world.driver(name).origins?.state ?? {}
  return cluster?.origins.find((each) => each.name === group)?.standing.kind
}

/** Group c is away: a has removed it, b has not heard the end of that, and c has removed them all. */
function parted(t: TestContext): GroupWorld {
  const groups = { a: 1, b: 1, c: 1, d: 1 }
  const world = new GroupWorld(t, { groups, driver: { retainEntries: 5 } })
  world.ready()
  world.must('a1', "insert into kv values (0, 'zero', 0)", 'all')
  for (const group of 'abd') world.cut(group, 'c')
  world.run(500)
  for (let id = 1; id <= ROWS; id += 1) world.must('b1', `insert into kv (id) values (${id})`, 3)
  const removal = remove(world, 'a1', 'c')
  world.until('the removal', () => standingAt(world, 'a1', 'c') === 'removed')
  for (const group of 'ad') world.cut('b', group)
  equal(standingAt(world, 'b1', 'c'), 'frozen')
  const command = { kind: 'moveKeeper', group: 'c', force: true, alone: true } as const
  const taking = world.begin('c1', { kind: 'admin', command, timeoutMs: TIMEOUT_MS })
  world.until('the take-over', () => world.driver('c1').origins?.state.cluster.keeper === 'c')
  const answers = [removal, taking, remove(world, 'c1', 'b'), remove(world, 'c1', 'd')]
  world.until('answers', () => answers.every(({ reply }) => reply?.kind === 'admin'))
  // Logs are cut meanwhile.
  world.run(5_000)
  return world
}

test('whoever is on its way out keeps the log from forgetting: it may have removed us', (t) => {
  const world = parted(t)
  world.cut('b', 'c', false)
  world.until('news', () => standingAt(world, 'b1', 'b') === 'removed')
  const [file = '', ...others] = listLostFiles(world.node('b1').path)
  deepEqual(others, [])
  equal(readLostFile(file).head.transactions, ROWS)
})

test('who goes by the other side of a split brings nobody else over to it', (t) => {
  const world = parted(t)
  world.cut('b', 'c', false)
  world.until('news', () => standingAt(world, 'b1', 'b') === 'removed')
  for (const group of 'ad') world.cut('b', group, false)
  world.run(5_000)
  // While somebody is on the way out a group asks the others what they know.
  world.crash('d1')
  const removals = [remove(world, 'a1', 'd')]
  world.run(10_000)
  equal(standingAt(world, 'a1', 'a'), 'writes')
  equal(world.driver('a1').origins?.isRemoved, false)
  world.must('a1', "insert into kv values (100, 'hundred', 100)")
  world.cut('a', 'c', false)
  const alarms = (): string => {
    const { origins } = world.driver('a1')
    return origins === null ? '' : originAlarmsOf(origins).join()
  }
  world.until('alarms', () => alarms().includes('cluster of their own: c.'))
  // People go on with a, where b still counts as one that only does not answer.
  removals.push(remove(world, 'a1', 'b'))
  world.until('answers', () => removals.every(({ reply }) => reply?.kind === 'admin'))
  equal(codeOf(world.write('b1', 'delete from kv')), 'GROUP_REMOVED')
  world.must('a1', "insert into kv values (101, 'one more', 101)", 'stable')
})
