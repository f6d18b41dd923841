/** Random definitions: tables with every kind of key, column and constraint; indexes and views. */
import type { Draft } from './draft.ts'
import { ident, settable } from './draft.ts'
import type { Feature } from './features.ts'
import type { Affinity, ColumnView, TableView } from './schema-view.ts'
import type { Sql } from './script.ts'

/** Names that a script's tables take; some need quotes. */
const TABLES = ['t1', 't2', 't3', 't4', 't5', 't6', 't7', 'two words', 'order', 'Größe', 'a"b']
const COLUMNS = ['a', 'b', 'c', 'd', 'e', 'select', 'two words', 'n"m', 'oid']
const TYPES: readonly (readonly [string, Affinity])[] = [
  ['integer', 'integer'],
  ['int', 'integer'],
  ['text', 'text'],
  ['varchar(20)', 'text'],
  ['real', 'real'],
  ['numeric', 'numeric'],
  ['blob', 'blob'],
  ['', 'blob'],
]
const STRICT_TYPES: typeof TYPES = [
  ['integer', 'integer'],
  ['int', 'integer'],
  ['text', 'text'],
  ['real', 'real'],
  ['blob', 'blob'],
  ['any', 'blob'],
]
const ACTIONS = ['cascade', 'set null', 'set default', 'restrict', 'no action']

interface Plan {
  readonly strict: boolean
  readonly withoutRowid: boolean
  /** All its foreign keys: SQLite miscounts where one is checked at once and another later. */
  readonly deferred: boolean
  readonly columns: { name: string; type: string; affinity: Affinity; rest: string[] }[]
  readonly constraints: string[]
}

/** A name that no table has, or any if all are taken. */
export function newName(draft: Draft): string {
  const taken = new Set(draft.schema.tables.map(({ name }) => name))
  const free = TABLES.filter((name) => !taken.has(name))
  return draft.pick(free.length > 0 ? free : TABLES)
}

export function createTable(draft: Draft): Sql {
  const name = newName(draft)
  const plan = planTable(draft, name)
  draft.tag('create table')
  const options = [plan.withoutRowid ? 'without rowid' : '', plan.strict ? 'strict' : '']
  const columns = plan.columns.map(({ name: column, type, rest }) =>
    [draft.column(column), type, ...rest].filter((word) => word !== '').join(' '),
  )
  const body = [...columns, ...plan.constraints].join(', ')
  const exists = draft.percent(20) ? 'if not exists ' : ''
  const end = options.filter((word) => word !== '').join(', ')
  return draft.done(`create table ${exists}${draft.column(name)} (${body}) ${end}`.trim())
}

function planTable(draft: Draft, name: string): Plan {
  const strict = draft.percent(20)
  const deferred = draft.percent(25)
  const plan: Plan = { strict, deferred, withoutRowid: false, columns: [], constraints: [] }
  const names = COLUMNS.filter(() => draft.percent(45)).slice(0, 5)
  for (const column of names.length === 0 ? ['a'] : names) {
    const [type, affinity] = draft.pick(strict ? STRICT_TYPES : TYPES)
    plan.columns.push({ name: column, type, affinity, rest: [] })
  }
  const key = addKey(draft, plan)
  for (const column of plan.columns) {
    if (!key.includes(column.name)) addColumnRules(draft, column)
  }
  if (plan.columns.length > 2 && draft.percent(20)) {
    const two = plan.columns.slice(-2).map((column) => ident(column.name))
    plan.constraints.push(`unique (${two.join(', ')})${conflictClause(draft)}`)
  }
  for (const column of plan.columns) {
    if (!key.includes(column.name) && draft.percent(35)) addReference(draft, plan, name, column)
  }
  if (draft.percent(25)) addGenerated(draft, plan)
  return {
    ...plan,
    withoutRowid: key.length > 0 && !isRowid(plan) && draft.percent(35),
  }
}

const isRowid = ({ columns }: Plan) =>
  columns.some(({ rest }) => rest.some((word) => word.startsWith('primary key'))) &&
  columns.some(({ type, rest }) => type === 'integer' && rest[0]?.startsWith('primary key'))

/** Gives the table a key, in any of the ways there are. Returns its columns. */
function addKey(draft: Draft, plan: Plan): readonly string[] {
  const [first, second] = plan.columns
  if (first === undefined) return []
  const notNull = draft.percent(50) ? ['not null'] : []
  const kind = draft.int(1, 10)
  if (kind <= 4) {
    const auto = kind === 1 ? 'primary key autoincrement' : 'primary key'
    plan.columns.unshift({ name: 'id', type: 'integer', affinity: 'integer', rest: [auto] })
    return ['id']
  }
  if (kind <= 6 && second !== undefined) {
    for (const column of [first, second]) column.rest.push(...notNull)
    plan.constraints.push(`primary key (${ident(first.name)}, ${ident(second.name)})`)
    return [first.name, second.name]
  }
  if (kind === 7) return []
  // INTEGER would make it the rowid, which is the case above.
  if (first.type === 'integer') first.type = 'int'
  if (first.affinity === 'text' && draft.percent(40)) first.rest.push(collation(draft))
  first.rest.push(`primary key${draft.percent(20) ? conflictClause(draft) : ''}`, ...notNull)
  return [first.name]
}

