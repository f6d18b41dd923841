/**
 * Puts a received snapshot in the place of the live database.
 *
 * Several files are involved, so it is first a plan, then its execution: the plan is made durable
 * before anything happens, every operation is harmless when done twice, and whoever opens the
 * database runs an unfinished plan again from its beginning. A crash at any point leaves either
 * the old database untouched or a plan that leads to the new one. (The form is rqlite's
 * snapshot/plan.)
 */
import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import { readIfThere, removeDurably, syncDirectory, writeDurably } from './durable-file.ts'

/** Paths are relative to the database's folder, so that a plan survives moving the folder. */
type InstallOp =
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'rename'; readonly from: string; readonly to: string }
  | { readonly op: 'syncDirectory' }

const MAGIC = 'SQLite format 3\0'

function planPath(livePath: string): string {
  return join(`${livePath}-quorate`, 'install.json')
}

/** Whether a snapshot is just taking the place of the live database. */
export function isInstalling(livePath: string): boolean {
  return existsSync(planPath(livePath))
}

/** Decides; touches nothing. The old WAL must go first: it would be replayed over the new file. */
function planInstall(livePath: string, snapshotPath: string): readonly InstallOp[] {
  const live = basename(livePath)
  return [
    { op: 'remove', path: `${live}-wal` },
    { op: 'remove', path: `${live}-shm` },
    { op: 'remove', path: `${live}-journal` },
    { op: 'rename', from: relative(dirname(livePath), snapshotPath), to: live },
    { op: 'syncDirectory' },
  ]
}

/** Each must be a no-op when it has already happened. */
function execute(folder: string, op: InstallOp): void {
  switch (op.op) {
    case 'remove':
      rmSync(join(folder, op.path), { force: true })
      break
    case 'rename':
      if (existsSync(join(folder, op.from))) renameSync(join(folder, op.from), join(folder, op.to))
      else if (!existsSync(join(folder, op.to))) {
        throw new QuorateError('LOG_CORRUPT', `Neither ${op.from} nor ${op.to} exists.`)
      }
      break
    case 'syncDirectory':
      syncDirectory(folder)
  }
}

/** A snapshot that still needs its own WAL or journal is not one file and can't be renamed. */
function checkSingleFile(snapshotPath: string): void {
  for (const suffix of ['-wal', '-journal']) {
    if (existsSync(snapshotPath + suffix)) {
      const name = basename(snapshotPath) + suffix
      throw new QuorateError('LOG_CORRUPT', `The snapshot is not a single file: there is ${name}.`)
    }
  }
  const head = Buffer.alloc(MAGIC.length)
  const fd = openSync(snapshotPath, 'r')
  try {
    readSync(fd, head, 0, MAGIC.length, 0)
  } finally {
    closeSync(fd)
  }
  if (head.toString('latin1') !== MAGIC) {
    const name = basename(snapshotPath)
    throw new QuorateError('LOG_CORRUPT', `The snapshot ${name} is not a SQLite database.`)
  }
}

/** Durable when it returns: the file is not in WAL mode, and its connection syncs. */
function writeNode(snapshotPath: string, node: string): void {
  const db = new DatabaseSync(snapshotPath)
  try {
    db.exec('pragma journal_mode = delete; pragma synchronous = full')
    db.prepare("update _quorate_state set value = ? where key = 'node'").run(node)
  } finally {
    db.close()
  }
}

/**
 * Replaces the live database by a snapshot file, which disappears from where it was. The snapshot's
 * content must be durable, no connection of the caller's may be open on either, and both must be on
 * one file system. Connections that others hold go on reading the old content until reopened.
 *
 * Throws LOG_CORRUPT if the snapshot is not a complete database in a single file; nothing was done.
 *
 * @param node id that the installed file is to carry instead of its maker's: written into the
 *   snapshot first, so that no crash leaves a live file that says it is another node
 * @param before called ahead of each operation; a test stops there
 */
export function installSnapshot(
  livePath: string,
  snapshotPath: string,
  node: string | null = null,
  before: (op: string) => void = () => {},
): void {
  checkSingleFile(snapshotPath)
  if (node !== null) writeNode(snapshotPath, node)
  const ops = planInstall(livePath, snapshotPath)
  mkdirSync(dirname(planPath(livePath)), { recursive: true })
  before('plan')
  writeDurably(planPath(livePath), JSON.stringify({ version: 1, ops }))
  run(livePath, ops, before)
}

/**
 * Finishes an installation that a crash interrupted. Must run before anything opens the database.
 * Returns whether there was one.
 *
 * Throws LOG_CORRUPT if the plan can't be read or followed.
 */
export function resumeInstall(livePath: string, before: (op: string) => void = () => {}): boolean {
  const text = readIfThere(planPath(livePath))
  if (text === null) return false
  run(livePath, parsePlan(text), before)
  return true
}

function run(livePath: string, ops: readonly InstallOp[], before: (op: string) => void): void {
  for (const op of ops) {
    before(op.op)
    execute(dirname(livePath), op)
  }
  before('done')
  removeDurably(planPath(livePath))
}

function parsePlan(text: string): readonly InstallOp[] {
  try {
    const plan = JSON.parse(text) as { version?: unknown; ops?: unknown }
    if (plan.version === 1 && Array.isArray(plan.ops)) return plan.ops as readonly InstallOp[]
  } catch {
    // Told below, with the same words for whatever is wrong with it.
  }
  throw new QuorateError('LOG_CORRUPT', 'The plan of an unfinished installation is unreadable.')
}
