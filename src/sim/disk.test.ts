import { equal, ok } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { prngFromSeed } from '../base/prng.ts'
import { SimDisk } from './disk.ts'

function count(db: DatabaseSync): number {
  return Number(db.prepare('select count(*) as n from t').get()?.['n'])
}

function open(file: string): DatabaseSync {
  const db = new DatabaseSync(file)
  db.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma wal_autocheckpoint = 0')
  return db
}

test('a crash keeps what was flushed and loses some of the rest', () => {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-disk-'))
  try {
    const lost = new Set<boolean>()
    for (let seed = 0; seed < 40; seed += 1) {
      const prng = prngFromSeed(seed)
      const disk = new SimDisk(join(directory, `${seed}`, 'db'))
      let db = open(disk.file)
      db.exec('create table t (id integer primary key, v text)')
      disk.flushed(disk.mark())
      let safe = 0
      for (let round = 0; round < 3; round += 1) {
        const before = count(db)
        for (let i = 0; i < 10; i += 1) {
          const mark = disk.mark()
          const rows = before + i
          db.prepare('insert into t (v) values (?)').run(`row ${i}`)
          if (prng.percent(20)) {
            disk.flushed(mark)
            safe = rows
          } else if (prng.percent(10)) {
            db.exec('pragma wal_checkpoint(truncate)')
            safe = rows + 1
          }
        }
        disk.crash(prng)
        db.close()
        disk.restore()
        db = open(disk.file)
        disk.reopened()
        const left = count(db)
        ok(left >= safe && left <= before + 10, `seed ${seed}: ${left} rows, ${safe} were flushed`)
        equal(db.prepare('pragma integrity_check').get()?.['integrity_check'], 'ok')
        lost.add(left < before + 10)
        safe = left
      }
      db.close()
    }
    equal(lost.size, 2, 'some crashes lose rows and some do not')
  } finally {
    rmSync(directory, { recursive: true })
  }
})
