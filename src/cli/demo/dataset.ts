/**
 * The demo's database: what a real one brings along. Foreign keys, indexes, triggers that keep
 * counts and a full-text index up to date, and the tables that the load writes to and is checked by.
 */
import { DatabaseSync } from 'node:sqlite'
import type { City } from './cities.ts'

/** Rows of each table. */
export type DatasetCounts = Readonly<Record<'country' | 'region' | 'city', number>>

const TABLES = `
CREATE TABLE country (
  code TEXT PRIMARY KEY NOT NULL,
  name TEXT NOT NULL,
  cities INTEGER NOT NULL DEFAULT 0,
  population INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE region (
  id INTEGER PRIMARY KEY,
  country TEXT NOT NULL REFERENCES country (code),
  code TEXT NOT NULL,
  UNIQUE (country, code)
);
CREATE TABLE city (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  country TEXT NOT NULL REFERENCES country (code),
  region INTEGER NOT NULL REFERENCES region (id),
  population INTEGER NOT NULL CHECK (population >= 0),
  latitude REAL NOT NULL,
  longitude REAL NOT NULL
);
CREATE TABLE client (
  name TEXT PRIMARY KEY NOT NULL,
  visits INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE visit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  client TEXT NOT NULL REFERENCES client (name),
  number INTEGER NOT NULL,
  city INTEGER NOT NULL REFERENCES city (id),
  at INTEGER NOT NULL
);
CREATE TABLE review (
  visit INTEGER PRIMARY KEY REFERENCES visit (id) ON DELETE CASCADE,
  stars INTEGER NOT NULL CHECK (stars BETWEEN 1 AND 5),
  words TEXT NOT NULL
);
CREATE TABLE seat (
  id INTEGER PRIMARY KEY,
  label TEXT NOT NULL UNIQUE,
  client TEXT NOT NULL REFERENCES client (name),
  number INTEGER NOT NULL
);
CREATE VIRTUAL TABLE city_search USING fts5 (name, content='city', content_rowid='id');
`

/** After the rows, so that building them is one pass each. `visit` has no unique key on purpose:
 *  a write that ran twice must show as two rows and not hide behind a constraint. */
const INDEXES_AND_TRIGGERS = `
CREATE INDEX region_by_country ON region (country);
CREATE INDEX city_by_name ON city (name);
CREATE INDEX city_by_country ON city (country, population DESC);
CREATE INDEX city_by_region ON city (region);
CREATE INDEX visit_by_city ON visit (city);
CREATE INDEX visit_by_client ON visit (client, number);

CREATE TRIGGER city_inserted AFTER INSERT ON city BEGIN
  UPDATE country SET cities = cities + 1, population = population + new.population
    WHERE code = new.country;
END;
CREATE TRIGGER city_found AFTER INSERT ON city BEGIN
  INSERT INTO city_search (rowid, name) VALUES (new.id, new.name);
END;
CREATE TRIGGER city_deleted AFTER DELETE ON city BEGIN
  UPDATE country SET cities = cities - 1, population = population - old.population
    WHERE code = old.country;
END;
CREATE TRIGGER city_not_found AFTER DELETE ON city BEGIN
  INSERT INTO city_search (city_search, rowid, name) VALUES ('delete', old.id, old.name);
END;
CREATE TRIGGER city_moved AFTER UPDATE OF country, population ON city BEGIN
  UPDATE country SET cities = cities - 1, population = population - old.population
    WHERE code = old.country;
  UPDATE country SET cities = cities + 1, population = population + new.population
    WHERE code = new.country;
END;
CREATE TRIGGER city_renamed AFTER UPDATE OF name ON city WHEN old.name <> new.name BEGIN
  INSERT INTO city_search (city_search, rowid, name) VALUES ('delete', old.id, old.name);
  INSERT INTO city_search (rowid, name) VALUES (new.id, new.name);
END;
`

const COUNTS = `
UPDATE country SET (cities, population) =
  (SELECT count(*), coalesce(sum(population), 0) FROM city WHERE city.country = country.code);
INSERT INTO city_search (city_search) VALUES ('rebuild');
`

/** Builds the database in a file that does not exist yet, in one transaction. */
export function buildDataset(file: string, cities: readonly City[]): DatasetCounts {
  const db = new DatabaseSync(file)
  try {
    // Nobody else looks at the file, and a crash means starting again: no journal, no waiting.
    db.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON')
    db.exec('BEGIN')
    db.exec(TABLES)
    const counts = insertRows(db, cities)
    db.exec(COUNTS)
    db.exec(INDEXES_AND_TRIGGERS)
    db.exec('COMMIT')
    return counts
  } finally {
    db.close()
  }
}

function insertRows(db: DatabaseSync, cities: readonly City[]): DatasetCounts {
  const names = new Intl.DisplayNames(['en'], { type: 'region', fallback: 'code' })
  const country = db.prepare('INSERT INTO country (code, name) VALUES (?, ?)')
  const region = db.prepare('INSERT INTO region (id, country, code) VALUES (?, ?, ?)')
  const city = db.prepare('INSERT INTO city VALUES (?, ?, ?, ?, ?, ?, ?)')
  const countries = new Set<string>()
  const regions = new Map<string, number>()
  for (const row of cities) {
    if (!countries.has(row.country)) {
      countries.add(row.country)
      country.run(row.country, names.of(row.country) ?? row.country)
    }
    const key = `${row.country}.${row.region}`
    const id = regions.get(key) ?? regions.size + 1
    if (!regions.has(key)) {
      regions.set(key, id)
      region.run(id, row.country, row.region)
    }
    const { latitude, longitude } = row
    city.run(row.id, row.name, row.country, id, row.population, latitude, longitude)
  }
  return { country: countries.size, region: regions.size, city: cities.length }
}
