import { deepEqual, equal, throws } from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { installSnapshot, resumeInstall } from './snapshot-install.ts'

/** A live database with content in its WAL, and a snapshot with other content. */
function inFolder(run: (live: string, snapshot: string, folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-install-'))
  const live = join(folder, 'shop.db')
  const snapshot = join(`${live}-quorate`, 'snapshots', 's1.db')
  mkdirSync(join(`${live}-quorate`, 'snapshots'), { recursive: true })
  const old = new DatabaseSync(live)
  old.exec("pragma journal_mode = wal; create table t (v); insert into t values ('old')")
  const fresh = new DatabaseSync(snapshot)
  fresh.exec("create table t (v); insert into t values ('new')")
  fresh.close()
  try {
    run(live, snapshot, folder)
  } finally {
    old.close()
    rmSync(folder, { recursive: true })
  }
}

function contentOf(path: string): unknown {
  const db = new DatabaseSync(path)
  try {
    return db
      .prepare('select v from t')
      .all()
      .map((row) => row['v'])
  } finally {
    db.close()
  }
}

test('a snapshot takes the place of the database, its WAL and its shared memory', () => {
  inFolder((live, snapshot, folder) => {
    installSnapshot(live, snapshot)
    deepEqual(readdirSync(folder).sort(), ['shop.db', 'shop.db-quorate'])
    deepEqual(contentOf(live), ['new'])
    equal(existsSync(snapshot), false)
    equal(resumeInstall(live), false)
  })
})

test('a crash before any operation is repaired at the next start, however often it happens', () => {
  const ops = ['plan', 'remove', 'remove', 'remove', 'rename', 'syncDirectory', 'done']
  for (let crashAt = 0; crashAt < ops.length; crashAt += 1) {
    inFolder((live, snapshot) => {
      const crash = (at: number) => {
        let count = 0
        return () => {
          if (count === at) throw new Error('power cut')
          count += 1
        }
      }
      throws(() => installSnapshot(live, snapshot, null, crash(crashAt)), /power cut/)
      if (crashAt === 0) {
        equal(resumeInstall(live), false)
        deepEqual(contentOf(live), ['old'], 'without a plan nothing has happened')
        return
      }
      for (let again = 0; again < ops.length - 1; again += 1) {
        throws(() => resumeInstall(live, crash(again)), /power cut/)
      }
      equal(resumeInstall(live), true)
      deepEqual(contentOf(live), ['new'], `crash at ${ops[crashAt]} (${crashAt})`)
      equal(resumeInstall(live), false)
    })
  }
})

test('the installed file is this node from its first moment', () => {
  inFolder((live, snapshot) => {
    const db = new DatabaseSync(snapshot)
    db.exec(`pragma journal_mode = wal; create table _quorate_state (key primary key, value);
      insert into _quorate_state values ('node', 'a:1'), ('cluster', 'c')`)
    db.close()
    installSnapshot(live, snapshot, 'b:2')
    const installed = new DatabaseSync(live)
    const rows = installed.prepare('select value from _quorate_state order by key').all()
    installed.close()
    deepEqual(
      rows.map((row) => row['value']),
      ['c', 'b:2'],
    )
  })
})

test('what is not one complete file is refused and nothing is done', () => {
  inFolder((live, snapshot) => {
    writeFileSync(`${snapshot}-wal`, 'x')
    throws(
      () => installSnapshot(live, snapshot),
      /LOG_CORRUPT|not a single file: there is s1.db-wal/,
    )
    rmSync(`${snapshot}-wal`)
    writeFileSync(snapshot, 'short')
    throws(() => installSnapshot(live, snapshot), { code: 'LOG_CORRUPT' })
    deepEqual(contentOf(live), ['old'])
  })
})

test('a plan that makes no sense is an error, not a guess', () => {
  inFolder((live, snapshot) => {
    const plan = join(`${live}-quorate`, 'install.json')
    writeFileSync(plan, '{"version":1,')
    throws(() => resumeInstall(live), { code: 'LOG_CORRUPT' })
    throws(
      () =>
        installSnapshot(live, snapshot, null, (op) => {
          if (op === 'rename') throw new Error('power cut')
        }),
      /power cut/,
    )
    rmSync(snapshot)
    rmSync(live)
    throws(() => resumeInstall(live), /Neither .* nor shop.db exists/)
  })
})

test('a connection that still has the old file open does no harm to the new one', () => {
  inFolder((live, snapshot) => {
    const stale = new DatabaseSync(live)
    equal(stale.prepare('select v from t').get()?.['v'], 'old')
    installSnapshot(live, snapshot)
    const db = new DatabaseSync(live)
    db.exec("pragma journal_mode = wal; insert into t values ('newer')")
    stale.exec("insert into t values ('lost')")
    stale.close()
    deepEqual(contentOf(live), ['new', 'newer'])
    db.close()
    deepEqual(contentOf(live), ['new', 'newer'])
  })
})
