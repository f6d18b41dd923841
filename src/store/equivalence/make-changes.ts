/** Random changes of the schema: ALTER, DROP, settings, and the migrations that ORMs make. */
import type { Draft } from './draft.ts'
import { ident } from './draft.ts'
import { tagged } from './make-rows.ts'
import {
  anyTable,
  createIndex,
  createTable,
  createTrigger,
  createView,
  createVirtual,
  newName,
} from './make-tables.ts'
import type { TableView } from './schema-view.ts'
import type { Sql } from './script.ts'

/** Above this tables are dropped rather than made. */
const TABLES_MAX = 9

type Make = (draft: Draft) => Sql | null

const CHANGES: readonly (readonly [number, Make])[] = [
  [12, createTable],
  [8, createIndex],
  [5, createView],
  [9, createTrigger],
  [4, dropTable],
  [9, dropNamed],
  [24, alter],
  [3, createAs],
  [3, (draft) => tagged(draft, 'analyze', draft.pick(['analyze', `analyze ${anyName(draft)}`]))],
  [3, (draft) => tagged(draft, 'reindex', draft.pick(['reindex', `reindex ${anyName(draft)}`]))],
]
const WEIGHTS = CHANGES.flatMap(([weight, make]) => new Array<Make>(weight).fill(make))

/** One statement that changes the schema. */
export function change(draft: Draft): Sql | null {
  const tables = draft.schema.tables.filter(({ kind }) => kind === 'table')
  const make = draft.pick(WEIGHTS)
  return make === createTable && tables.length >= TABLES_MAX ? dropTable(draft) : make(draft)
}

/** The tables that a script begins with. */
export function firstTable(draft: Draft): readonly Sql[] {
  return draft.percent(25) ? createVirtual(draft) : [createTable(draft)]
}

const anyName = (draft: Draft): string => ident(anyTable(draft)?.name ?? 'nothing')

export function setting(draft: Draft): Sql {
  const number = draft.int(-5, 1000)
  if (draft.percent(30))
    return tagged(draft, 'pragma application_id', `pragma application_id = ${number}`)
  if (draft.percent(30)) return tagged(draft, 'pragma user_version', 'pragma user_version')
  return tagged(draft, 'pragma user_version', `pragma user_version = ${number}`)
}

function dropTable(draft: Draft): Sql | null {
  const table = anyTable(draft)
  if (table === null) return null
  draft.tag('drop table')
  if (draft.schema.parents.has(table.name.toLowerCase())) draft.tag('drop table: a parent')
  return draft.done(`drop table ${draft.percent(20) ? 'if exists ' : ''}${ident(table.name)}`)
}

function dropNamed(draft: Draft): Sql | null {
  const { tables, indexes, triggers } = draft.schema
  const views = tables.filter(({ kind }) => kind === 'view')
  const exists = draft.percent(30) ? 'if exists ' : ''
  const kind = draft.pick(['index', 'trigger', 'view'] as const)
  const names = { index: indexes, trigger: triggers, view: views.map(({ name }) => name) }[kind]
  const free = names.filter((name) => !name.startsWith('doc_'))
  if (free.length === 0) return null
  return tagged(draft, `drop ${kind}`, `drop ${kind} ${exists}${ident(draft.pick(free))}`)
}

function alter(draft: Draft): Sql | null {
  const table = anyTable(draft)
  if (table === null) return null
  const name = ident(table.name)
  const column = ident(draft.pick(table.columns).name)
  switch (draft.int(1, 7)) {
    case 1:
      return tagged(
        draft,
        'alter table: rename',
        `alter table ${name} rename to ${ident(newName(draft))}`,
      )
    case 2: {
      const to = ident(draft.pick(['a', 'b', 'c', 'renamed', 'two words']))
      return tagged(
        draft,
        'alter table: rename column',
        `alter table ${name} rename column ${column} to ${to}`,
      )
    }
    case 3:
      return tagged(draft, 'alter table: drop column', `alter table ${name} drop column ${column}`)
    case 4:
      return tagged(
        draft,
        'alter table: constraints',
        `alter table ${name} ${constraintChange(draft, column)}`,
      )
    default:
      return tagged(
        draft,
        'alter table: add column',
        `alter table ${name} add column ${newColumn(draft, table)}`,
      )
  }
}

