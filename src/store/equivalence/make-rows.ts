/** Random statements that read and change rows, of any table that there is. */
import type { Draft } from './draft.ts'
import { ident, rowidOf, settable } from './draft.ts'
import type { Feature } from './features.ts'
import { anyTable } from './make-tables.ts'
import type { ColumnView, SchemaView, TableView } from './schema-view.ts'
import type { Sql } from './script.ts'

/** Above this a table is made smaller again. */
const ROWS_MAX = 30
const CONFLICTS = ['replace', 'ignore', 'fail', 'rollback', 'abort'] as const

/** A table, or now and then a view with a trigger for it. */
function target(draft: Draft, verb: 'Insert' | 'Update' | 'Delete'): TableView | null {
  const views = draft.schema.tables.filter(
    (one) => one.kind === 'view' && one[`on${verb}`].length > 0,
  )
  return views.length > 0 && draft.percent(15) ? draft.pick(views) : anyTable(draft)
}

export function insert(draft: Draft): Sql | null {
  const table = target(draft, 'Insert')
  if (table === null) return null
  if (table.rows > ROWS_MAX) return thin(draft, table)
  draft.tag(...table.features)
  draft.tagEffect(...table.onInsert)
  const verb = insertVerb(draft, table)
  const name = draft.table(table)
  if (draft.percent(3)) {
    draft.tag('insert default values')
    return draft.done(`${verb} into ${name} default values`, 'insert')
  }
  const columns = chosenColumns(draft, table)
  const list = columns.map(({ name: column }) => draft.column(column)).join(', ')
  const rows = draft.percent(8) ? selectFor(draft, columns) : valuesFor(draft, columns)
  const conflict = draft.percent(15) ? upsert(draft, table, rows.startsWith('select')) : ''
  const sql = `${verb} into ${name} (${list}) ${rows}${conflict}${returning(draft, table, 'insert')}`
  return draft.done(sql, 'insert')
}

function insertVerb(draft: Draft, table: TableView): string {
  if (draft.percent(60)) return 'insert'
  // REPLACE hides a reference to nothing within the table from SQLite's count.
  const replaces = !table.refersToItself
  if (replaces && draft.percent(15)) {
    draft.tag('replace')
    return 'replace'
  }
  const conflict = draft.pick(replaces ? CONFLICTS : CONFLICTS.slice(1))
  if (table.kind === 'table') draft.tag(`insert or ${conflict}`)
  return `insert or ${conflict}`
}

/** All that can be set, or some; ids are often left to SQLite. */
function chosenColumns(draft: Draft, table: TableView): readonly ColumnView[] {
  const able = settable(table)
  const columns = draft.percent(75) ? able : draft.some(able)
  const chosen = columns.filter(({ rowid }) => !rowid || draft.percent(60))
  return chosen.length > 0 ? chosen : able
}

function valuesFor(draft: Draft, columns: readonly ColumnView[]): string {
  const count = draft.percent(70) ? 1 : draft.int(2, 3)
  const rows = Array.from({ length: count }, () => {
    return `(${columns.map((column) => draft.value(column)).join(', ')})`
  })
  return `values ${rows.join(', ')}`
}

function selectFor(draft: Draft, columns: readonly ColumnView[]): string {
  const from = anyTable(draft)
  if (from === null) return valuesFor(draft, columns)
  draft.tag('insert select')
  const terms = columns.map((column) =>
    column.rowid || column.strict || draft.percent(40)
      ? draft.value(column)
      : ident(draft.pick(from.columns).name),
  )
  return `select ${terms.join(', ')} from ${ident(from.name)} where true limit 3`
}

function upsert(draft: Draft, table: TableView, fromSelect: boolean): string {
  if (table.kind !== 'table' || (fromSelect && draft.percent(50))) return ''
  if (draft.percent(35)) {
    draft.tag('upsert: do nothing')
    return ' on conflict do nothing'
  }
  const groups = table.unique
  const [first] = groups
  if (first === undefined) return ''
  const several = groups.length > 1 && draft.percent(50)
  draft.tag(several ? 'upsert: several clauses' : 'upsert: do update')
  const targets = several ? groups.slice(0, 2) : [draft.pick(groups)]
  return targets
    .map((group) => ` on conflict (${group.map(ident).join(', ')}) ${doUpdate(draft, table)}`)
    .join('')
}

