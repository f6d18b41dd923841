/**
 * Looks at a file before anything is done to it: what it is, whether it belongs to a cluster, and
 * what keeps it from being adopted. Reads the schema and hardly any rows, so the size of the file
 * does not matter, and leaves the file and its folder as they are.
 */
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { QuorateError } from '../../base/errors.ts'
import { Connection } from '../connections.ts'
import { isInstalling } from '../files/snapshot-install.ts'
import type { FileIdentity } from '../types.ts'
import { checkAdoptable } from './schema-guard.ts'

/** What a file is. */
export interface FileReport {
  /** `none`: there is no file, or an empty one, so a new database begins. */
  readonly kind: 'none' | 'plain' | 'member'
  readonly identity: FileIdentity | null
  /** Why it can't be adopted, each as a sentence. */
  readonly problems: readonly string[]
  readonly bytes: number
  readonly tables: number
  readonly pageBytes: number
  readonly encoding: string
  readonly journalMode: string
}

/** What an inspection looks at beside what it always does. */
interface Looks {
  readonly integrity?: boolean
  readonly merges?: boolean
}

interface FileState {
  readonly identity: FileIdentity | null
  readonly unapplied: number
}

const NOTHING = { identity: null, tables: 0, pageBytes: 0, encoding: '', journalMode: '' }
const MAGIC = 'SQLite format 3\0'

/**
 * Reports on a file. What is wrong with it is in `problems`; only trouble with the machine is thrown.
 *
 * @param looks what more it looks at: `integrity` all pages, which takes about as long as copying the
 *   file; `merges` what several leaders need
 */
export function inspectFile(path: string, looks: Looks = {}): FileReport {
  const size = statSync(path, { throwIfNoEntry: false })
  const access = accessProblems(path, size !== undefined)
  if (size?.isDirectory()) {
    return { ...NOTHING, kind: 'plain', bytes: 0, problems: [`${path} is a folder.`] }
  }
  if (size === undefined || size.size === 0) {
    return { ...NOTHING, kind: 'none', bytes: 0, problems: access }
  }
  const seen = { bytes: size.size }
  try {
    return withFile(path, (db) => ({ ...seen, ...reportOf(db, path, access, looks) }))
  } catch (error) {
    const reason = damage(path, error)
    return { ...NOTHING, ...seen, kind: 'plain', problems: [...access, reason] }
  }
}

/** Who a database file says it is, and how far its data is behind its log. */
export function readFileState(path: string): FileState {
  try {
    return withFile(path, stateOf)
  } catch (error) {
    throw new QuorateError('NOT_ADOPTABLE', damage(path, error), {}, { cause: error })
  }
}

/**
 * Refuses a file that can't be adopted, before anything is made beside it.
 *
 * @param joins it is to get its content from a cluster, so it must have none
 * @param merges the cluster has several leaders
 * @throws QuorateError NOT_ADOPTABLE with every reason, FILE_IN_USE
 */
export function assertAdoptable(path: string, joins: boolean, merges = false): void {
  if (isInstalling(path)) return
  const report = inspectFile(path, { merges })
  if (report.kind === 'member') return
  const held = joins && report.tables > 0
  const problems = held
    ? [`It joins a cluster but holds ${report.tables} tables already.`]
    : report.problems
  if (problems.length > 0) {
    throw new QuorateError('NOT_ADOPTABLE', `${path} can't be replicated: ${problems.join(' ')}`)
  }
  if (report.kind === 'plain') assertAlone(path)
}

/**
 * Another process that goes on writing would write past Quorate. SQLite tells of one that is in a
 * transaction, and in WAL mode of any that has the file open.
 */
export function assertAlone(path: string): void {
  const db = new DatabaseSync(path, { timeout: 500 })
  try {
    db.exec('pragma locking_mode = exclusive; begin exclusive; rollback')
  } catch (cause) {
    if ((cause as { errcode?: number }).errcode !== 5) throw cause
    const detail = `${path} is open in another process.`
    throw new QuorateError('FILE_IN_USE', detail, {}, { cause })
  } finally {
    db.close()
  }
}

/**
 * Opens a file to look at it. With neither WAL nor journal beside it, it is opened as one that does
 * not change: then not even the files of a reader appear. Otherwise what is beside it counts.
 */