function constraintChange(draft: Draft, column: string): string {
  return draft.pick([
    `alter column ${column} set not null`,
    `alter column ${column} drop not null`,
    `add constraint small check (${column} is not 6)`,
    'drop constraint small',
  ])
}

function newColumn(draft: Draft, table: TableView): string {
  const name = ident(draft.pick(['d', 'e', 'added', 'two words']))
  const parents = draft.schema.tables.filter(({ declared }) => declared[0]?.length === 1)
  const parent = parents.length === 0 || /deferrable/i.test(table.sql) ? null : draft.pick(parents)
  const key = ident(parent?.declared[0]?.[0] ?? '')
  const target =
    parent === null ? '' : ` references ${ident(parent.name)} (${key}) on delete cascade`
  const [first] = table.columns
  return draft.pick([
    `${name} integer`,
    `${name} text default 'new'`,
    `${name} integer not null default 3`,
    `${name} text collate nocase check (${name} <> 'zz')`,
    `${name} any as (typeof(${ident(first?.name ?? 'a')})) virtual`,
    `${name} integer${target}`,
  ])
}

function createAs(draft: Draft): Sql | null {
  const varying = draft.percent(25) && draft.schema.tables.some(({ name }) => name === 'vary')
  draft.tag('create table as')
  if (varying) {
    const name = `vary_${draft.int(1, 3)}`
    draft.tag('function: random')
    return draft.done(`create table ${name} as select id, r, random() as more from vary`)
  }
  const table = anyTable(draft)
  if (table === null) return null
  const exists = draft.percent(20) ? 'if not exists ' : ''
  return draft.done(
    `create table ${exists}${ident(newName(draft))} as select * from ${ident(table.name)} limit 10`,
  )
}

// Migrations

const plain = (sql: string, verb: Sql['verb'] = 'other'): Sql => ({
  sql,
  args: [],
  verb,
  features: [],
  effects: [],
})

/** How a table is made anew under its name, in the words of several ORMs. */
export function rebuild(draft: Draft): readonly Sql[] | null {
  const table = anyTable(draft)
  if (table === null || /^create table \S+ as/i.test(table.sql)) return null
  // SQLite counts what dropping a parent breaks, and does not see that the new name mends it.
  const off = draft.percent(70) || draft.schema.parents.has(table.name.toLowerCase())
  const middle = rebuildSteps(draft, table)
  const checked = draft.percent(50) ? [plain('pragma foreign_key_check')] : []
  const feature = off ? 'migration: rebuild and rename' : 'migration: rebuild with foreign keys on'
  const commit: Sql = { ...plain('commit'), features: [feature] }
  const deferred = draft.percent(40) ? [plain('pragma defer_foreign_keys = on')] : []
  const inside = [plain('begin'), ...(off ? [] : deferred), ...middle, ...checked, commit]
  if (!off) return inside
  const on = (word: string): Sql => ({
    ...plain(`pragma foreign_keys = ${word}`),
    features: ['pragma foreign_keys'],
  })
  return [on('off'), ...inside, on('on')]
}

function rebuildSteps(draft: Draft, { name, sql, columns }: TableView): readonly Sql[] {
  const made = ident(draft.pick([`__new_${name}`, `temporary_${name}`, `new__${name}`]))
  const old = ident(name)
  const list = columns
    .filter(({ generated }) => !generated)
    .map((column) => ident(column.name))
    .join(', ')
  return [
    plain(sql.replace(/^create table\s+(?:"(?:[^"]|"")*"|[^\s("]+)/i, `create table ${made}`)),
    plain(`insert into ${made} (${list}) select ${list} from ${old}`, 'insert'),
    plain(`drop table ${old}`),
    plain(`alter table ${made} rename to ${old}`),
  ]
}