function doUpdate(draft: Draft, table: TableView): string {
  if (draft.percent(20)) return 'do nothing'
  const columns = settable(table)
  const column = draft.pick(
    columns.filter(({ key }) => key === 0 || draft.percent(20)).concat(columns[0] ?? []),
  )
  const name = ident(column.name)
  const where = draft.percent(25)
    ? ` where ${ident(table.name)}.${name} is not excluded.${name}`
    : ''
  return `do update set ${name} = excluded.${name}${where}`
}

function returning(draft: Draft, table: TableView, verb: 'insert' | 'update' | 'delete'): string {
  if (!draft.percent(15)) return ''
  draft.tag(`returning: ${verb}`)
  if (draft.percent(30)) return ' returning *'
  const rowid = rowidOf(table)
  const column = ident(draft.pick(table.columns).name)
  const terms = [column, `typeof(${column}) as what`]
  if (rowid !== null) terms.push(rowid)
  return ` returning ${terms.join(', ')}`
}

export function update(draft: Draft): Sql | null {
  const table = target(draft, 'Update')
  if (table === null) return null
  draft.tag(...table.features)
  draft.tagEffect(...table.onUpdate)
  const with_ = withClause(draft)
  const verb = updateVerb(draft, table)
  const name = draft.table(table)
  const set = setClause(draft, table)
  // Which row meets the conflict depends on their order, which is SQLite's own affair.
  const ordered = /or (fail|ignore|replace)$/.test(verb) && table.kind === 'table'
  const from = ordered ? whereOne(draft, table) : updateFrom(draft, table)
  const sql = from === '' ? where(draft, table) : from
  return draft.done(
    `${with_}${verb} ${name} set ${set}${sql}${returning(draft, table, 'update')}`,
    'update',
  )
}

function updateVerb(draft: Draft, table: TableView): string {
  if (draft.percent(70)) return 'update'
  const conflict = draft.pick(CONFLICTS)
  if (table.kind === 'table') draft.tag(`update or ${conflict}`)
  return `update or ${conflict}`
}

function setClause(draft: Draft, table: TableView): string {
  const rowid = rowidOf(table)
  if (rowid !== null && draft.percent(4)) {
    draft.tag('rowid: updated')
    return `${rowid} = ${rowid} + ${draft.pick(['1', '10', '-1'])}`
  }
  const able = settable(table)
  const columns = draft.percent(70) ? [draft.pick(able)] : draft.some(able)
  return columns
    .map((column) => {
      if (column.key > 0) draft.tag('key: updated')
      return `${draft.column(column.name)} = ${newValue(draft, table, column)}`
    })
    .join(', ')
}

function newValue(draft: Draft, table: TableView, column: ColumnView): string {
  const name = ident(column.name)
  // The largest id of all must not get into a rowid: SQLite then draws the next at random.
  if (column.rowid) return draft.percent(50) ? `${name} + 1` : draft.literal('integer')
  if (column.strict || draft.percent(65)) return draft.value(column)
  const other = ident(draft.pick(table.columns).name)
  return draft.pick([
    other,
    `${name} + 1`,
    `-${name}`,
    `upper(${name})`,
    `lower(${name})`,
    `${name} || 'x'`,
  ])
}

function updateFrom(draft: Draft, table: TableView): string {
  if (table.kind !== 'table' || !draft.percent(8)) return ''
  const from = anyTable(draft)
  if (from === null) return ''
  draft.tag('update from')
  const mine = ident(draft.pick(table.columns).name)
  const theirs = ident(draft.pick(from.columns).name)
  // Which of several rows it takes is SQLite's to say, and the same for the same content.
  const rows = `(select ${theirs} as x, count(*) as n from ${ident(from.name)} group by 1)`
  return ` from ${rows} as f where f.x = ${ident(table.name)}.${mine}`
}

export function remove(draft: Draft): Sql | null {
  const table = target(draft, 'Delete')
  if (table === null) return null
  draft.tag(...table.features)
  draft.tagEffect(...table.onDelete)
  const with_ = withClause(draft)
  const name = draft.table(table)
  const condition = where(draft, table)
  return draft.done(
    `${with_}delete from ${name}${condition}${returning(draft, table, 'delete')}`,
    'delete',
  )
}

function thin(draft: Draft, table: TableView): Sql {
  const rowid = rowidOf(table)
  draft.tag(...table.features)
  draft.tagEffect(...table.onDelete)
  const most = rowid === null ? '' : ` where ${rowid} % 4 > 0`
  return draft.done(`delete from ${ident(table.name)}${most}`, 'delete')
}

