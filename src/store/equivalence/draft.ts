/** A statement while it is being written: chance, arguments in the order of their marks, tags. */
import type { Prng } from '../../base/prng.ts'
import type { Value } from '../../model/program.ts'
import type { Feature } from './features.ts'
import type { Affinity, ColumnView, SchemaView, TableView } from './schema-view.ts'
import type { Sql, Verb } from './script.ts'

/** Few, so that they meet. */
const TEXTS = ['a', 'A', 'b', 'B', 'c', 'c ', 'ä', 'x y', '5', '1.0', 'word']
const WORDS = new Set(['select', 'order', 'group', 'table', 'from', 'to', 'index', 'values'])

/** Values at the edges, as arguments. */
const EDGES: readonly (readonly [Feature, () => Value])[] = [
  ['value: integers at the ends', () => 9_223_372_036_854_775_807n],
  ['value: integers at the ends', () => -9_223_372_036_854_775_808n],
  ['value: real of 2^63', () => 2 ** 63],
  ['value: negative zero', () => -0],
  ['value: NaN', () => Number.NaN],
  ['value: infinity', () => Number.POSITIVE_INFINITY],
  ['value: infinity', () => Number.NEGATIVE_INFINITY],
  ['value: empty blob', () => new Uint8Array()],
  ['value: large blob', () => new Uint8Array(6_000).fill(7)],
  ['value: empty text', () => ''],
  ['value: NUL in text', () => 'a\0b'],
  ['value: other planes of Unicode', () => '𝄞 é \u{10ffff}'],
]

/** An identifier, in quotes only where it needs them. */
export function ident(name: string): string {
  const bare = /^[a-z_][a-z0-9_]*$/i.test(name) && !WORDS.has(name.toLowerCase())
  return bare ? name : `"${name.replaceAll('"', '""')}"`
}

export class Draft {
  readonly prng: Prng
  readonly schema: SchemaView
  readonly #args: Value[] = []
  readonly #features = new Set<Feature>()
  readonly #effects = new Set<Feature>()

  constructor(prng: Prng, schema: SchemaView) {
    this.prng = prng
    this.schema = schema
  }

  done(sql: string, verb: Verb = 'other'): Sql {
    const features = [...this.#features]
    return { sql, args: this.#args, verb, features, effects: [...this.#effects] }
  }

  /** Reached if the statement succeeds. */
  tag(...features: readonly Feature[]): void {
    for (const feature of features) this.#features.add(feature)
  }

  /** Reached if it succeeds and has further effects. */
  tagEffect(...features: readonly Feature[]): void {
    for (const feature of features) this.#effects.add(feature)
  }

  percent(chance: number): boolean {
    return this.prng.percent(chance)
  }

  pick<T>(list: readonly T[]): T {
    return this.prng.pick(list)
  }

  int(min: number, max: number): number {
    return this.prng.intInclusive(min, max)
  }

  /** One of them or more, in their order. */
  some<T>(list: readonly T[]): readonly T[] {
    const chosen = list.filter(() => this.percent(50))
    return chosen.length > 0 || list.length === 0 ? chosen : [this.pick(list)]
  }

  /** A table's name as a statement may write it. */
  table(table: TableView): string {
    const name = ident(table.name)
    if (name.startsWith('"')) this.tag('names: quoted')
    else if (this.percent(5)) {
      this.tag('names: in another case')
      return name.toUpperCase()
    }
    return this.percent(5) ? `main.${name}` : name
  }

  column(name: string): string {
    const text = ident(name)
    if (text.startsWith('"')) this.tag('names: quoted')
    return text
  }

  /** A value for a column: a mark for an argument, or a literal. */
  value(column: ColumnView): string {
    // A wrong type is an error there, and nothing more can be learned from it.
    const exact = (column.strict || column.rowid) && this.percent(97)
    if (!exact && this.percent(10)) return this.#edge(column.rowid)
    const inKey = column.key > 0 && !column.rowid
    if (this.percent(6)) {
      if (inKey) this.tag('primary key: null')
      return 'null'
    }
    if (exact && column.affinity === 'blob') return this.#mark(new Uint8Array([this.int(0, 3)]))
    const affinity = exact || this.percent(90) ? column.affinity : this.pick(AFFINITIES)
    return this.percent(30) ? this.literal(affinity) : this.#mark(this.#plain(affinity))
  }

  /** A small value as SQL text, for places that take no arguments. */
  literal(affinity: Affinity): string {
    const value = this.#plain(affinity)
    if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString('hex')}'`
    if (typeof value !== 'string') return typeof value === 'number' ? `${value}e0` : String(value)
    return `'${value}'`
  }

  #edge(isRowid: boolean): string {
    const special = this.int(1, EDGES.length + 2)
    if (special === 1) {
      this.tag('value: invalid UTF-8')
      return "cast(x'61ff62' as text)"
    }
    if (special === 2) {
      this.tag('string in double quotes')
      return '"no such column"'
    }
    // After the largest rowid SQLite draws at random.
    const [feature, make] = this.pick(isRowid ? EDGES.slice(1) : EDGES)
    this.tag(feature)
    return this.#mark(make())
  }

  #mark(value: Value): string {
    this.#args.push(value)
    return '?'
  }

  #plain(affinity: Affinity): Value {
    switch (affinity) {
      case 'integer':
        return BigInt(this.int(this.percent(10) ? -2 : 1, 7))
      case 'real':
        return this.int(-4, 8) / 2
      case 'text':
        return this.pick(TEXTS)
      case 'blob':
        if (this.percent(60)) return this.percent(50) ? BigInt(this.int(1, 5)) : this.pick(TEXTS)
        return new Uint8Array([this.int(0, 3)])
      case 'numeric':
        return this.percent(50) ? this.int(0, 8) / 2 : BigInt(this.int(1, 5))
    }
  }
}

const AFFINITIES: readonly Affinity[] = ['integer', 'real', 'text', 'blob', 'numeric']

/** The rowid's name in a table where columns may have taken some of its names; null: none is left. */
export function rowidOf({ columns, withoutRowid, kind }: TableView): string | null {
  if (withoutRowid || kind === 'view') return null
  const taken = new Set(columns.map(({ name }) => name.toLowerCase()))
  return ['rowid', '_rowid_', 'oid'].find((name) => !taken.has(name)) ?? null
}

/** Columns that a statement may set. */
export function settable({ columns }: TableView): readonly ColumnView[] {
  return columns.filter(({ generated }) => !generated)
}
