import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { decodeRequest } from '../model/request-codec.ts'
import { Forwarder } from './forwarder.ts'
import { codeOf, GroupWorld, program } from './origins/test-world.ts'

/** One group of three, and a change of the schema for which another one would have to stop. */
function begin(t: { after(run: () => void): void }) {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 } })
  world.ready()
  world.cut('a', 'b')
  world.run(200)
  const [follower = ''] = ['a1', 'a2', 'a3'].filter((name) => name !== world.leader('a'))
  const write = { kind: 'write', program: program('drop table kv'), ack: 'majority' } as const
  return { world, follower, request: { ...write, timeoutMs: 30_000 } }
}

test('a refusal that took long comes back in the words of the leader', (t) => {
  const { world, follower, request } = begin(t)
  const atLeader = world.ask(world.leader('a'), request)
  equal(codeOf(atLeader), 'SCHEMA_CHANGE_PENDING')
  deepEqual(world.ask(follower, request), atLeader)
})

test('a refusal does not answer for a sending that was lost', (t) => {
  const { world, follower, request } = begin(t)
  const leader = world.leader('a')
  const answer = world.begin(follower, request)
  world.run(100)
  // Its link comes and goes: of what was sent before nobody knows the answer.
  world.cut(follower, leader)
  world.run(20)
  world.cut(follower, leader, false)
  world.until('an answer', () => answer.reply !== null, 40_000)
  equal(answer.reply && codeOf(answer.reply), 'UNKNOWN_OUTCOME')
})

test('what failed as a statement is told, however often it was sent', (t) => {
  const { world, follower } = begin(t)
  const leader = world.leader('a')
  const stream = { kind: 'stream', stream: 'x', open: false, end: false, ack: 'majority' } as const
  world.ask(leader, { ...stream, program: program('begin immediate'), timeoutMs: 1_000 })
  const write = { kind: 'write', program: program('insert into gone values (1)') } as const
  const answer = world.begin(follower, { ...write, ack: 'majority', timeoutMs: 20_000 })
  world.run(3_000)
  equal(answer.reply, null)
  world.ask(leader, { ...stream, open: true, end: true, program: null, timeoutMs: 1_000 })
  world.until('an answer', () => answer.reply !== null)
  equal(answer.reply && codeOf(answer.reply), 'SQL_ERROR')
})

test('a write waits until there is a log to say where it stood', () => {
  const sent: unknown[] = []
  const order = { commit: 0, leader: 'a1' }
  const send = (_to: string, { body }: { readonly body: Uint8Array }): void => {
    const request = decodeRequest(body)
    sent.push(request.kind === 'write' ? request.program.id : request.kind)
  }
  const context = { order, options: { self: 'a2' }, ports: { transport: { send } }, now: () => 0 }
  const forwarder = new Forwarder(context as never, 'session', 0, () => {})
  const write = { kind: 'write', program: program('select 1'), ack: 'majority' } as const
  forwarder.start({ ...write, timeoutMs: 1_000 }, () => {})
  forwarder.tick(0)
  deepEqual(sent, [])
  order.commit = 7
  forwarder.tick(0)
  deepEqual(sent, [{ session: 'session', number: 1, since: 7 }])
})
