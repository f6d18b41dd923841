/**
 * A script is what one seed made of itself: statements and events as plain data, so that it can be
 * run again without the generator, shortened, printed and kept in a file.
 */
import type { Value } from '../../model/program.ts'
import type { Feature } from './features.ts'

/** Which row change a statement makes by itself. */
export type Verb = 'insert' | 'update' | 'delete' | 'other'

export interface Sql {
  readonly sql: string
  readonly args: readonly Value[]
  readonly verb: Verb
  /** Reached if it succeeds. */
  readonly features: readonly Feature[]
  /** Reached if it succeeds and changes more rows than its own: by triggers, by foreign keys. */
  readonly effects: readonly Feature[]
}

export interface ScriptProgram {
  readonly atomic: boolean
  readonly statements: readonly Sql[]
}

export type Item =
  /** Programs that the leader gets at once. */
  | { readonly kind: 'batch'; readonly programs: readonly ScriptProgram[] }
  /** An interactive stream, one round after the other. */
  | { readonly kind: 'stream'; readonly rounds: readonly (readonly Sql[])[] }
  /** Followers get what there is, and everything is compared. */
  | { readonly kind: 'check'; readonly oneByOne: boolean }
  | { readonly kind: 'restart'; readonly replica: number }
  /** A follower's file is replaced by the other's. */
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'compact' }
  /** From here on nothing is committed: `takeBack` undoes it, under another leader. */
  | { readonly kind: 'fork' }
  | { readonly kind: 'takeBack'; readonly heldByOther: boolean }

export interface Script {
  /** What the file holds before it is adopted. */
  readonly prepare: readonly Sql[]
  readonly items: readonly Item[]
}

/** Statements of an item. */
export function statementsOf(item: Item): readonly Sql[] {
  if (item.kind === 'batch') return item.programs.flatMap(({ statements }) => statements)
  return item.kind === 'stream' ? item.rounds.flat() : []
}

/** For people: one line for each statement. */
export function printScript({ prepare, items }: Script): string {
  const lines = prepare.map((one) => `  ${printSql(one)}`)
  if (lines.length > 0) lines.unshift('before the file is adopted:')
  for (const item of items) lines.push(...printItem(item))
  return lines.join('\n')
}

function printItem(item: Item): readonly string[] {
  switch (item.kind) {
    case 'batch':
      return [
        'batch:',
        ...item.programs.flatMap(({ atomic, statements }) => [
          atomic ? '  atomic program:' : '  program:',
          ...statements.map((one) => `    ${printSql(one)}`),
        ]),
      ]
    case 'stream':
      return [
        'stream:',
        ...item.rounds.flatMap((round) => [
          '  round:',
          ...round.map((one) => `    ${printSql(one)}`),
        ]),
      ]
    default:
      return [Object.values(item).join(' ')]
  }
}

function printSql({ sql, args }: Sql): string {
  const text = sql.replaceAll(/\s*\n\s*/g, ' ')
  return args.length === 0 ? text : `${text}  -- ${args.map(printValue).join(', ')}`
}

function printValue(value: Value): string {
  if (value instanceof Uint8Array) {
    const hex = Buffer.from(value.subarray(0, 16)).toString('hex')
    return value.length > 16 ? `x'${hex}…' (${value.length} bytes)` : `x'${hex}'`
  }
  if (typeof value === 'number') return Object.is(value, -0) ? '-0.0' : `${value} (real)`
  if (typeof value !== 'string') return String(value)
  return value.length > 80 ? `'${value.slice(0, 80)}…' (${value.length})` : JSON.stringify(value)
}

/** As JSON, with the values that JSON has no word for. */
export function scriptToJson(script: Script): string {
  return JSON.stringify(script, (_, value: unknown) => {
    if (typeof value === 'bigint') return { int: String(value) }
    if (value instanceof Uint8Array) return { blob: Buffer.from(value).toString('hex') }
    if (typeof value !== 'number') return value
    return { real: Object.is(value, -0) ? '-0' : String(value) }
  })
}

/** The inverse; the file is ours, so its form is not checked. */
export function scriptFromJson(json: string): Script {
  return JSON.parse(json, (_, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value
    if ('int' in value) return BigInt(String(value.int))
    if ('blob' in value) return new Uint8Array(Buffer.from(String(value.blob), 'hex'))
    return 'real' in value ? Number(value.real) : value
  }) as Script
}
