/**
 * A disk that forgets. What SQLite committed since the last flush is the end of the WAL file; a
 * crash keeps a drawn part of that end, sometimes torn or with a hole, and always all of what was
 * there when the last flush that returned began.
 *
 * The files are real, so that the production store runs on them unchanged; only what survives a
 * crash is drawn here.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { assert } from '../base/assert.ts'
import type { Prng } from '../base/prng.ts'

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const PAGE_SIZE_AT = 8
const SALT_AT = 16
const CHECKSUM_AT = 24
const SECTOR_BYTES = 512
/** First word of a WAL whose checksums are over big-endian words. */
const MAGIC_BIG_ENDIAN = 0x377f0683

/** How long which WAL was. A checkpoint begins a new WAL, with other salts in its header. */
export interface WalMark {
  readonly salt: string
  readonly bytes: number
}

export class SimDisk {
  /** The database file. */
  readonly file: string
  #flushed: WalMark = { salt: '', bytes: 0 }
  /** Where the accepted part of the WAL that was found after the crash ends. */
  #end = 0
  #image: { readonly database: Buffer; readonly wal: Buffer } | null = null

  constructor(file: string) {
    this.file = file
    mkdirSync(dirname(file), { recursive: true })
  }

  get #wal(): string {
    return `${this.file}-wal`
  }

  /** How much there is to flush now: what a flush that starts now will have made durable. */
  mark(): WalMark {
    let handle: number
    try {
      handle = openSync(this.#wal, 'r')
    } catch {
      return { salt: '', bytes: 0 }
    }
    try {
      const header = Buffer.alloc(HEADER_BYTES)
      const read = readSync(handle, header, 0, HEADER_BYTES, 0)
      if (read < HEADER_BYTES) return { salt: '', bytes: 0 }
      return { salt: header.toString('hex', SALT_AT, SALT_AT + 8), bytes: fstatSync(handle).size }
    } finally {
      closeSync(handle)
    }
  }

  /** A flush that began when `mark` was taken has returned. */
  flushed(mark: WalMark): void {
    // Never backwards: a checkpoint in between has made more durable than this flush did.
    if (mark.salt === this.#flushed.salt) {
      this.#flushed = { ...mark, bytes: Math.max(mark.bytes, this.#flushed.bytes) }
    } else if (mark.salt === this.mark().salt) {
      this.#flushed = mark
    }
  }

  /**
   * Takes the picture of what will be found after a crash at this moment. The connections are still
   * open: closing them would tidy the WAL away.
   *
   * @returns bytes of the WAL that are lost
   */
  crash(prng: Prng): number {
    const now = this.mark()
    const wal = now.bytes === 0 ? Buffer.alloc(0) : readFileSync(this.#wal)
    const safe = now.salt === this.#flushed.salt ? this.#flushed.bytes : 0
    assert(safe <= wal.length, () => `${safe} bytes flushed of a WAL of ${wal.length}`)
    const kept = prng.percent(30) ? safe : prng.intInclusive(safe, wal.length)
    const image = Buffer.from(wal.subarray(0, kept))
    if (kept > safe && prng.percent(30)) {
      // Sectors reach the disk in any order: one before the end may be missing.
      const hole = prng.intInclusive(safe, kept - 1)
      image.fill(0, hole, Math.min(kept, hole + SECTOR_BYTES))
    }
    this.#image = { database: readFileSync(this.file), wal: image }
    return wal.length - kept
  }

  /** Puts the picture in place; all connections are closed by now. */
  restore(): void {
    const image = this.#image
    assert(image !== null, () => 'restore without a crash')
    this.#image = null
    writeFileSync(this.file, image.database)
    rmSync(`${this.file}-shm`, { force: true })
    if (image.wal.length === 0) rmSync(this.#wal, { force: true })
    else writeFileSync(this.#wal, image.wal)
    this.#end = walEnd(image.wal)
  }

  /**
   * The database is open again: cuts off what SQLite did not accept of the WAL, so that its length
   * tells again how much was written. What was found after the crash is on the disk.
   */
  reopened(): void {
    const now = this.mark()
    if (now.bytes > this.#end) truncateSync(this.#wal, this.#end)
    this.#flushed = this.mark()
  }

  /** All that was written is on the disk: after a checkpoint, or a file put in place whole. */
  settled(): void {
    this.#flushed = this.mark()
  }
}

/**
 * Where the last commit that SQLite will accept ends in a WAL: frames count while their salts are
 * the header's and their running checksum fits (sqlite.org/fileformat2.html#walformat).
 */
export function walEnd(wal: Buffer): number {
  if (wal.length < HEADER_BYTES) return 0
  const big = wal.readUInt32BE(0) === MAGIC_BIG_ENDIAN
  const frameBytes = FRAME_HEADER_BYTES + wal.readUInt32BE(PAGE_SIZE_AT)
  let sum = checksum(wal, 0, CHECKSUM_AT, [0, 0], big)
  if (!fits(wal, CHECKSUM_AT, sum)) return 0
  let end = HEADER_BYTES
  for (let at = HEADER_BYTES; at + frameBytes <= wal.length; at += frameBytes) {
    if (wal.compare(wal, SALT_AT, SALT_AT + 8, at + 8, at + 16) !== 0) break
    sum = checksum(wal, at, at + 8, sum, big)
    sum = checksum(wal, at + FRAME_HEADER_BYTES, at + frameBytes, sum, big)
    if (!fits(wal, at + 16, sum)) break
    const commits = wal.readUInt32BE(at + 4) > 0
    if (commits) end = at + frameBytes
  }
  return end === HEADER_BYTES ? 0 : end
}

type Sum = readonly [number, number]

function checksum(wal: Buffer, from: number, to: number, start: Sum, big: boolean): Sum {
  let [a, b] = start
  for (let at = from; at < to; at += 8) {
    a = (a + (big ? wal.readUInt32BE(at) : wal.readUInt32LE(at)) + b) >>> 0
    b = (b + (big ? wal.readUInt32BE(at + 4) : wal.readUInt32LE(at + 4)) + a) >>> 0
  }
  return [a, b]
}

function fits(wal: Buffer, at: number, sum: Sum): boolean {
  return wal.readUInt32BE(at) === sum[0] && wal.readUInt32BE(at + 4) === sum[1]
}
