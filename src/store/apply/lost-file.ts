/**
 * The file that keeps a tail which was taken back: transactions that this node had logged and no
 * majority held. `quorate lost` lists such files, shows their rows and replays them.
 *
 * Format: a line of magic, a line of JSON, then the entries, each as index, term, kind, time,
 * checksum and length of the body (33 bytes, big-endian) and the body.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { toLogIndex, toTerm } from '../../base/brand.ts'
import { QuorateError } from '../../base/errors.ts'
import { ENTRY_KINDS, type Entry, type EntryId } from '../../model/entry.ts'
import { checkEntry } from '../../model/entry-codec.ts'
import { fields, parseJson, text, whole } from '../../model/fields.ts'
import { syncDirectory } from '../files/durable-file.ts'
import type { FileIdentity } from '../types.ts'

const MAGIC = 'quorate lost 1\n'
const SUFFIX = '.lost'
const HEAD_BYTES = 8 + 8 + 1 + 8 + 4 + 4

/** What a lost file says about itself. */
export interface LostHead {
  readonly cluster: string
  readonly node: string
  /** When it was taken back, ms since 1970. */
  readonly at: number
  readonly transactions: number
  readonly first: EntryId
  readonly last: EntryId
}

/** The folder of lost files of a database. */
export function lostFolder(databasePath: string): string {
  return join(`${databasePath}-quorate`, 'lost')
}

/**
 * Writes a tail durably and returns the file's path. The name tells which entries it holds, so doing
 * it again after a crash replaces the file by an equal one.
 */
export function writeLostFile(
  databasePath: string,
  identity: FileIdentity,
  tail: Omit<LostHead, 'cluster' | 'node'>,
  entries: readonly Entry[],
): string {
  const folder = lostFolder(databasePath)
  mkdirSync(folder, { recursive: true })
  const { first, last } = tail
  const name = `${first.term}-${first.index}_${last.term}-${last.index}${SUFFIX}`
  const path = join(folder, name)
  const fd = openSync(`${path}.tmp`, 'w')
  try {
    write(fd, Buffer.from(`${MAGIC}${JSON.stringify({ ...identity, ...tail })}\n`))
    for (const entry of entries) {
      write(fd, headOf(entry))
      write(fd, entry.body)
    }
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${path}.tmp`, path)
  for (const made of [folder, dirname(folder), dirname(dirname(folder))]) syncDirectory(made)
  return path
}

/** Paths of a database's lost files, oldest entries first. */
export function listLostFiles(databasePath: string): readonly string[] {
  try {
    const names = readdirSync(lostFolder(databasePath)).filter((name) => name.endsWith(SUFFIX))
    const order = (name: string) => Number(/^\d+-(\d+)_/.exec(name)?.[1] ?? 0)
    return names
      .sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1))
      .map((name) => join(lostFolder(databasePath), name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Reads a lost file; decode the bodies with decodeBatch. Throws LOG_CORRUPT. */
export function readLostFile(path: string): { head: LostHead; entries: readonly Entry[] } {
  const bytes = readFileSync(path)
  const end = bytes.indexOf(0x0a, MAGIC.length)
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC || end === -1) throw corrupt(path)
  try {
    const head = toHead(parseJson(bytes.toString('utf8', MAGIC.length, end), 'head'))
    const entries: Entry[] = []
    let at = end + 1
    while (at < bytes.length) {
      const entry = entryAt(bytes, at)
      checkEntry(entry)
      entries.push(entry)
      at += HEAD_BYTES + entry.body.length
    }
    return { head, entries }
  } catch (cause) {
    throw corrupt(path, cause)
  }
}

function corrupt(path: string, cause?: unknown): QuorateError {
  const detail = `${path} is not a complete file of lost transactions.`
  return new QuorateError('LOG_CORRUPT', detail, {}, { cause })
}

function write(fd: number, bytes: Uint8Array): void {
  let done = 0
  while (done < bytes.length) done += writeSync(fd, bytes, done)
}

function headOf(entry: Entry): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeDoubleBE(entry.index, 0)
  head.writeDoubleBE(entry.term, 8)
  head.writeUInt8(ENTRY_KINDS.indexOf(entry.kind), 16)
  head.writeDoubleBE(entry.at, 17)
  head.writeUInt32BE(entry.checksum, 25)
  head.writeUInt32BE(entry.body.length, 29)
  return head
}

function entryAt(bytes: Buffer, at: number): Entry {
  const length = bytes.readUInt32BE(at + 29)
  const kind = ENTRY_KINDS[bytes.readUInt8(at + 16)]
  const body = bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length)
  if (kind === undefined || body.length !== length) {
    throw new QuorateError('LOG_CORRUPT', `The entry at byte ${at} is cut off.`)
  }
  return {
    index: toLogIndex(bytes.readDoubleBE(at)),
    term: toTerm(bytes.readDoubleBE(at + 8)),
    kind,
    at: bytes.readDoubleBE(at + 17),
    body: new Uint8Array(body),
    checksum: bytes.readUInt32BE(at + 25),
  }
}

function toHead(value: unknown): LostHead {
  const head = fields(value, 'head')
  const id = (what: 'first' | 'last'): EntryId => {
    const { term, index } = fields(head[what], what)
    return { term: toTerm(whole(term, 'term')), index: toLogIndex(whole(index, 'index')) }
  }
  return {
    cluster: text(head['cluster'], 'cluster'),
    node: text(head['node'], 'node'),
    at: whole(head['at'], 'at'),
    transactions: whole(head['transactions'], 'transactions'),
    first: id('first'),
    last: id('last'),
  }
}
