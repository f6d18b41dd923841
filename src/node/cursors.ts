/**
 * Cursors of this node. A cursor is opened as a read is, at its level; from then on its snapshot can't
 * be taken back, so what is fetched later needs no more waiting. What nobody fetches from is closed.
 */
import type { ErrorData } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import type { Program, ProgramResult } from '../model/program.ts'
import type { CursorEntry, CursorRequest, NodeReply, SessionToken } from '../model/request.ts'
import type { Context } from './context.ts'
import type { CursorReply } from './ports.ts'
import type { ReadJob, Reads, Seen } from './reads.ts'

type Done = (reply: NodeReply) => void
type Chunk = Extract<CursorReply, { readonly kind: 'chunk' }>

interface Open {
  readonly token: SessionToken
  /** A fetch is under way. */
  busy: boolean
  /** Monotonic ms of the last answer. */
  usedAt: number
}

export class Cursors {
  readonly #context: Context
  readonly #reads: Reads
  /** By the reader's number, which as a text is also the cursor's name. */
  readonly #open = new Map<number, Open>()

  constructor(context: Context, reads: Reads) {
    this.#context = context
    this.#reads = reads
  }

  /** Cursors that are open. */
  get size(): number {
    return this.#open.size
  }

  take(request: CursorRequest, done: Done): void {
    switch (request.kind) {
      case 'cursor':
        this.#begin(request, done)
        return
      case 'fetch':
        this.#fetch(request, done)
        return
      case 'closeCursor':
        this.#close(Number(request.cursor))
        done({ kind: 'closed' })
    }
  }

  /** Closes what nobody fetches from. */
  tick(now: number): void {
    for (const [cursor, open] of this.#open) {
      if (!open.busy && now - open.usedAt > LIMITS.cursorIdleMs) this.#close(cursor)
    }
  }

  #begin(request: Extract<CursorRequest, { kind: 'cursor' }>, done: Done): void {
    const { program, level, token, keep, timeoutMs } = request
    const { reader } = this.#context.ports
    const begin = { program, keep, chunkBytes: bounded(request.chunkBytes) }
    const look: ReadJob['look'] = (timeLeft, seen) => {
      reader.openCursor(begin, timeLeft, (reply) => {
        seen(reply.kind === 'chunk' ? this.#seen(reply) : reply)
      })
    }
    const deadline = this.#context.now() + timeoutMs
    const lookStable = keep ? null : this.#lookStable(program)
    this.#reads.start({ level, token, deadline, done, look, lookStable })
  }

  /** The store gives up what is stable as a whole, so one chunk has all of it. */
  #lookStable(program: Program): ReadJob['lookStable'] {
    return (stable, timeLeft, seen) => {
      this.#reads.stable.read(program, stable, timeLeft, (reply) => {
        if (reply.kind !== 'rows') {
          seen(reply)
          return
        }
        const { result, applied } = reply
        const entries = entriesOf(result)
        seen(this.#seen({ kind: 'chunk', entries, done: true, cursor: null, applied }))
      })
    }
  }

  #seen(chunk: Chunk): Seen {
    const { cursor, applied } = chunk
    return {
      kind: 'seen',
      applied,
      answer: (token) => {
        const usedAt = this.#context.now()
        if (cursor !== null) this.#open.set(cursor, { token, busy: false, usedAt })
        return answer(chunk, token)
      },
      drop: () => {
        if (cursor !== null) this.#context.ports.reader.closeCursor(cursor)
      },
    }
  }

  #fetch(request: Extract<CursorRequest, { kind: 'fetch' }>, done: Done): void {
    const cursor = Number(request.cursor)
    const open = this.#open.get(cursor)
    if (open === undefined) {
      done({ kind: 'error', error: closed(request.cursor) })
      return
    }
    if (open.busy) {
      const detail = `Cursor ${cursor} is still busy with the fetch before this one.`
      done({ kind: 'error', error: { code: 'BAD_REQUEST', detail } })
      return
    }
    open.busy = true
    const { program, timeoutMs } = request
    const next = { cursor, program, chunkBytes: bounded(request.chunkBytes) }
    this.#context.ports.reader.fetchCursor(next, timeoutMs, (reply) => {
      open.busy = false
      open.usedAt = this.#context.now()
      if (reply.kind === 'chunk') {
        if (reply.cursor === null) this.#open.delete(cursor)
        done(answer(reply, open.token))
        return
      }
      this.#close(cursor)
      if (reply.kind === 'notRead') done({ kind: 'writeNeeded' })
      else done({ kind: 'error', error: reply.error })
    })
  }

  #close(cursor: number): void {
    if (this.#open.delete(cursor)) this.#context.ports.reader.closeCursor(cursor)
  }
}

function answer({ entries, done, cursor }: Chunk, token: SessionToken): NodeReply {
  return { kind: 'chunk', entries, done, cursor: cursor === null ? null : String(cursor), token }
}

/** What a cursor tells of the steps of a program. */
function entriesOf({ steps }: ProgramResult): readonly CursorEntry[] {
  return steps.flatMap((result, step): CursorEntry[] => {
    if (result === null) return []
    if ('error' in result) return [{ kind: 'error', step, error: result.error }]
    const { columns, rows } = result.ok
    const begin = { kind: 'begin', step, columns } as const
    const all: CursorEntry[] = rows.length > 0 ? [{ kind: 'rows', rows }] : []
    return [begin, ...all, { kind: 'end', step }]
  })
}

function closed(cursor: string): ErrorData {
  return { code: 'CURSOR_CLOSED', detail: `There is no cursor ${cursor} any more.` }
}

function bounded(bytes: number): number {
  return Math.min(bytes, LIMITS.chunkBytesMax)
}
