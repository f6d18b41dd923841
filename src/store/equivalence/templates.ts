/** Short programs of several statements whose point is how they go together. */
import type { Draft } from './draft.ts'
import { ident, settable } from './draft.ts'
import { indexed, kin, watched } from './families.ts'
import type { Feature } from './features.ts'
import { rebuild } from './make-changes.ts'
import { anyTable } from './make-tables.ts'
import type { TableView } from './schema-view.ts'
import type { Sql, Verb } from './script.ts'

type Template = (draft: Draft) => readonly Sql[] | null

function plain(sql: string, verb: Verb = 'other', ...features: Feature[]): Sql {
  return { sql, args: [], verb, features, effects: [] }
}

/** The values of two rows change places: in between, both may not be there. */
function swap(draft: Draft): readonly Sql[] | null {
  const single = (table: TableView) => table.unique.filter((group) => group.length === 1)
  const able = draft.schema.tables.filter((one) => one.kind === 'table' && single(one).length > 0)
  if (able.length === 0) return null
  const table = draft.pick(able)
  const [name = ''] = draft.pick(single(table))
  const column = table.columns.find((one) => one.name === name)
  if (column === undefined || column.generated) return null
  const [one, two, none] = ['1', '2', '-9'].map((n) => (column.affinity === 'text' ? `'${n}'` : n))
  const [c, t] = [ident(name), ident(table.name)]
  const feature = column.key > 0 ? 'key: swapped' : 'unique: swapped'
  const move = (from = '', to = '') =>
    plain(`update ${t} set ${c} = ${to} where ${c} = ${from}`, 'update')
  const make = (value = '') =>
    plain(`insert or ignore into ${t} (${c}) values (${value})`, 'insert')
  return [
    plain('begin'),
    ...(draft.percent(70) ? [make(one), make(two)] : []),
    move(one, none),
    move(two, one),
    move(none, two),
    plain('commit', 'other', feature),
  ]
}

/** Two rows that refer to each other can only be made with a key that is checked at the end. */
function deferred(draft: Draft): readonly Sql[] | null {
  const word = draft.pick(['', 'deferrable initially deferred'])
  const pragma =
    word === ''
      ? [plain('pragma defer_foreign_keys = on', 'other', 'pragma defer_foreign_keys')]
      : []
  const id = draft.int(1, 9)
  const make = `create table if not exists pair${word === '' ? '' : 's'} (id integer primary key,
    other integer references pair${word === '' ? '' : 's'} ${word})`
  const table = word === '' ? 'pair' : 'pairs'
  const partner = draft.percent(70)
    ? [plain(`insert or replace into ${table} values (${id + 10}, ${id})`, 'insert')]
    : []
  return [
    plain(make),
    plain('begin'),
    ...pragma,
    plain(`insert or replace into ${table} values (${id}, ${id + 10})`, 'insert'),
    ...partner,
    plain('commit', 'other', 'foreign key: deferred'),
    plain('rollback'),
  ]
}

/** Functions that tell about the statement before. */
function counters(draft: Draft): readonly Sql[] | null {
  const table = anyTable(draft)
  if (table === null) return null
  const column = draft.pick(settable(table))
  const t = ident(table.name)
  const write = draft.percent(50)
    ? plain(`update ${t} set ${ident(column.name)} = ${ident(column.name)}`, 'update')
    : plain('insert into numbered (v) values (1), (2)', 'insert')
  const read =
    write.verb === 'insert'
      ? plain('select last_insert_rowid(), changes()', 'other', 'function: last_insert_rowid')
      : plain('select changes()', 'other', 'function: changes')
  return [plain('create table if not exists numbered (id integer primary key, v)'), write, read]
}

/** A trigger that calls itself, as far as it is told. */
function recursive(draft: Draft): readonly Sql[] | null {
  const start = draft.int(1, 6)
  return [
    plain('create table if not exists chain (n integer primary key, depth integer)'),
    plain(`create trigger if not exists chain_on after insert on chain when new.n > 0 begin
      insert or ignore into chain values (new.n - 1, new.depth + 1); end`),
    plain(`pragma recursive_triggers = ${draft.percent(70) ? 'on' : 'off'}`),
    plain('delete from chain', 'delete'),
    {
      ...plain(`insert into chain values (${start}, 0)`, 'insert'),
      effects: ['trigger: recursive'],
    },
    plain('select count(*), max(depth) from chain'),
  ]
}

/** What INSTEAD OF triggers are for. */
function updatableView(draft: Draft): readonly Sql[] | null {
  const table = draft.schema.tables.find(
    ({ kind, name }) => kind === 'table' && name === 'numbered',
  )
  if (table === undefined) return null
  const verb = draft.pick(['insert', 'update', 'delete'] as const)
  const body = {
    insert: 'insert into numbered (v) values (new.v)',
    update: 'update numbered set v = new.v where id = old.id',
    delete: 'delete from numbered where id = old.id',
  }[verb]
  const statement = {
    insert: "insert into numbers (v) values ('by view'), (2)",
    update: 'update numbers set v = v + 1 where id < 3',
    delete: 'delete from numbers where id > 4',
  }[verb]
  return [
    plain('create view if not exists numbers as select id, v from numbered'),
    plain(
      `create trigger if not exists numbers_${verb} instead of ${verb} on numbers begin ${body}; end`,
    ),
    { ...plain(statement, verb), effects: [`trigger: instead of ${verb}`] },
  ]
}

const TEMPLATES: readonly Template[] = [
  swap,
  swap,
  deferred,
  counters,
  recursive,
  updatableView,
  rebuild,
  kin,
  kin,
  kin,
  watched,
  watched,
  indexed,
]

export function template(draft: Draft): readonly Sql[] | null {
  return draft.pick(TEMPLATES)(draft)
}
