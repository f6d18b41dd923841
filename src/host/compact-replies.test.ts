import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeReply } from '../model/request.ts'
import { compactReplies, eachReply } from './compact-replies.ts'

function written(changes: number, rowid: bigint | null, cluster = 'c'): NodeReply {
  const ok = { columns: [], rows: [], changes, lastInsertRowid: rowid }
  const token = { cluster, term: 3, index: 17 }
  return { kind: 'result', result: { steps: [{ ok }], autocommit: true }, token, open: false }
}

const others: NodeReply[] = [
  { kind: 'writeNeeded' },
  { kind: 'error', error: { code: 'NO_LEADER', detail: 'No.', facts: {} } },
  written(1, 2n ** 60n),
  written(1, 1n, 'another cluster'),
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
    token: { cluster: 'c', term: 3, index: 17 },
    open: false,
  },
]

test('every answer arrives as it was', () => {
  const all = [written(1, 5n), written(0, null), ...others, written(7, -3n)]
  const numbered = all.map((reply, i) => [i + 1, reply] as const)
  const got = new Map<number, NodeReply>()
  eachReply(compactReplies(numbered), (id, reply) => got.set(id, reply))
  equal(got.size, all.length)
  for (const [id, reply] of numbered) deepEqual(got.get(id), reply)
})

test('small writes travel as numbers, the rest as it is', () => {
  const { written: numbers, others: rest } = compactReplies([
    [1, written(1, 5n)],
    [2, others[0] as NodeReply],
  ])
  deepEqual(numbers, [1, 1, 5, 3, 17])
  equal(rest.length, 1)
})