function collation(draft: Draft): string {
  return `collate ${draft.pick(['nocase', 'rtrim', 'binary'])}`
}

function conflictClause(draft: Draft): string {
  if (!draft.percent(20)) return ''
  return ` on conflict ${draft.pick(['replace', 'ignore', 'fail', 'abort', 'rollback'])}`
}

function addColumnRules(draft: Draft, column: Plan['columns'][number]): void {
  const { affinity, rest } = column
  if (affinity === 'text' && draft.percent(25)) rest.push(collation(draft))
  if (draft.percent(15)) rest.push(`not null default ${draft.literal(affinity)}`)
  else if (draft.percent(20)) rest.push(`default ${draft.literal(affinity)}`)
  if (draft.percent(12)) rest.push(`unique${conflictClause(draft)}`)
  if (draft.percent(12)) rest.push(`check (${ident(column.name)} is not 5)`)
}

function addReference(
  draft: Draft,
  plan: Plan,
  own: string,
  column: Plan['columns'][number],
): void {
  const parents = draft.schema.tables.filter(
    ({ kind, declared }) => kind === 'table' && declared.length > 0,
  )
  const parent = draft.percent(12) ? null : draft.pick([null, ...parents])
  const on = ['delete', 'update'].map((verb) => `on ${verb} ${draft.pick(ACTIONS)}`).join(' ')
  const deferred = plan.deferred ? ' deferrable initially deferred' : ''
  if (parent === null) {
    const [first] = plan.columns
    const replaces = plan.columns.some(({ rest }) => rest.join().includes('on conflict replace'))
    if (first === undefined || first.name === column.name || !isRowid(plan) || replaces) return
    draft.tag('foreign key: to its own table')
    column.rest.push(`references ${ident(own)} (${ident(first.name)}) ${on}${deferred}`)
    return
  }
  const [key = []] = parent.declared.toSorted((a, b) => b.length - a.length)
  const target = `${ident(parent.name)} (${key.map(ident).join(', ')}) ${on}${deferred}`
  if (key.length === 1) column.rest.push(`references ${target}`)
  else if (plan.columns.length >= key.length) {
    const from = plan.columns.slice(-key.length).map(({ name }) => ident(name))
    plan.constraints.push(`foreign key (${from.join(', ')}) references ${target}`)
  }
}

function addGenerated(draft: Draft, plan: Plan): void {
  const [first] = plan.columns
  if (first === undefined) return
  const from = ident(first.name)
  const terms = [`typeof(${from})`, `${from} || 'x'`, `coalesce(${from}, 0)`]
  const type = plan.strict ? 'any' : draft.pick(['', 'text', 'integer'])
  const kind = draft.pick(['virtual', 'stored'])
  plan.columns.push({
    name: 'made',
    type,
    affinity: 'blob',
    rest: [`as (${draft.pick(terms)}) ${kind}`],
  })
}

const plainTables = (draft: Draft): readonly TableView[] =>
  draft.schema.tables.filter(({ kind }) => kind === 'table')

export function anyTable(draft: Draft): TableView | null {
  const tables = plainTables(draft)
  return tables.length === 0 ? null : draft.pick(tables)
}

export function createIndex(draft: Draft): Sql | null {
  const table = anyTable(draft)
  if (table === null) return null
  draft.tag('create index')
  const unique = draft.percent(30)
  const columns = draft.some(table.columns).slice(0, 3)
  const expression = draft.percent(30)
  const terms = columns.map((column) => indexTerm(draft, column, expression))
  const features: Feature[] = []
  if (expression) features.push(unique ? 'index: unique expression' : 'index: expression')
  else if (unique) features.push('index: unique')
  const partial = draft.percent(25)
  if (partial) features.push('index: partial')
  draft.tag(...features)
  const where = partial ? ` where ${ident(draft.pick(table.columns).name)} is not null` : ''
  const head = `create ${unique ? 'unique ' : ''}index ${draft.percent(20) ? 'if not exists ' : ''}`
  const name = `i${draft.int(1, 12)}`
  return draft.done(`${head}${name} on ${draft.column(table.name)} (${terms.join(', ')})${where}`)
}

