/**
 * Snapshots in virtual time: production's copy of the live file, made in one moment, and received
 * pieces kept in a file as the production port keeps them, so that a broken transfer resumes.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { ErrorData } from '../base/errors.ts'
import type { Prng } from '../base/prng.ts'
import type { SnapshotFile, SnapshotPort } from '../node/ports.ts'
import type { Profile } from './profile.ts'
import { drawDelay } from './profile.ts'
import type { Lifetime, Schedule } from './schedule.ts'

/** Copies the database as it is into a file and says what the last log entry in it is. */
export type CopyDatabase = (path: string) => SnapshotFile['last']

export interface SnapshotPortOptions {
  readonly schedule: Schedule
  readonly life: Lifetime
  readonly prng: Prng
  readonly speed: () => Profile['disk']
  /** Where the files go. */
  readonly directory: string
  /** Begins the names of this process's snapshots: no two processes share one. */
  readonly prefix: string
  readonly copy: CopyDatabase
}

export class SimSnapshotPort implements SnapshotPort {
  readonly #options: SnapshotPortOptions
  #made = 0
  #receiving = { snapshot: '', digest: '' }

  constructor(options: SnapshotPortOptions) {
    this.#options = options
    mkdirSync(options.directory, { recursive: true })
  }

  create(done: (reply: SnapshotFile | ErrorData) => void): void {
    this.#later(() => {
      this.#made += 1
      const snapshot = `${this.#options.prefix}-${this.#made}`
      const path = this.#path(snapshot)
      const last = this.#options.copy(path)
      const bytes = statSync(path).size
      const digest = digestOf(path)
      this.#later(() => done({ snapshot, last, bytes, digest }))
    })
  }

  readChunk(snapshot: string, offset: number, done: (data: Uint8Array | ErrorData) => void): void {
    this.#later(() => {
      const path = this.#path(snapshot)
      if (sizeOf(path) === 0) {
        done({ code: 'NOT_FOUND', detail: `No snapshot ${snapshot}.` })
        return
      }
      // Small pieces, so that many of them travel even for a small file.
      const data = Buffer.alloc(16 * 1024)
      const handle = openSync(path, 'r')
      const read = readSync(handle, data, 0, data.length, offset)
      closeSync(handle)
      done(data.subarray(0, read))
    })
  }

  release(snapshot: string): void {
    rmSync(this.#path(snapshot), { force: true })
  }

  resumeAt(snapshot: string, digest: string, done: (offset: number) => void): void {
    this.#later(() => done(sizeOf(this.#received(snapshot, digest))))
    this.#receiving = { snapshot, digest }
  }

  writeChunk(
    snapshot: string,
    offset: number,
    data: Uint8Array,
    done: (error: ErrorData | null) => void,
  ): void {
    this.#later(() => {
      const path = this.#received(snapshot, this.#receiving.digest)
      const handle = openSync(path, offset === 0 ? 'w' : 'r+')
      writeSync(handle, data, 0, data.length, offset)
      closeSync(handle)
      done(null)
    })
  }

  finish(
    snapshot: string,
    bytes: number,
    digest: string,
    done: (reply: { readonly path: string } | ErrorData) => void,
  ): void {
    this.#later(() => {
      const path = this.#received(snapshot, digest)
      if (sizeOf(path) === bytes && digestOf(path) === digest) {
        done({ path })
        return
      }
      rmSync(path, { force: true })
      done({ code: 'BAD_REQUEST', detail: `Snapshot ${snapshot} arrived damaged.` })
    })
  }

  #path(snapshot: string): string {
    return join(this.#options.directory, `${snapshot}.made`)
  }

  #received(snapshot: string, digest: string): string {
    return join(this.#options.directory, `${snapshot}-${digest.slice(0, 16)}.part`)
  }

  #later(run: () => void): void {
    const { schedule, life, prng, speed } = this.#options
    schedule.after(drawDelay(prng, speed().store), life, run)
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}
