/** Answers on their way to the application's thread, see model/small-write.ts. */
import { assert } from '../base/assert.ts'
import type { NodeReply, SessionToken } from '../model/request.ts'
import { fromSmallWrite, toSmallWrite } from '../model/small-write.ts'

/** Numbers of one answer in the list: id, changes, rowid (null: none), place of its token. */
const WIDTH = 4

export interface CompactReplies {
  /** Answers to writes without rows, WIDTH numbers each. */
  readonly written: readonly (number | null)[]
  /** Theirs: the writes of a batch share one. */
  readonly tokens: readonly SessionToken[]
  readonly others: readonly (readonly [id: number, reply: NodeReply])[]
}

export function compactReplies(replies: readonly (readonly [number, NodeReply])[]): CompactReplies {
  const written: (number | null)[] = []
  const tokens: SessionToken[] = []
  const others: (readonly [number, NodeReply])[] = []
  for (const numbered of replies) {
    const [id, reply] = numbered
    const result = reply.kind === 'result' && !reply.open ? reply : null
    const write = result === null ? null : toSmallWrite(result.result)
    if (result === null || write === null) others.push(numbered)
    else {
      if (!isSame(tokens.at(-1), result.token)) tokens.push(result.token)
      written.push(id, write.changes, write.rowid, tokens.length - 1)
    }
  }
  return { written, tokens, others }
}

/** Calls back with each answer, as it was before. */
export function eachReply(
  { written, tokens, others }: CompactReplies,
  give: (id: number, reply: NodeReply) => void,
): void {
  assert(written.length % WIDTH === 0, () => `${written.length} numbers of ${WIDTH} each`)
  for (let at = 0; at < written.length; at += WIDTH) {
    const [id, changes, rowid = null, place] = written.slice(at, at + WIDTH)
    const token = tokens[place ?? 0]
    assert(token !== undefined, () => `token ${place} of ${tokens.length} is missing`)
    const result = fromSmallWrite({ changes: changes ?? 0, rowid })
    give(id ?? 0, { kind: 'result', result, token, open: false })
  }
  for (const [id, reply] of others) give(id, reply)
}

/** What a position of a log covers is always the same. */
function isSame(one: SessionToken | undefined, other: SessionToken): boolean {
  if (one === undefined || one.index !== other.index || one.term !== other.term) return false
  return one.cluster === other.cluster && one.origins?.self === other.origins?.self
}
