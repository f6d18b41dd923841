import { deepEqual, equal, ok } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { generateCities, loadCities } from './cities.ts'
import { buildDataset } from './dataset.ts'

function tempFile(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-dataset-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return join(dir, 'demo.db')
}

/** What must be so in a data set whatever the load did to it. */
function checkConsistency(db: DatabaseSync): void {
  deepEqual(db.prepare('PRAGMA integrity_check').all().length, 1)
  deepEqual(db.prepare('PRAGMA foreign_key_check').all(), [])
  const wrong = db.prepare(`
    SELECT code FROM country WHERE (cities, population) IS NOT
      (SELECT count(*), coalesce(sum(population), 0) FROM city WHERE country = code)`)
  deepEqual(wrong.all(), [])
  db.exec("INSERT INTO city_search (city_search, rank) VALUES ('integrity-check', 1)")
}

test('the real data set has more than 100,000 rows that fit together', async (t) => {
  const file = tempFile(t)
  const counts = buildDataset(file, await loadCities())
  ok(counts.city > 100_000, `${counts.city} cities`)
  ok(counts.country > 200 && counts.region > 3_000, JSON.stringify(counts))
  const db = new DatabaseSync(file)
  t.after(() => db.close())
  equal(db.prepare('SELECT count(*) AS n FROM city').get()?.['n'], counts.city)
  checkConsistency(db)
  const found = db.prepare("SELECT count(*) AS n FROM city_search WHERE city_search MATCH 'paris'")
  ok(Number(found.get()?.['n']) > 0)
})

test('generated cities are the same each time and make a data set of the same shape', (t) => {
  const cities = generateCities(2_000)
  deepEqual(generateCities(2_000), cities)
  const file = tempFile(t)
  equal(buildDataset(file, cities).city, 2_000)
  const db = new DatabaseSync(file)
  t.after(() => db.close())
  checkConsistency(db)
})

test('triggers keep counts and the full-text index right through every kind of change', (t) => {
  const file = tempFile(t)
  buildDataset(file, generateCities(500))
  const db = new DatabaseSync(file)
  t.after(() => db.close())
  db.exec(`
    PRAGMA foreign_keys = ON;
    INSERT INTO city SELECT 1, 'Quorateville', country, id, 42, 0, 0 FROM region LIMIT 1;
    UPDATE city SET name = 'Raftstad', population = 43 WHERE id = 1;
    UPDATE city SET country = (SELECT code FROM country ORDER BY code DESC LIMIT 1) WHERE id = 1;
    DELETE FROM city WHERE id = (SELECT max(id) FROM city)`)
  checkConsistency(db)
  const matches = db.prepare('SELECT rowid FROM city_search WHERE city_search MATCH ?')
  deepEqual(matches.all('raftstad').length, 1)
  deepEqual(matches.all('quorateville').length, 0)
})
