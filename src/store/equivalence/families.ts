/**
 * Small families of tables for what random tables rarely bring about: every foreign-key action with
 * rows that it acts on, every kind of trigger, every RAISE, indexes that are used.
 */
import type { Draft } from './draft.ts'
import type { Feature } from './features.ts'
import type { Sql, Verb } from './script.ts'

/** ROLLBACK comes in two programs: it is drawn more often. */
const RAISES = ['ignore', 'abort', 'fail', 'rollback', 'rollback', 'rollback'] as const
const ACTIONS = ['cascade', 'set null', 'set default', 'restrict', 'no action'] as const

function plain(sql: string, verb: Verb = 'other', ...features: Feature[]): Sql {
  return { sql, args: [], verb, features, effects: [] }
}

/** A parent and its children, and one of the parent's keys that goes or changes. */
export function kin(draft: Draft): readonly Sql[] {
  const onDelete = draft.pick(ACTIONS)
  const onUpdate = draft.pick(ACTIONS)
  const [p, c] = ['parent', 'child'].map((word) => {
    return `${word}_${onDelete}_${onUpdate}`.replaceAll(' ', '_')
  })
  const id = draft.int(2, 5)
  const deletes = draft.percent(50)
  const action = deletes ? onDelete : onUpdate
  const feature: Feature = `foreign key: on ${deletes ? 'delete' : 'update'} ${action}`
  const acts = action === 'cascade' || action.startsWith('set')
  const sql = deletes
    ? `delete from ${p} where id = ${id}`
    : `update ${p} set id = ${id + 10} where id = ${id}`
  // RESTRICT and NO ACTION are seen where they let a parent without children go.
  const children = acts || draft.percent(30) ? `(${id}), (${id})` : '(1)'
  const change = plain(sql, deletes ? 'delete' : 'update', ...(acts ? [] : [feature]))
  return [
    plain(`create table if not exists ${p} (id integer primary key)`),
    plain(`create table if not exists ${c} (n integer primary key, p integer default 1
      references ${p} on delete ${onDelete} on update ${onUpdate})`),
    plain(`insert or ignore into ${p} values (1), (${id})`, 'insert'),
    plain(`insert into ${c} (p) values ${children}`, 'insert'),
    acts ? { ...change, effects: [feature] } : change,
    plain(`delete from ${c} where n % 3 = 0`, 'delete'),
  ]
}

/** A table with one kind of trigger, which writes down what it sees, or objects. */
export function watched(draft: Draft): readonly Sql[] {
  const verb = draft.pick(['insert', 'update', 'delete'] as const)
  const when = draft.pick(['before', 'after'] as const)
  const raise = draft.percent(40) ? draft.pick(RAISES) : null
  const row = verb === 'delete' ? 'old' : 'new'
  const name = `watched_${when}_${verb}${raise === null ? '' : `_${raise}`}`
  const end = raise === 'ignore' ? '' : ", 'as the trigger says'"
  const body =
    raise === null
      ? `insert into seen (what, n) values ('${name}', ${row}.n)`
      : `insert into seen (what, n) values ('${name}', 0);
         select raise(${raise}${end}) where ${row}.n = 3`
  const statement = {
    insert: `insert into ${name} (n) values (2), (${draft.int(1, 4)})`,
    update: `update ${name} set n = n % 4 + 1`,
    delete: `delete from ${name} where n <> ${draft.int(1, 4)}`,
  }[verb]
  const change = plain(statement, verb)
  const feature: Feature = `trigger: ${when} ${verb}`
  const effects: Feature[] = raise === null ? [feature] : [feature, `trigger: raise(${raise})`]
  const make = [
    plain('create table if not exists seen (id integer primary key, what, n)'),
    plain(`create table if not exists ${name} (id text unique, n integer)`),
    plain(`create trigger if not exists on_${name} ${when} ${verb} on ${name} begin ${body}; end`),
  ]
  // In the program that makes it, ROLLBACK takes more back than in SQLite (docs/sqlite.md).
  const there = draft.schema.tables.some((table) => table.name === name)
  if (raise === 'rollback' && !there) return make
  return [
    ...(raise === 'rollback' ? [] : make),
    plain(`insert into ${name} (n) values (1), (2)`, 'insert'),
    { ...change, effects },
    plain('delete from seen where id % 5 > 0', 'delete'),
    plain(`delete from ${name} where n > 2 and rowid > 8`, 'delete'),
  ]
}

/** Rows that an index of each kind is asked about, or that it keeps out. */
export function indexed(draft: Draft): readonly Sql[] {
  const [feature, unique, terms] = draft.pick<readonly [Feature, string, string]>([
    ['index: partial', 'unique', '(a) where b > 2'],
    ['index: expression', '', '(a || b)'],
    ['index: unique', 'unique', '(a desc, b)'],
    ['index: unique expression', 'unique', '(lower(a), abs(b))'],
  ])
  const name = feature.replaceAll(/\W+/g, '_')
  const or = draft.pick(['', ' or replace', ' or ignore'])
  const value = () => `('${draft.pick(['a', 'A', 'b'])}', ${draft.int(-3, 3)})`
  return [
    plain(`create table if not exists of_${name} (a text, b integer)`),
    plain(`create ${unique} index if not exists ${name} on of_${name} ${terms}`),
    plain(`insert${or} into of_${name} values ${value()}, ${value()}`, 'insert', feature),
    plain(`update${or} of_${name} set b = -b where rowid = ${draft.int(1, 6)}`, 'update'),
    plain(`select rowid, * from of_${name} where a || b = 'a1' or b > 2 order by rowid`),
    plain(`delete from of_${name} where rowid > 12`, 'delete'),
  ]
}
