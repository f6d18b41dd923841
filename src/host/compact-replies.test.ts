import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeReply, SessionToken } from '../model/request.ts'
import { compactReplies, eachReply } from './compact-replies.ts'

const TOKEN: SessionToken = { cluster: 'c', term: 3, index: 17 }

function written(
  changes: number,
  rowid: bigint | null,
  more: Partial<SessionToken> = {},
): NodeReply {
  const ok = { columns: [], rows: [], changes, lastInsertRowid: rowid }
  const token = { ...TOKEN, ...more }
  return { kind: 'result', result: { steps: [{ ok }], autocommit: true }, token, open: false }
}

const others: NodeReply[] = [
  { kind: 'writeNeeded' },
  { kind: 'error', error: { code: 'NO_LEADER', detail: 'No.', facts: {} } },
  written(1, 2n ** 60n),
  { ...written(1, 1n), open: true } as NodeReply,
  {
    kind: 'result',
    result: {
      steps: [
        {
          ok: {
            columns: [{ name: 'n', decltype: null }],
            rows: [[1n]],
            changes: 0,
            lastInsertRowid: null,
          },
        },
      ],
      autocommit: true,
    },
    token: TOKEN,
    open: false,
  },
]

const origins = { self: 'a', seen: [['b', 5]] } as const
const elsewhere = { self: 'b', seen: [['b', 6]] } as const

test('every answer arrives as it was', () => {
  const all = [
    ...[written(1, 5n), written(0, null), ...others, written(7, -3n)],
    ...[{ cluster: 'd' }, { index: 18 }, { term: 4 }, { origins }, { origins: elsewhere }].map(
      (more) => written(1, 1n, more),
    ),
    written(1, 1n),
  ]
  const numbered = all.map((reply, i) => [i + 1, reply] as const)
  const got = new Map<number, NodeReply>()
  eachReply(structuredClone(compactReplies(numbered)), (id, reply) => got.set(id, reply))
  equal(got.size, all.length)
  for (const [id, reply] of numbered) deepEqual(got.get(id), reply)
})

test('small writes travel as numbers with one token for those of a batch', () => {
  const compact = compactReplies([
    [1, written(1, 5n, { origins })],
    [2, others[0] as NodeReply],
    [3, written(1, 6n, { origins })],
    [4, written(1, 7n, { origins, index: 18 })],
  ])
  deepEqual(compact.written, [1, 1, 5, 0, 3, 1, 6, 0, 4, 1, 7, 1])
  equal(compact.tokens.length, 2)
  equal(compact.others.length, 1)
})
