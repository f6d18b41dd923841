import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex } from '../base/brand.ts'
import { LIMITS } from '../base/limits.ts'
import type { CursorRequest, NodeReply } from '../model/request.ts'
import type { Context } from './context.ts'
import { Cursors } from './cursors.ts'
import type { CursorReply, ReaderPort } from './ports.ts'
import type { ReadJob, Reads } from './reads.ts'

const TOKEN = { cluster: 'c', term: 1, index: 7 }
const PROGRAM = { atomic: false, steps: [] }
const OPEN: CursorRequest = {
  ...{ kind: 'cursor', program: PROGRAM, level: 'local', token: null },
  ...{ chunkBytes: 2 ** 40, keep: false, timeoutMs: 100 },
}

/** Cursors on a reader that answers when the test says so. */
function setUp() {
  const calls: [string, ...unknown[]][] = []
  const waiting: ((reply: CursorReply) => void)[] = []
  let now = 0
  const reader: Partial<ReaderPort> = {
    openCursor: (begin, _timeoutMs, done) => {
      calls.push(['open', begin.chunkBytes])
      waiting.push(done)
    },
    fetchCursor: (next, _timeoutMs, done) => {
      calls.push(['fetch', next.cursor])
      waiting.push(done)
    },
    closeCursor: (cursor) => calls.push(['close', cursor]),
  }
  const context = { ports: { reader }, now: () => now } as unknown as Context
  const reads = {
    start: ({ look, done }: ReadJob) => {
      look(100, (seen) => {
        if (seen.kind === 'seen') done(seen.answer(TOKEN))
      })
    },
  } as unknown as Reads
  const cursors = new Cursors(context, reads)
  return {
    cursors,
    calls,
    advance: (ms: number) => {
      now += ms
      cursors.tick(now)
    },
    reply: (cursor: number | null) => {
      const done = cursor === null
      waiting.shift()?.({ kind: 'chunk', entries: [], done, cursor, applied: toLogIndex(7) })
    },
    fail: () => {
      waiting.shift()?.({ kind: 'failed', error: { code: 'DEADLINE', detail: 'Late.' } })
    },
    ask: (request: CursorRequest): NodeReply[] => {
      const replies: NodeReply[] = []
      cursors.take(request, (reply) => replies.push(reply))
      return replies
    },
  }
}

const fetch = (cursor: string): CursorRequest => ({
  ...{ kind: 'fetch', cursor, program: null, chunkBytes: 100, timeoutMs: 100 },
})

const codes = (replies: readonly NodeReply[]): unknown[] =>
  replies.map((reply) => (reply.kind === 'error' ? reply.error.code : reply.kind))

test('a cursor is open from its first chunk to its last', () => {
  const { cursors, calls, ask, reply } = setUp()
  const opened = ask(OPEN)
  reply(5)
  deepEqual(opened, [{ kind: 'chunk', entries: [], done: false, cursor: '5', token: TOKEN }])
  equal(cursors.size, 1)
  const next = ask(fetch('5'))
  reply(null)
  deepEqual(next, [{ kind: 'chunk', entries: [], done: true, cursor: null, token: TOKEN }])
  equal(cursors.size, 0)
  deepEqual(codes(ask(fetch('5'))), ['CURSOR_CLOSED'])
  deepEqual(calls, [
    ['open', LIMITS.chunkBytesMax],
    ['fetch', 5],
  ])
})

test('two fetches at once are refused, and a close is not', () => {
  const { cursors, calls, ask, reply } = setUp()
  ask(OPEN)
  reply(5)
  const first = ask(fetch('5'))
  deepEqual(codes(ask(fetch('5'))), ['BAD_REQUEST'])
  deepEqual(codes(ask({ kind: 'closeCursor', cursor: '5', timeoutMs: 1 })), ['closed'])
  reply(5)
  deepEqual(codes(first), ['chunk'])
  deepEqual([cursors.size, calls.at(-1)], [0, ['close', 5]])
  deepEqual(codes(ask({ kind: 'closeCursor', cursor: 'x', timeoutMs: 1 })), ['closed'])
})

test('a cursor that nobody fetches from is closed, one that is busy is not', () => {
  const { cursors, calls, ask, reply, advance } = setUp()
  ask(OPEN)
  reply(5)
  const slow = ask(fetch('5'))
  advance(LIMITS.cursorIdleMs + 1)
  equal(cursors.size, 1)
  reply(5)
  deepEqual(codes(slow), ['chunk'])
  advance(LIMITS.cursorIdleMs)
  equal(cursors.size, 1)
  advance(1)
  equal(cursors.size, 0)
  deepEqual(calls.at(-1), ['close', 5])
  deepEqual(codes(ask(fetch('5'))), ['CURSOR_CLOSED'])
})

test('a cursor whose fetch failed is closed', () => {
  const { cursors, ask, reply, fail } = setUp()
  ask(OPEN)
  reply(5)
  const late = ask(fetch('5'))
  fail()
  deepEqual(codes(late), ['DEADLINE'])
  equal(cursors.size, 0)
})
