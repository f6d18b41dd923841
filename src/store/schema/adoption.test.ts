import { deepEqual, equal, match, ok, throws } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { QuorateError } from '../../base/errors.ts'
import { lockFolder } from '../files/file-lock.ts'
import { detachFile, makePlain, planDeparture } from '../files/plain-file.ts'
import { assertAdoptable, inspectFile } from './adoption.ts'

const CONTENT = `create table t (id integer primary key, v); insert into t values (1, 'x'), (2, null);
  create table k (name text primary key);`

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-adopt-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

function made(dir: string, before = '', after = ''): string {
  const path = join(dir, 'x.db')
  using db = new DatabaseSync(path)
  db.exec(before)
  db.exec(CONTENT + after)
  return path
}

/** A database whose program ended without closing it. */
function leftOver(dir: string): string {
  const path = join(dir, 'left.db')
  using db = new DatabaseSync(join(dir, 'live.db'))
  db.exec(`pragma journal_mode = wal; ${CONTENT}`)
  copyFileSync(join(dir, 'live.db'), path)
  copyFileSync(join(dir, 'live.db-wal'), `${path}-wal`)
  return path
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof QuorateError && error.code === code
}

for (const [name, before] of [
  ['a rollback journal', ''],
  ['WAL mode', 'pragma journal_mode = wal'],
  ['pages of 512 bytes', 'pragma page_size = 512'],
  ['pages of 64 KiB', 'pragma page_size = 65536'],
  ['auto_vacuum', 'pragma auto_vacuum = full'],
  ['incremental vacuum', 'pragma auto_vacuum = incremental'],
] as const) {
  test(`${name}: can be adopted, and looking changes nothing`, (t) => {
    const dir = folder(t)
    const path = made(dir, before)
    const bytes = readFileSync(path)
    const report = inspectFile(path, { integrity: true })
    deepEqual([report.kind, report.problems, report.tables], ['plain', [], 2])
    assertAdoptable(path, false)
    deepEqual(readFileSync(path), bytes)
    deepEqual(readdirSync(dir), ['x.db'])
  })
}

test('what a program left in the WAL counts', (t) => {
  const path = leftOver(folder(t))
  const report = inspectFile(path)
  deepEqual([report.kind, report.tables, report.problems], ['plain', 2, []])
  assertAdoptable(path, false)
})

test('several leaders take less than one', (t) => {
  const path = made(folder(t), '', 'create table n (a, b)')
  assertAdoptable(path, false)
  throws(() => assertAdoptable(path, false, true), /Table n has no PRIMARY KEY/)
  deepEqual(inspectFile(path, { merges: true }).problems.length, 1)
  deepEqual(inspectFile(path).problems, [])
})

test('what can not be adopted is told with the reason', (t) => {
  const dir = folder(t)
  const reasonFor = (make: (path: string) => void): string => {
    const path = join(dir, 'bad.db')
    rmSync(path, { force: true, recursive: true })
    make(path)
    throws(() => assertAdoptable(path, false), hasCode('NOT_ADOPTABLE'))
    return inspectFile(path).problems.join(' ')
  }
  match(
    reasonFor((path) => writeFileSync(path, 'x'.repeat(9000))),
    /is not a SQLite database/,
  )
  match(
    reasonFor((path) => mkdirSync(path)),
    /is a folder/,
  )
  const truncated = (path: string): void => {
    copyFileSync(made(dir, '', 'insert into t select null, randomblob(9000) from t'), path)
    truncateSync(path, 5000)
  }
  match(reasonFor(truncated), /is damaged/)
  const utf16 = (path: string): void => {
    using db = new DatabaseSync(path)
    db.exec(`pragma encoding = 'UTF-16le'; ${CONTENT}`)
  }
  match(reasonFor(utf16), /UTF-16le.*quorate dump .*bad\.db \| sqlite3 new\.db/)
  const reserved = (path: string): void => {
    using db = new DatabaseSync(path)
    db.exec('create table quorate_x (id integer primary key)')
  }
  match(reasonFor(reserved), /quorate_x/)
  const conflicts = (path: string): void => {
    using db = new DatabaseSync(path)
    db.exec('create table quorate_conflicts (id integer primary key)')
  }
  match(reasonFor(conflicts), /quorate_conflicts/)
  match(inspectFile(join(dir, 'bad.db'), { merges: true }).problems.join(), /quorate_conflicts/)
  equal(existsSync(`${dir}/bad.db-quorate`), false)
})

