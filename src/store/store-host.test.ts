import { deepEqual, equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex, toTerm } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import type { Entry } from '../model/entry.ts'
import type { PackedCommand } from './packing.ts'
import { type FromStore, StoreHost, type ToStore } from './store-host.ts'
import type { StoreCommand, StoreReply } from './types.ts'

const compact = (ticket: number): PackedCommand => ({
  kind: 'compact',
  ticket,
  to: toLogIndex(ticket),
})
const done: StoreReply = { kind: 'done' }
const ENTRY: Entry = {
  term: toTerm(1),
  index: toLogIndex(1),
  kind: 'data',
  at: 0,
  body: new Uint8Array(),
  checksum: 0,
}

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
    soon: (go) => later.push(go),
    now: () => clock.ms,
  })
  /** Lets the event loop run once; tells whether there was something to do. */
  const turn = (): boolean => {
    const go = later.shift()
    go?.()
    return go !== undefined
  }
  const receive = (...messages: readonly ToStore[]): void => {
    for (const message of messages) host.receive(message)
    while (turn());
  }
  return { host, events, posts, clock, turn, receive }
}

test('quick commands share one message of replies, and each ticket is handed to the flusher', () => {
  const { host, events, posts, turn } = harness()
  host.receive({ kind: 'commands', commands: [compact(1), compact(2), compact(3)] })
  deepEqual(posts, [], 'the event loop runs first')
  ok(turn())
  deepEqual(posts, [], 'nobody is in a hurry for them')
  ok(turn())
  deepEqual(posts, [
    { kind: 'replies', replies: [done, done, done], flushed: null, foreignWrites: 0 },
  ])
  deepEqual(events, ['wrote 1', 'wrote 2', 'wrote 3'])
  ok(!turn())
})

test('what one node makes for itself is told once it is durable, in one message', () => {
  const { host, posts, turn } = harness(() => ({
    kind: 'executed',
    entries: [ENTRY],
    outcomes: [],
    notRun: 0,
    open: false,
  }))
  const making = { term: toTerm(1), at: 0, kind: 'execute', programs: [] } as const
  host.receive({ kind: 'commands', commands: [{ ...making, ticket: 1, alone: true }] })
  while (turn());
  equal(posts.length, 0)
  host.flushed(1)
  equal(posts.length, 1)
  host.receive({ kind: 'commands', commands: [{ ...making, ticket: 2, alone: true }, compact(3)] })
  while (turn());
  host.receive({ kind: 'commands', commands: [{ ...making, ticket: 4, alone: false }] })
  while (turn());
  deepEqual(
    posts.map((post) => (post.kind === 'replies' ? [post.replies.length, post.flushed] : post)),
    [
      [1, 1],
      [2, null],
      [1, null],
    ],
  )
})

test('a flush that failed is told after what it was to make durable', () => {
  const reply = { entries: [ENTRY], outcomes: [], notRun: 0, open: false } as const
  const { host, posts, turn } = harness(() => ({ kind: 'executed', ...reply }))
  const making = { term: toTerm(1), at: 0, kind: 'execute', programs: [] } as const
  host.receive({ kind: 'commands', commands: [{ ...making, ticket: 1, alone: true }] })
  while (turn());
  host.die({ code: 'LOG_CORRUPT', detail: 'No.' })
  deepEqual(
    posts.map(({ kind }) => kind),
    ['replies', 'fatal'],
  )
})

test('slow commands are answered one by one, and the event loop runs between them', () => {
  const { host, posts, turn, clock } = harness(() => {
    clock.ms += 1
    return { kind: 'entries', entries: [] }
  })
  host.receive({ kind: 'commands', commands: [compact(1), compact(2)] })
  host.receive({ kind: 'commands', commands: [compact(3)] })
  for (const count of [1, 2, 3]) {
    ok(turn())
    equal(posts.length, count)
  }
  ok(!turn())
})

test('a checkpoint comes between the commands given before and after it', () => {
  const { receive, events, posts, clock } = harness(() => {
    clock.ms += 1
    return done
  })
  receive(
    { kind: 'commands', commands: [compact(1), compact(2)] },
    { kind: 'checkpoint' },
    { kind: 'commands', commands: [compact(3)] },
  )
  deepEqual(events, ['wrote 1', 'wrote 2', 'checkpoint', 'wrote 3'])
  deepEqual(
    posts.map(({ kind }) => kind),
    ['replies', 'replies', 'checkpointed', 'replies'],
  )
})

test('an error that is told leaves the store in service', () => {
  const { receive, posts } = harness((command) => {
    if (command.kind === 'compact' && command.ticket === 1) {
      throw new QuorateError('TOO_LARGE', 'It is.')
    }
    return done
  })
  receive({ kind: 'commands', commands: [compact(1), compact(2)] })
  const error = { code: 'TOO_LARGE', detail: 'It is.', facts: {} }
  deepEqual(posts, [
    {
      kind: 'replies',
      replies: [{ kind: 'failed', error }, done],
      flushed: null,
      foreignWrites: 0,
    },
  ])
})

test('after a broken assertion nothing is done any more', () => {
  const ran: number[] = []
  const { receive, events, posts } = harness((command) => {
    ran.push('ticket' in command ? command.ticket : 0)
    throw new Error('impossible')
  })
  receive({ kind: 'commands', commands: [compact(1), compact(2)] })
  receive({ kind: 'checkpoint' })
  const error = { code: 'INTERNAL', detail: 'impossible.' }
  const failed = { kind: 'failed', error }
  deepEqual(posts, [
    { kind: 'fatal', error },
    { kind: 'replies', replies: [failed, failed], flushed: null, foreignWrites: 0 },
  ])
  deepEqual(ran, [1])
  deepEqual(events, [])
})

test('an installed file has another WAL: the flusher reopens before it is told', () => {
  const { receive, events } = harness()
  receive({ kind: 'commands', commands: [{ kind: 'install', ticket: 4, path: 'x' }] })
  deepEqual(events, ['reopen', 'wrote 4'])
})

test('closing comes after what was asked before', () => {
  const { receive, events } = harness()
  receive({ kind: 'commands', commands: [compact(1)] })
  receive({ kind: 'close' })
  deepEqual(events, ['wrote 1', 'flusher closed', 'store closed', 'closed'])
})

test('entries leave their large buffers behind', () => {
  const entry = { ...ENTRY, body: new Uint8Array(1_000_000).subarray(10, 20) }
  const { receive, posts } = harness(() => ({ kind: 'entries', entries: [entry] }))
  const range = { from: toLogIndex(1), to: toLogIndex(1), bytesMax: 1 }
  receive({ kind: 'commands', commands: [{ kind: 'read', ...range }] })
  const [message] = posts
  const reply = message?.kind === 'replies' ? message.replies[0] : undefined
  const got = reply?.kind === 'entries' ? reply.entries[0] : undefined
  deepEqual(got?.body, new Uint8Array(10))
  equal(got?.body.buffer.byteLength, 10)
})