function withClause(draft: Draft): string {
  if (!draft.percent(10)) return ''
  draft.tag('common table expression')
  return `with w (x) as (values (${draft.literal('integer')}), (${draft.literal('text')})) `
}

/** At most one row. */
function whereOne(draft: Draft, table: TableView): string {
  const rowid = rowidOf(table)
  if (rowid !== null) return ` where ${rowid} = ${draft.int(1, 8)}`
  const key = table.columns.filter((column) => column.key > 0)
  return ` where ${key.map((column) => `${ident(column.name)} = ${draft.value(column)}`).join(' and ')}`
}

/** Mostly a few rows. */
function where(draft: Draft, table: TableView): string {
  const column = draft.pick(table.columns)
  const name = ident(column.name)
  const rowid = rowidOf(table)
  const kind = draft.int(1, 12)
  if (kind <= 6) return ` where ${name} = ${draft.value(column)}`
  if (kind === 7) return ` where ${name} is ${draft.percent(50) ? 'not ' : ''}null`
  if (kind === 8)
    return ` where ${name} between ${draft.literal(column.affinity)} and ${draft.literal(column.affinity)}`
  if (kind === 9 && rowid !== null) return ` where ${rowid} = ${draft.int(1, 8)}`
  if (kind === 10) {
    return ` where ${name} in (${draft.literal(column.affinity)}, ${draft.literal(column.affinity)})`
  }
  if (kind === 11) return ` where ${name} = (select max(${name}) from ${ident(table.name)})`
  return draft.percent(40) ? '' : ` where ${name} > ${draft.literal(column.affinity)}`
}

// Reading

export function select(draft: Draft): Sql | null {
  const table = anyRead(draft)
  if (table === null) return null
  const name = draft.table(table)
  const columns = table.columns.map(({ name: column }) => draft.column(column))
  const column = ident(draft.pick(table.columns).name)
  const rowid = rowidOf(table)
  switch (draft.int(1, 9)) {
    case 1:
      return draft.done(`select count(*), min(${column}), max(${column}) from ${name}`)
    case 2:
      return tagged(
        draft,
        'window function',
        `select ${column},
        row_number() over (order by ${columns.join(', ')}) from ${name}`,
      )
    case 3:
      return tagged(
        draft,
        'compound select',
        `select ${column} from ${name} union
        select ${draft.literal('text')} except select 1 order by 1`,
      )
    case 4:
      return tagged(
        draft,
        'common table expression',
        `with w as materialized (select ${columns.join(', ')}
        from ${name}) select count(*) from w`,
      )
    case 5:
      return tagged(
        draft,
        'common table expression: recursive',
        `with recursive w (n) as (
        select 1 union all select n + 1 from w where n < 5)
        select n, (select count(*) from ${name}) from w`,
      )
    case 6:
      return tagged(
        draft,
        'function: json',
        `select json_group_array(typeof(${column})),
        (select sum(value) from json_each('[1,2,3]')) from ${name}`,
      )
    case 7:
      // As the table lies: rowids must be equal everywhere.
      return draft.done(`select ${rowid ?? column}, ${columns.join(', ')} from ${name}`)
    default:
      return draft.done(`select ${columns.join(', ')} from ${name}${where(draft, table)}`)
  }
}

function anyRead(draft: Draft): TableView | null {
  const able = draft.schema.tables.filter(({ kind }) => kind === 'table' || kind === 'view')
  if (able.length === 0) return null
  const table = draft.pick(able)
  if (table.kind === 'view') draft.tag('view')
  return table
}

export function tagged(
  draft: Draft,
  feature: Feature,
  sql: string,
  verb: Sql['verb'] = 'other',
): Sql {
  draft.tag(feature)
  return draft.done(sql, verb)
}

// Virtual tables

/** A statement for FTS5, R*Tree, or what feeds them. */
export function virtualRows(draft: Draft): Sql | null {
  const able = draft.schema.tables.filter(({ kind }) => ['fts5', 'rtree', 'content'].includes(kind))
  if (able.length === 0) return null
  const table = draft.pick(able)
  if (table.kind === 'content') return contentRows(draft)
  draft.tag(...table.features)
  return table.kind === 'rtree' ? boxRows(draft, table) : ftsRows(draft, table)
}

