import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex, toTerm } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import { type FromStore, StoreHost } from './store-host.ts'
import type { StoreCommand, StoreReply } from './types.ts'

const compact = (ticket: number): StoreCommand => ({
  kind: 'compact',
  ticket,
  to: toLogIndex(ticket),
})
const done: StoreReply = { kind: 'done' }

/** A host whose store, clock and event loop the test moves. */
function harness(run: (command: StoreCommand) => StoreReply = () => done) {
  const events: string[] = []
  const posts: FromStore[] = []
  const later: (() => void)[] = []
  const clock = { ms: 0 }
  const host = new StoreHost({
    store: { run, foreignWrites: 0, close: () => events.push('store closed') },
    flusher: {
      wrote: (ticket) => events.push(`wrote ${ticket}`),
      reopen: () => events.push('reopen'),
      close: () => events.push('flusher closed'),
    },
    checkpoint: () => events.push('checkpoint'),
    post: (message) => posts.push(message),
    closed: () => events.push('closed'),
    later: (go) => later.push(go),
    now: () => clock.ms,
  })
  return { host, events, posts, later, clock }
}

test('quick commands share one message of replies, and each ticket is handed to the flusher', () => {
  const { host, events, posts, later } = harness()
  host.receive({ kind: 'commands', commands: [compact(1), compact(2), compact(3)] })
  deepEqual(posts, [{ kind: 'replies', replies: [done, done, done], foreignWrites: 0 }])
  deepEqual(events, ['wrote 1', 'wrote 2', 'wrote 3'])
  equal(later.length, 0)
})

test('slow commands are answered one by one, and the event loop runs between them', () => {
  const { host, posts, later, clock } = harness(() => {
    clock.ms += 1
    return done
  })
  host.receive({ kind: 'commands', commands: [compact(1), compact(2)] })
  host.receive({ kind: 'commands', commands: [compact(3)] })
  equal(posts.length, 1)
  later.shift()?.()
  later.shift()?.()
  equal(posts.length, 3)
  equal(later.length, 0)
})

test('a checkpoint comes between the commands given before and after it', () => {
  const { host, events, posts, later, clock } = harness(() => {
    clock.ms += 1
    return done
  })
  host.receive({ kind: 'commands', commands: [compact(1), compact(2)] })
  host.receive({ kind: 'checkpoint' })
  host.receive({ kind: 'commands', commands: [compact(3)] })
  for (let go = later.shift(); go !== undefined; go = later.shift()) go()
  deepEqual(events, ['wrote 1', 'wrote 2', 'checkpoint', 'wrote 3'])
  deepEqual(
    posts.map(({ kind }) => kind),
    ['replies', 'replies', 'checkpointed', 'replies'],
  )
})

test('an error that is told leaves the store in service', () => {
  const { host, posts } = harness((command) => {
    if (command.kind === 'compact' && command.ticket === 1) {
      throw new QuorateError('TOO_LARGE', 'It is.')
    }
    return done
  })
  host.receive({ kind: 'commands', commands: [compact(1), compact(2)] })
  const error = { code: 'TOO_LARGE', detail: 'It is.', facts: {} }
  deepEqual(posts, [
    { kind: 'replies', replies: [{ kind: 'failed', error }, done], foreignWrites: 0 },
  ])
})

test('after a broken assertion nothing is done any more', () => {
  const ran: number[] = []
  const { host, events, posts } = harness((command) => {
    ran.push('ticket' in command ? command.ticket : 0)
    throw new Error('impossible')
  })
  host.receive({ kind: 'commands', commands: [compact(1), compact(2)] })
  host.receive({ kind: 'checkpoint' })
  const error = { code: 'INTERNAL', detail: 'impossible.' }
  const failed = { kind: 'failed', error }
  deepEqual(posts, [
    { kind: 'fatal', error },
    { kind: 'replies', replies: [failed, failed], foreignWrites: 0 },
  ])
  deepEqual(ran, [1])
  deepEqual(events, [])
})

test('an installed file has another WAL: the flusher reopens before it is told', () => {
  const { host, events } = harness()
  host.receive({ kind: 'commands', commands: [{ kind: 'install', ticket: 4, path: 'x' }] })
  deepEqual(events, ['reopen', 'wrote 4'])
})

test('closing comes after what was asked before', () => {
  const { host, events } = harness()
  host.receive({ kind: 'commands', commands: [compact(1)] })
  host.receive({ kind: 'close' })
  deepEqual(events, ['wrote 1', 'flusher closed', 'store closed', 'closed'])
})

test('entries leave their large buffers behind', () => {
  const body = new Uint8Array(1_000_000).subarray(10, 20)
  const id = { term: toTerm(1), index: toLogIndex(1) }
  const entry = { ...id, kind: 'data', at: 0, body, checksum: 0 } as const
  const { host, posts } = harness(() => ({ kind: 'entries', entries: [entry] }))
  const range = { from: toLogIndex(1), to: toLogIndex(1), bytesMax: 1 }
  host.receive({ kind: 'commands', commands: [{ kind: 'read', ...range }] })
  const [message] = posts
  const reply = message?.kind === 'replies' ? message.replies[0] : undefined
  const got = reply?.kind === 'entries' ? reply.entries[0] : undefined
  deepEqual(got?.body, new Uint8Array(10))
  equal(got?.body.buffer.byteLength, 10)
})
