/**
 * Snapshots that are the live file itself (see frozen-file.ts), as the node's thread sees them: at
 * most one at a time, read through one descriptor.
 */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs'
import { readFrozen } from './frozen-file.ts'
import { inodeOf } from './live-file.ts'
import type { CopiedDatabase } from './snapshot-copy.ts'

/** Done elsewhere: by the maintenance thread. */
export interface FreezeWork {
  freeze(fd: number): Promise<CopiedDatabase>
  /** The file may change again. */
  thaw(): void
}

/**
 * Databases below this are copied: the copy is made in a moment, and then a slow receiver does not
 * hold back the WAL.
 */
const LIVE_BYTES_MIN = 64 * 1024 * 1024

export class LiveSnapshots {
  readonly #path: string
  readonly #work: FreezeWork
  readonly #bytesMin: number
  #fd: number | null = null
  #current: { readonly snapshot: string; readonly bytes: number } | null = null
  #freezing = false

  constructor(path: string, work: FreezeWork, bytesMin = LIVE_BYTES_MIN) {
    this.#path = path
    this.#work = work
    this.#bytesMin = bytesMin
  }

  /** Whether a snapshot now should be the file itself. */
  get wanted(): boolean {
    if (this.#current !== null || this.#freezing) return false
    const size = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0
    return size >= this.#bytesMin
  }

  has(snapshot: string): boolean {
    return this.#current?.snapshot === snapshot
  }

  /** Throws NOT_READY if the file can't be held now. */
  async create(snapshot: string): Promise<CopiedDatabase> {
    this.#freezing = true
    try {
      const copied = await this.#work.freeze(this.#open())
      this.#current = { snapshot, bytes: copied.bytes }
      return copied
    } finally {
      this.#freezing = false
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { bytes } = this.#current ?? { bytes: 0 }
    return await readFrozen(this.#open(), bytes, offset, length)
  }

  release(): void {
    if (this.#current === null) return
    this.#current = null
    this.#work.thaw()
  }

  /** Only when no connection of this process has the file open any more. */
  close(): void {
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = null
  }

  /** The descriptor of the file that has the name now. */
  #open(): number {
    if (this.#fd !== null && fstatSync(this.#fd).ino !== inodeOf(this.#path)) this.close()
    this.#fd ??= openSync(this.#path, 'r')
    return this.#fd
  }
}
