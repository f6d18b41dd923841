/**
 * Files of snapshots, made here or being received, in `<database>-quorate/snapshots/`. All of it is
 * asynchronous, so that the node's thread goes on; copying and digesting is another thread's.
 *
 * A snapshot of a large database that is made for another node is no file of its own but the live
 * file (live-snapshots.ts). `<id>.db` is one that was copied here or completely received. `<id>.part` is one being received, with
 * the digest that it will have beside it, so that a broken transfer resumes, also after a restart.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import { syncDirectory } from './durable-file.ts'
import type { LiveSnapshots } from './live-snapshots.ts'
import type { CopiedDatabase } from './snapshot-copy.ts'

/** The slow work, done elsewhere. */
export interface SnapshotWork {
  /** Copies the live database into a new file. */
  copy(target: string): Promise<CopiedDatabase>
  digest(path: string): Promise<{ readonly bytes: number; readonly digest: string }>
}

/** Peers name snapshots, and names become paths. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/

/** The SnapshotPort of node/ports.ts. */
export class SnapshotFiles {
  readonly #folder: string
  readonly #work: SnapshotWork
  readonly #live: LiveSnapshots | null
  /** Steps of the transfer being received, one after the other. */
  #receiving: Promise<unknown> = Promise.resolve()

  /** Removes what an earlier process left, but for a transfer that can resume. */
  constructor(quorateFolder: string, work: SnapshotWork, live: LiveSnapshots | null = null) {
    this.#folder = join(quorateFolder, 'snapshots')
    this.#work = work
    this.#live = live
    mkdirSync(this.#folder, { recursive: true })
    for (const name of readdirSync(this.#folder)) {
      if (!/\.part(\.json)?$/.test(name)) rmSync(join(this.#folder, name), { recursive: true })
    }
  }

  /** Makes one for another node, of the live file itself where that is large. */
  create(done: (reply: (CopiedDatabase & { snapshot: string }) | ErrorData) => void): void {
    const live = this.#live
    if (live === null || !live.wanted) {
      this.createFile(done)
      return
    }
    const snapshot = drawName()
    live.create(snapshot).then(
      (copied) => done({ snapshot, ...copied }),
      // Long reads are in the way, or the thread has ended and the copy will tell.
      () => this.createFile(done),
    )
  }

  /** Makes one as a file of its own, see pathOf. */
  createFile(done: (reply: (CopiedDatabase & { snapshot: string }) | ErrorData) => void): void {
    const snapshot = drawName()
    const path = this.#path(snapshot, 'db')
    const made = this.#work.copy(path).then(
      (copied) => ({ snapshot, ...copied }),
      async (error: unknown) => {
        await rm(path, { force: true })
        throw error
      },
    )
    answer(made, done)
  }

  /** Where a snapshot made by createFile is, until it is released. */
  pathOf(snapshot: string): string {
    return this.#path(snapshot, 'db')
  }

  readChunk(snapshot: string, offset: number, done: (data: Uint8Array | ErrorData) => void): void {
    const live = this.#live
    if (live?.has(snapshot)) answer(live.read(offset, LIMITS.snapshotChunkBytes), done)
    else answer(this.#read(snapshot, offset), done)
  }

  release(snapshot: string): void {
    if (this.#live?.has(snapshot)) this.#live.release()
    else if (NAME.test(snapshot)) answer(rm(this.#path(snapshot, 'db'), { force: true }), () => {})
  }

  resumeAt(snapshot: string, digest: string, done: (offset: number) => void): void {
    const offset = this.#inTurn(() => this.#resume(snapshot, digest))
    answer(offset, (reply) => done(typeof reply === 'number' ? reply : 0))
  }

  writeChunk(
    snapshot: string,
    offset: number,
    data: Uint8Array,
    done: (error: ErrorData | null) => void,
  ): void {
    const written = this.#inTurn(() => this.#write(snapshot, offset, data))
    answer(written, (reply) => done(reply ?? null))
  }

  finish(
    snapshot: string,
    bytes: number,
    digest: string,
    done: (reply: { readonly path: string } | ErrorData) => void,
  ): void {
    answer(
      this.#inTurn(() => this.#finish(snapshot, bytes, digest)),
      done,
    )
  }

  /** Resolves when nothing is being written any more. */
  async close(): Promise<void> {
    await this.#receiving
  }

  async #read(snapshot: string, offset: number): Promise<Uint8Array> {
    const path = this.#path(snapshot, 'db')
    const file = await open(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') throw cause
      throw new QuorateError('NOT_FOUND', `There is no snapshot ${snapshot}.`, {}, { cause })
    })
    try {
      const data = new Uint8Array(LIMITS.snapshotChunkBytes)
      let length = 0
      while (length < data.length) {
        const { bytesRead } = await file.read(data, length, data.length - length, offset + length)
        if (bytesRead === 0) break
        length += bytesRead
      }
      return length === data.length ? data : data.slice(0, length)
    } finally {
      await file.close()
    }
  }

  /** Keeps the part of this very snapshot, if there is one, and forgets all others. */
  async #resume(snapshot: string, digest: string): Promise<number> {
    const part = this.#path(snapshot, 'part')
    const mine = (await readFile(`${part}.json`, 'utf8').catch(() => '')) === note(digest)
    for (const name of await readdir(this.#folder)) {
      const keep = mine && name.startsWith(`${snapshot}.part`)
      if (/\.part(\.json)?$/.test(name) && !keep) await rm(join(this.#folder, name))
    }
    if (mine) return sizeOf(part)
    await writeFile(`${part}.json`, note(digest))
    return 0
  }

  async #write(snapshot: string, offset: number, data: Uint8Array): Promise<null> {
    const part = this.#path(snapshot, 'part')
    const size = await sizeOf(part)
    if (size !== offset) {
      const detail = `A piece of snapshot ${snapshot} begins at ${offset}, ${size} bytes are here.`
      throw new QuorateError('BAD_REQUEST', detail)
    }
    const file = await open(part, 'a')
    try {
      await file.appendFile(data)
    } finally {
      await file.close()
    }
    return null
  }

  async #finish(snapshot: string, bytes: number, digest: string): Promise<{ path: string }> {
    const part = this.#path(snapshot, 'part')
    const path = this.#path(snapshot, 'db')
    const got = await this.#work.digest(part)
    if (got.bytes !== bytes || got.digest !== digest) {
      await this.#forget(part)
      const detail = `Snapshot ${snapshot} arrived damaged: ${got.bytes} of ${bytes} bytes.`
      throw new QuorateError('BAD_REQUEST', detail)
    }
    const file = await open(part, 'r+')
    try {
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(part, path)
    await this.#forget(part)
    syncDirectory(this.#folder)
    return { path }
  }

  async #forget(part: string): Promise<void> {
    await rm(part, { force: true })
    await rm(`${part}.json`, { force: true })
  }

  #path(snapshot: string, extension: 'db' | 'part'): string {
    if (!NAME.test(snapshot)) {
      throw new QuorateError('BAD_REQUEST', 'The name of a snapshot has letters that it may not.')
    }
    return join(this.#folder, `${snapshot}.${extension}`)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#receiving.then(work)
    this.#receiving = result.catch(() => {})
    return result
  }
}

function drawName(): string {
  return randomBytes(8).toString('hex')
}

/** Content of the note beside a part. */
function note(digest: string): string {
  return JSON.stringify({ digest })
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}

/** Hands a promise's outcome to a callback that takes errors as data. */
function answer<T>(promise: Promise<T>, done: (reply: T | ErrorData) => void): void {
  promise.then(done, (error: unknown) => done(toErrorData(error)))
}