function withFile<T>(path: string, look: (db: DatabaseSync) => T): T {
  const url = pathToFileURL(resolve(path))
  if (!hasBeside(path)) url.searchParams.set('immutable', '1')
  const hot = existsSync(`${path}-journal`)
  const db = new DatabaseSync(url, { readOnly: !hot, timeout: 1_000 })
  try {
    return look(db)
  } finally {
    db.close()
  }
}

/** Whether a WAL or journal with content is beside a file: somebody has it open, or stopped short. */
export function hasBeside(path: string): boolean {
  return ['-wal', '-journal'].some(
    (suffix) => (statSync(path + suffix, { throwIfNoEntry: false })?.size ?? 0) > 0,
  )
}

function reportOf(
  db: DatabaseSync,
  path: string,
  access: readonly string[],
  { integrity = false, merges = false }: Looks,
): Omit<FileReport, 'bytes'> {
  const { identity } = stateOf(db)
  const encoding = text(db, 'encoding')
  const problems = [...access]
  if (identity === null) {
    if (encoding !== 'UTF-8') problems.push(encodingProblem(path, encoding))
    problems.push(...checkAdoptable(new Connection(db), merges))
  }
  if (integrity) problems.push(...integrityProblems(db))
  const tables = `select count(*) as n from sqlite_schema where type = 'table'
    and name not like 'sqlite\\_%' escape '\\' and name not like '\\_quorate\\_%' escape '\\'
    and name <> 'quorate_conflicts'`
  return {
    kind: identity === null ? 'plain' : 'member',
    identity,
    problems,
    tables: Number(db.prepare(tables).get()?.['n']),
    pageBytes: Number(text(db, 'page_size')),
    encoding,
    journalMode: isWal(path) ? 'wal' : 'delete',
  }
}

/** Changes travel as UTF-8, and not every text in UTF-16 has a form in it that comes back equal. */
function encodingProblem(path: string, encoding: string): string {
  return `It keeps its text as ${encoding}. Make one in UTF-8 of it, for example by \`quorate dump ${path} | sqlite3 new.db\`.`
}

function integrityProblems(db: DatabaseSync): string[] {
  const rows = db.prepare('pragma quick_check(10)').all()
  const texts = rows.map((row) => String(row['quick_check'])).filter((line) => line !== 'ok')
  return texts.map((line) => `It is damaged: ${line}.`)
}

function stateOf(db: DatabaseSync): FileState {
  const there = "select 1 from sqlite_schema where name = '_quorate_state'"
  if (db.prepare(there).get() === undefined) return { identity: null, unapplied: 0 }
  const rows = db.prepare('select key, value from _quorate_state').all()
  const state = new Map(rows.map(({ key, value }) => [String(key), value]))
  const last = db.prepare('select max(idx) as last from _quorate_log').get()?.['last']
  const applied = Number(state.get('applied'))
  return {
    identity: { cluster: String(state.get('cluster')), node: String(state.get('node')) },
    unapplied: Math.max(0, Number(last ?? applied) - applied),
  }
}

function text(db: DatabaseSync, pragma: string): string {
  return String(db.prepare(`pragma ${pragma}`).get()?.[pragma])
}

/** What the file's header says: opened as one that does not change, SQLite does not tell. */
function isWal(path: string): boolean {
  return header(path)[18] === 2
}

function header(path: string): Buffer {
  const head = Buffer.alloc(100)
  const fd = openSync(path, 'r')
  try {
    readSync(fd, head, 0, head.length, 0)
  } finally {
    closeSync(fd)
  }
  return head
}

function accessProblems(path: string, exists: boolean): string[] {
  const folder = dirname(resolve(path))
  const problems: string[] = []
  if (exists && !may(path, constants.R_OK | constants.W_OK)) {
    problems.push(`This user may not read and write ${path}.`)
  }
  if (!may(folder, constants.W_OK)) {
    problems.push(`This user may not make files in ${folder}, where the log and its folder belong.`)
  }
  return problems
}

function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

function damage(path: string, error: unknown): string {
  const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff
  if (code === 26 || !header(path).toString('latin1').startsWith(MAGIC)) {
    return `${path} is not a SQLite database.`
  }
  if (code === 11) return `${path} is damaged: ${(error as Error).message}.`
  if (code === 5) return `${path} is locked by another process.`
  return `${path} can't be read: ${error instanceof Error ? error.message : String(error)}.`
}
