/**
 * Cursors of the fake node: the production reader on a copy of the database as it is when the cursor
 * is opened. The copy has no name any more once it is open.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { CursorRequest, NodeReply } from '../../model/request.ts'
import { type CursorReply, Reader } from '../../store/read/reader.ts'

export class FakeCursors {
  readonly #readers = new Map<number, Reader>()
  #last = 0

  /** Cursors that are open. */
  get size(): number {
    return this.#readers.size
  }

  answer(request: CursorRequest, db: DatabaseSync, index: number): NodeReply {
    switch (request.kind) {
      case 'cursor': {
        this.#last += 1
        const reader = this.#copy(db)
        const reply = reader.reader.open({ ...request, cursor: this.#last })
        rmSync(reader.folder, { recursive: true })
        this.#readers.set(this.#last, reader.reader)
        return this.#toReply(this.#last, reply, index)
      }
      case 'fetch': {
        const cursor = Number(request.cursor)
        const reply = this.#readers.get(cursor)?.fetch({ ...request, cursor })
        return this.#toReply(cursor, reply ?? CLOSED, index)
      }
      case 'closeCursor':
        this.#end(Number(request.cursor))
        return { kind: 'closed' }
    }
  }

  #copy(db: DatabaseSync): { readonly folder: string; readonly reader: Reader } {
    const folder = mkdtempSync(join(tmpdir(), 'quorate-fake-'))
    const path = join(folder, 'copy.db')
    writeFileSync(path, db.serialize())
    return { folder, reader: new Reader(path) }
  }

  #end(cursor: number): void {
    this.#readers.get(cursor)?.close()
    this.#readers.delete(cursor)
  }

  #toReply(cursor: number, reply: CursorReply, index: number): NodeReply {
    if (reply.kind !== 'chunk' || reply.cursor === null) this.#end(cursor)
    if (reply.kind === 'notRead') return { kind: 'writeNeeded' }
    if (reply.kind === 'failed') return { kind: 'error', error: reply.error }
    const { entries, done } = reply
    const name = reply.cursor === null ? null : String(cursor)
    return { kind: 'chunk', entries, done, cursor: name, token: { cluster: 'c1', term: 3, index } }
  }
}

const CLOSED: CursorReply = {
  kind: 'failed',
  error: { code: 'CURSOR_CLOSED', detail: 'There is no such cursor.' },
}