test('an empty file and none are new databases; one that joins must hold nothing', (t) => {
  const dir = folder(t)
  writeFileSync(join(dir, 'empty.db'), '')
  for (const name of ['empty.db', 'none.db']) {
    equal(inspectFile(join(dir, name)).kind, 'none')
    assertAdoptable(join(dir, name), true)
  }
  throws(() => assertAdoptable(made(dir), true), /joins a cluster but holds 2 tables/)
})

/** Another process that has the file open until it is told to end. */
async function otherProcess(t: TestContext, path: string, sql: string): Promise<void> {
  const code = `const d = new (require('node:sqlite').DatabaseSync)(process.argv[1])
    d.exec(process.argv[2]); console.log('open'); process.stdin.resume()`
  const child = spawn(process.execPath, ['-e', code, path, sql], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => child.stdin.destroy())
  await once(child.stdout, 'data')
}

test('a file that another process has open is not adopted', async (t) => {
  const wal = made(folder(t), 'pragma journal_mode = wal')
  await otherProcess(t, wal, 'select * from t')
  throws(() => assertAdoptable(wal, false), hasCode('FILE_IN_USE'))
  const journal = made(folder(t))
  await otherProcess(t, journal, "begin; insert into t values (9, 'y')")
  throws(() => assertAdoptable(journal, false), hasCode('FILE_IN_USE'))
})

const OURS = `create table _quorate_log (idx integer primary key, term integer);
  insert into _quorate_log values (6, 1), (7, 1);
  create table _quorate_state (key text primary key not null, value not null) without rowid;
  insert into _quorate_state values ('cluster', 'c'), ('node', 'a:1'), ('applied', 5);`

test('a detached file has what it had, with the same rowids, and can be adopted again', (t) => {
  const dir = folder(t)
  const path = made(
    dir,
    'pragma journal_mode = wal',
    `delete from t where id = 1; ${OURS}
    insert into k (rowid, name) values (77, 'seventy-seven')`,
  )
  mkdirSync(join(`${path}-quorate`, 'snapshots'), { recursive: true })
  writeFileSync(join(`${path}-quorate`, 'vote'), '')
  const was = { cluster: 'c', node: 'a:1' }
  deepEqual(planDeparture(path), { was, unapplied: 2, folder: `${path}-quorate`, lostFiles: 0 })
  equal(inspectFile(path).kind, 'member')
  detachFile(path)
  deepEqual(readdirSync(dir), ['x.db'])
  using db = new DatabaseSync(path)
  deepEqual(
    { ...db.prepare('select rowid, name from k').get() },
    { rowid: 77, name: 'seventy-seven' },
  )
  equal(
    db.prepare("select count(*) as n from sqlite_schema where name like '%quorate%'").get()?.['n'],
    0,
  )
  equal(db.prepare('pragma integrity_check').get()?.['integrity_check'], 'ok')
  db.close()
  assertAdoptable(path, false)
  deepEqual(planDeparture(path), { was: null, unapplied: 0, folder: null, lostFiles: 0 })
})

test('a node that runs is not detached, and lost work stays', async (t) => {
  const dir = folder(t)
  const path = made(dir, 'pragma journal_mode = wal', OURS)
  const lost = join(`${path}-quorate`, 'lost')
  mkdirSync(lost, { recursive: true })
  writeFileSync(join(lost, '1.lost'), 'x')
  const lock = lockFolder(`${path}-quorate`)
  throws(() => detachFile(path), hasCode('FILE_IN_USE'))
  lock.release()
  using reader = new DatabaseSync(path)
  reader.exec('begin; select * from t')
  throws(() => detachFile(path), hasCode('FILE_IN_USE'))
  equal(inspectFile(path).kind, 'member', 'nothing was done')
  reader.close()
  detachFile(path)
  deepEqual(readdirSync(`${path}-quorate`), ['lost'])
  ok(existsSync(join(lost, '1.lost')))
})

test('a plain file is left as it is', (t) => {
  const path = made(folder(t))
  const bytes = readFileSync(path)
  equal(makePlain(path), 0)
  deepEqual(readFileSync(path), bytes)
})