const words = (draft: Draft) =>
  Array.from({ length: draft.int(1, 5) }, () =>
    draft.pick(['one', 'two', 'three', 'Running', 'ünï']),
  ).join(' ')

function contentRows(draft: Draft): Sql {
  const id = draft.int(1, 9)
  draft.tag('fts5: external content')
  switch (draft.int(1, 4)) {
    case 1:
      return draft.done(`delete from doc where id = ${id}`, 'delete')
    case 2:
      return draft.done(`update doc set body = '${words(draft)}' where id = ${id}`, 'update')
    default:
      return draft.done(
        `insert into doc (title, body) values ('${words(draft)}', '${words(draft)}')`,
        'insert',
      )
  }
}

function boxRows(draft: Draft, { name, columns }: TableView): Sql {
  const id = draft.int(1, 9)
  const low = draft.int(-5, 5)
  const edges = columns.length === 3 ? `${low}, ${low + 2}` : `${low}, ${low + 2}, 0, 5, 'label'`
  switch (draft.int(1, 5)) {
    case 1:
      return draft.done(`delete from ${name} where id = ${id}`, 'delete')
    case 2:
      return draft.done(`update ${name} set x1 = x1 + 1 where id = ${id}`, 'update')
    case 3:
      return draft.done(`select * from ${name} where x0 <= ${low} and x1 >= ${low} order by id`)
    default:
      return draft.done(
        `insert or ${draft.pick(CONFLICTS)} into ${name} values (${id}, ${edges})`,
        'insert',
      )
  }
}

function ftsRows(draft: Draft, table: TableView): Sql {
  const { name, columns } = table
  const id = draft.int(1, 9)
  if (draft.percent(15)) return ftsCommand(draft, table)
  if (draft.percent(20)) {
    return tagged(
      draft,
      'fts5: query',
      `select rowid from ${name} where ${name} match 'one OR runn*' order by rowid`,
    )
  }
  if (name === 'doc_fts') return contentRows(draft)
  const list = columns.map((column) => ident(column.name)).join(', ')
  const texts = columns.map(() => `'${words(draft)}'`).join(', ')
  switch (draft.int(1, 5)) {
    case 1:
      return draft.done(`delete from ${name} where rowid = ${id}`, 'delete')
    case 2:
      return draft.done(
        `update ${name} set ${list.split(',')[0]} = '${words(draft)}' where rowid = ${id}`,
        'update',
      )
    default:
      return draft.done(`insert into ${name} (rowid, ${list}) values (${id}, ${texts})`, 'insert')
  }
}

function ftsCommand(draft: Draft, { name }: TableView): Sql {
  const commands = ['optimize', 'integrity-check', 'rebuild']
  const command = draft.pick(commands)
  return tagged(
    draft,
    'fts5: command',
    `insert into ${name} (${name}) values ('${command}')`,
    'insert',
  )
}

// What differs from run to run

/** random() and the time, into a table of which only the replicas are compared with each other. */
export function varyingRows(draft: Draft): Sql | null {
  if (!draft.schema.tables.some(({ name }) => name === 'vary')) return null
  const id = draft.int(1, 20)
  const kind = draft.int(1, 5)
  const value = kind < 4 ? 'random()' : "strftime('%Y-%m-%d %H:%M:%f', 'now')"
  draft.tag(kind < 4 ? 'function: random' : 'function: time')
  switch (draft.int(1, 4)) {
    case 1:
      return draft.done(
        `update vary set r = ${value} where id = ${id} returning typeof(r)`,
        'update',
      )
    case 2:
      return draft.done(`delete from vary where id = ${id} and ${value} is not null`, 'delete')
    case 3:
      return draft.done(
        `insert into vary (id, r) values (${id}, hex(randomblob(9)))
        on conflict (id) do update set r = ${value}`,
        'insert',
      )
    default:
      return draft.done(`insert into vary (r) values (${value}), (random())`, 'insert')
  }
}

export function sequenceRows(draft: Draft, schema: SchemaView = draft.schema): Sql | null {
  const tables = schema.tables.filter(({ features }) => features.includes('autoincrement'))
  if (tables.length === 0) return null
  const name = draft.pick(tables).name.replaceAll("'", "''")
  draft.tag('autoincrement: sqlite_sequence written')
  const where_ = `where name = '${name}'`
  return draft.percent(50)
    ? draft.done(`delete from sqlite_sequence ${where_}`, 'delete')
    : draft.done(`update sqlite_sequence set seq = seq + 5 ${where_}`, 'update')
}
