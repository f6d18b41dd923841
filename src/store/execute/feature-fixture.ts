/**
 * Feature by feature: scripts that run on plain SQLite, on a leader and on followers, with equal
 * answers and equal content. The random test goes further into what it knows; these are for what is
 * rare, long-winded, or the habit of an ORM.
 */
import { join } from 'node:path'
import { firstKeyword } from '../../model/sql-tokens.ts'
import { Coverage } from '../equivalence/features.ts'
import type { Sql, Verb } from '../equivalence/script.ts'
import { World } from '../equivalence/world.ts'
import { type Cleanup, folderOf } from '../store-fixture.ts'

/** A program of its own; or several statements that are one program. */
type Step = string | readonly string[]

const VERBS: Readonly<Record<string, Verb>> = {
  ...{ INSERT: 'insert', REPLACE: 'insert', UPDATE: 'update', DELETE: 'delete' },
}

function toSql(sql: string): Sql {
  const word = /^with .* insert into /.test(sql) ? 'INSERT' : firstKeyword(sql)
  const verb = VERBS[word] ?? 'other'
  return { sql, args: [], verb, features: [], effects: [] }
}

function worldOf(t: Cleanup): World {
  return new World(t, join(folderOf(t), 'world'), [], new Coverage())
}

/** Runs the steps everywhere and compares. */
export function same(t: Cleanup, ...steps: Step[]): World {
  const world = worldOf(t)
  for (const step of steps) {
    const statements = (typeof step === 'string' ? [step] : step).map(toSql)
    world.run({ kind: 'batch', programs: [{ atomic: false, statements }] })
  }
  world.run({ kind: 'check', oneByOne: false })
  world.finish()
  return world
}

/** The same on an interactive stream, each statement a round of its own. */
export function sameInStream(t: Cleanup, ...sqls: string[]): World {
  const world = worldOf(t)
  world.run({ kind: 'stream', rounds: sqls.map((sql) => [toSql(sql)]) })
  world.run({ kind: 'check', oneByOne: true })
  world.finish()
  return world
}
