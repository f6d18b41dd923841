/** Strong reads among several groups: with writes at `stable` they are linearizable. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeReply } from '../../model/request.ts'
import { GroupWorld, program } from './test-world.ts'

const IDS = 'select id from kv order by id'

function idsOf(rows: ReturnType<GroupWorld['read']>): readonly number[] {
  ok(typeof rows !== 'string', String(rows))
  return rows.map(([id]) => Number(id))
}

function shown(reply: NodeReply | null): readonly number[] {
  const step = reply?.kind === 'result' ? reply.result.steps[0] : undefined
  ok(step && 'ok' in step)
  return idsOf(step.ok.rows)
}

test('what one strong read shows, later ones show at every group', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  // What the one writes is later than all that the others know for half a second.
  world.node('a1').skewMs = 400
  // And comes to the third by way of the second.
  world.cut('a', 'c')
  let written = 0
  let before: readonly number[] = []
  for (let round = 0; round < 20; round += 1) {
    const read = { kind: 'read', program: program(IDS), level: 'strong', token: null } as const
    const name = round % 2 === 0 ? 'b1' : 'c1'
    const answer = world.begin(name, { ...read, timeoutMs: 5_000 })
    while (answer.reply === null) {
      written += 1
      const insert = program(`insert into kv values (${written}, 'x', 0)`)
      world.begin('a1', { kind: 'write', program: insert, ack: 'local', timeoutMs: 5_000 })
      world.run(2)
    }
    const now = shown(answer.reply)
    const gone = before.filter((id) => !now.includes(id))
    deepEqual(gone, [], `read ${round} at ${name}`)
    before = now
  }
  ok(before.length > 50)
})

test('what is tentative does not show, at leaders and followers', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 } })
  world.ready()
  world.must('b1', "insert into kv values (1, 'one', 1)", 'stable')
  world.cut('a', 'b')
  const read = { kind: 'read', program: program(IDS), level: 'strong', token: null } as const
  const reads = ['a1', 'a2', 'a3'].map((name) => world.begin(name, { ...read, timeoutMs: 5_000 }))
  world.run(100)
  world.must('a1', "insert into kv values (2, 'two', 2)")
  world.cut('a', 'b', false)
  world.until('answers', () => reads.every(({ reply }) => reply !== null))
  for (const { reply } of reads) deepEqual(shown(reply), [1])
  for (const name of ['a1', 'a2', 'a3', 'b1']) {
    deepEqual(idsOf(world.read(name, IDS, 'strong')), [1, 2])
  }
})

test('a cursor is strong as a whole, a transaction that reads can not be', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1), (2, 'two', 2)", 'stable')
  const request = { kind: 'cursor', program: program(IDS, 'nonsense'), level: 'strong' } as const
  const more = { token: null, chunkBytes: 1, timeoutMs: 5_000 }
  const chunk = world.ask('b1', { ...request, ...more, keep: false })
  ok(chunk.kind === 'chunk')
  deepEqual([chunk.done, chunk.cursor], [true, null])
  const kinds = chunk.entries.map((entry) => [entry.kind, 'step' in entry ? entry.step : null])
  deepEqual(kinds, [
    ['begin', 0],
    ['rows', null],
    ['end', 0],
    ['error', 1],
  ])
  const refused = world.ask('b1', { ...request, ...more, keep: true })
  equal(refused.kind === 'error' && refused.error.code, 'LEVEL_UNSUPPORTED')
})

test('a strong read waits for the transaction that has the store', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  const round = { kind: 'stream', stream: 's', ack: 'majority', timeoutMs: 5_000 } as const
  const begin = program('begin', "insert into kv values (1, 'one', 1)")
  equal(world.ask('a1', { ...round, open: false, program: begin, end: false }).kind, 'result')
  const strong = { kind: 'read', program: program(IDS), level: 'strong', token: null } as const
  const read = world.begin('a1', { ...strong, timeoutMs: 5_000 })
  world.run(500)
  equal(read.reply, null)
  const commit = program('commit')
  equal(world.ask('a1', { ...round, open: true, program: commit, end: true }).kind, 'result')
  world.until('the read', () => read.reply !== null)
  deepEqual(idsOf(world.read('b1', IDS, 'strong')), [1])
})