function indexTerm(draft: Draft, { name, affinity }: ColumnView, expression: boolean): string {
  const column = ident(name)
  if (expression) return draft.pick([`lower(${column})`, `${column} || 'x'`, `length(${column})`])
  const collate = affinity === 'text' && draft.percent(30) ? ` ${collation(draft)}` : ''
  return `${column}${collate}${draft.percent(20) ? ' desc' : ''}`
}

export function createView(draft: Draft): Sql | null {
  const table = anyTable(draft)
  if (table === null) return null
  draft.tag('create view')
  const columns = draft.some(table.columns).map(({ name }) => ident(name))
  const name = `v${draft.int(1, 4)}`
  const where = draft.percent(40) ? ` where ${columns[0]} is not null` : ''
  return draft.done(
    `create view ${name} as select ${columns.join(', ')} from ${draft.column(table.name)}${where}`,
  )
}

export function createTrigger(draft: Draft): Sql | null {
  const { tables, triggers } = draft.schema
  const able = tables.filter(({ kind }) => kind === 'table' || kind === 'view')
  // Many on many would run away from each other.
  if (able.length === 0 || triggers.length > 8) return null
  const table = draft.pick(able)
  const target = anyTable(draft)
  if (target === null) return null
  draft.tag('create trigger')
  const verb = draft.pick(['insert', 'update', 'delete'])
  const when = table.kind === 'view' ? 'instead of' : draft.pick(['before', 'after', 'after'])
  const row = verb === 'delete' ? 'old' : 'new'
  const column = ident(draft.pick(table.columns).name)
  const of = verb === 'update' && table.kind === 'table' && draft.percent(30) ? ` of ${column}` : ''
  const condition = draft.percent(40) ? ` when ${row}.${column} is not null` : ''
  const body = triggerBody(draft, `${row}.${column}`, target)
  const name = `g${draft.int(1, 12)}`
  return draft.done(
    `create trigger ${name} ${when} ${verb}${of} on ${draft.column(table.name)}${condition}
     begin ${body}; end`,
  )
}

function triggerBody(draft: Draft, given: string, target: TableView): string {
  const columns = settable(target)
  const free = columns.filter(({ rowid, strict }) => !rowid && !strict)
  const column = draft.pick(free.length > 0 ? free : columns)
  const value = free.length > 0 ? given : draft.literal(column.affinity)
  const name = ident(column.name)
  const table = ident(target.name)
  const kind = draft.int(1, 9)
  if (kind <= 2) {
    return `select case when ${value} = ${draft.literal('text')} then ${raise(draft)} end`
  }
  if (kind <= 4)
    return `update ${table} set ${name} = ${value} where ${name} = ${draft.literal(column.affinity)}`
  if (kind === 5) return `delete from ${table} where ${name} = ${value}`
  const names = columns.map((one) => ident(one.name))
  const values = columns.map((one) => (one === column ? value : draft.literal(one.affinity)))
  const or = draft.pick(['', ' or ignore', ' or ignore', ' or replace'])
  return `insert${or} into ${table} (${names.join(', ')}) values (${values.join(', ')})`
}

function raise(draft: Draft): string {
  const kind = draft.pick(['ignore', 'abort', 'fail', 'rollback'] as const)
  draft.tag(`trigger: raise(${kind})`)
  return kind === 'ignore' ? 'raise(ignore)' : `raise(${kind}, 'as the trigger says')`
}

/** FTS5 and R*Tree in the forms that applications use, each with what belongs to it. */
export function createVirtual(draft: Draft): readonly Sql[] {
  const other = (sql: string): Sql => ({ sql, args: [], verb: 'other', features: [], effects: [] })
  const forms = [
    ["create virtual table words using fts5 (title, body, prefix='2 3')"],
    ["create virtual table notes using fts5 (note, content='')"],
    ["create virtual table gone using fts5 (note, content='', contentless_delete=1)"],
    ['create virtual table boxes using rtree (id, x0, x1)'],
    ['create virtual table marked using rtree_i32 (id, x0, x1, y0, y1, +label)'],
    [
      'create table doc (id integer primary key, title text, body text)',
      `create virtual table doc_fts using fts5 (title, body, content='doc', content_rowid='id',
        tokenize='porter unicode61')`,
      `create trigger doc_added after insert on doc begin
        insert into doc_fts (rowid, title, body) values (new.id, new.title, new.body); end`,
      `create trigger doc_gone after delete on doc begin
        insert into doc_fts (doc_fts, rowid, title, body)
        values ('delete', old.id, old.title, old.body); end`,
      `create trigger doc_changed after update on doc begin
        insert into doc_fts (doc_fts, rowid, title, body)
        values ('delete', old.id, old.title, old.body);
        insert into doc_fts (rowid, title, body) values (new.id, new.title, new.body); end`,
    ],
  ]
  return draft.pick(forms).map(other)
}
