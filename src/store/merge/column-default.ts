/**
 * What SQLite puts into a column by default, as it stores it: `real default 0` is 0.0, `text default 5`
 * is '5', and a bare word is a text. Asked of SQLite itself, in a database for nothing else.
 */
import { DatabaseSync } from 'node:sqlite'
import type { ExactValue } from '../../model/exact-value.ts'

const known = new Map<string, ExactValue>()

/**
 * The constant default of a column; NULL for what is not the same everywhere and always, since
 * replicas must agree.
 *
 * @param text as PRAGMA table_info tells it
 */
export function defaultOf(type: string, text: string, isStrict: boolean): ExactValue {
  // A function, or the time.
  if (/^current_/i.test(text) || /\w\s*\(/.test(withoutTexts(text))) return null
  const name = `${isStrict} ${type} default ${text}`
  const before = known.get(name)
  if (before !== undefined) return before
  const value = evaluate(type, text, isStrict)
  known.set(name, value)
  return value
}

function evaluate(type: string, text: string, isStrict: boolean): ExactValue {
  const db = new DatabaseSync(':memory:')
  try {
    return stored(db, `${type} default ${text}`, isStrict)
  } catch {
    // An expression has lost its parentheses.
    try {
      return stored(db, `${type} default (${text})`, isStrict)
    } catch {
      return null
    }
  } finally {
    db.close()
  }
}

function stored(db: DatabaseSync, column: string, isStrict: boolean): ExactValue {
  db.exec(`drop table if exists one; create table one (id integer primary key, value ${column})
    ${isStrict ? 'strict' : ''}; insert into one (id) values (1)`)
  const statement = db.prepare('select value from one', { readBigInts: true })
  return (statement.get()?.['value'] ?? null) as ExactValue
}

function withoutTexts(text: string): string {
  return text.replace(/'[^']*'|"[^"]*"/g, '')
}
