/** Answers on their way to the application's thread, see model/small-write.ts. */
import { assert } from '../base/assert.ts'
import type { NodeReply } from '../model/request.ts'
import { fromSmallWrite, toSmallWrite } from '../model/small-write.ts'

/** Numbers of one answer in the list: id, changes, rowid (null: none), term, index. */
const WIDTH = 5

export interface CompactReplies {
  readonly cluster: string
  /** Answers to writes without rows, WIDTH numbers each. */
  readonly written: readonly (number | null)[]
  readonly others: readonly (readonly [id: number, reply: NodeReply])[]
}

export function compactReplies(replies: readonly (readonly [number, NodeReply])[]): CompactReplies {
  const written: (number | null)[] = []
  const others: (readonly [number, NodeReply])[] = []
  let cluster = ''
  for (const numbered of replies) {
    const [id, reply] = numbered
    const write = writtenOf(reply)
    if (write === null || (cluster !== '' && cluster !== write.cluster)) others.push(numbered)
    else {
      cluster = write.cluster
      written.push(id, write.changes, write.rowid, write.term, write.index)
    }
  }
  return { cluster, written, others }
}

/** Calls back with each answer, as it was before. */
export function eachReply(
  { cluster, written, others }: CompactReplies,
  give: (id: number, reply: NodeReply) => void,
): void {
  assert(written.length % WIDTH === 0, () => `${written.length} numbers of ${WIDTH} each`)
  for (let at = 0; at < written.length; at += WIDTH) {
    const [id, changes, rowid = null, term, index] = written.slice(at, at + WIDTH)
    const token = { cluster, term: term ?? 0, index: index ?? 0 }
    const result = fromSmallWrite({ changes: changes ?? 0, rowid })
    give(id ?? 0, { kind: 'result', result, token, open: false })
  }
  for (const [id, reply] of others) give(id, reply)
}

function writtenOf(reply: NodeReply) {
  if (reply.kind !== 'result' || reply.open) return null
  const write = toSmallWrite(reply.result)
  return write === null ? null : { ...write, ...reply.token }
}
