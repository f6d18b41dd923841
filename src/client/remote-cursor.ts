/** A streamed read over the network: Hrana's cursor, one line of JSON for each row. */
import { QuorateError } from '../base/errors.ts'
import type { Value } from '../model/program.ts'
import type { OpenReply } from './caller.ts'
import { fromWireValue, parseCursorLine, toColumn, toQuorateError } from './hrana.ts'
import { ConnectionError } from './transport.ts'
import { rowMaker } from './values.ts'

/**
 * The rows in the answer to /v3/cursor. The connection is the back-pressure: a node stops reading
 * when what it sent is not taken.
 *
 * @param timeoutMs for each piece that comes
 * @param ended is told the baton of the stream that the node may have kept
 */
export async function* cursorRows<T extends object>(
  reply: OpenReply,
  timeoutMs: number,
  bigints: boolean,
  ended: (baton: string) => void,
): AsyncGenerator<T, void, undefined> {
  let make: ((values: readonly Value[]) => T) | null = null
  let baton: string | null = null
  let whole = false
  try {
    for await (const text of linesOf(timed(reply, timeoutMs))) {
      const line = parseCursorLine(text)
      if (line.type === undefined) baton = line.baton
      else if (line.type === 'step_begin') make = rowMaker<T>(line.cols.map(toColumn), bigints)
      else if (line.type === 'step_end') whole = true
      else if (line.type !== 'row') throw toQuorateError(line.error)
      else if (make !== null) yield make(line.row.map(fromWireValue))
    }
    if (!whole) throw brokeOff(reply.url, 'the answer ended in the middle')
  } catch (error) {
    throw error instanceof ConnectionError ? brokeOff(reply.url, error.message) : error
  } finally {
    if (baton !== null) ended(baton)
  }
}

function brokeOff(url: string, why: string): QuorateError {
  return new QuorateError('CURSOR_CLOSED', `The rows from ${url} broke off: ${why}.`)
}

/** Aborts the request when a piece takes too long. */
export async function* timed(
  reply: OpenReply,
  timeoutMs: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const pieces = reply.body[Symbol.asyncIterator]()
  const late = (): void => {
    reply.abort(new QuorateError('DEADLINE', `Nothing came within ${timeoutMs} ms.`))
  }
  try {
    for (;;) {
      const timer = setTimeout(late, timeoutMs)
      try {
        const { value, done } = await pieces.next()
        if (done === true) return
        clearTimeout(timer)
        yield value
      } finally {
        clearTimeout(timer)
      }
    }
  } finally {
    await pieces.return?.()
  }
}

/** Lines of text, each given when it is complete. */
export async function* linesOf(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  /** Parts of the line that is not complete yet: joined once, however long it grows. */
  let parts: string[] = []
  for await (const piece of pieces) {
    const [head = '', ...tail] = decoder.decode(piece, { stream: true }).split('\n')
    parts.push(head)
    if (tail.length === 0) continue
    yield parts.join('')
    const rest = tail.pop() ?? ''
    yield* tail
    parts = [rest]
  }
  const last = parts.join('') + decoder.decode()
  if (last !== '') yield last
}
