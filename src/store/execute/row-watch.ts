/**
 * Notices which rows of tables with rowids of their own a transaction touches, by TEMP triggers on
 * the writer's connection that call a function of this process. They see every row that any
 * statement, trigger or foreign-key action writes, never get into the file, and change nothing
 * that a client can see: no row is written, so changes() and total_changes() stay as they are.
 *
 * REPLACE deletes rows without firing triggers (unless recursive_triggers is on, which would change
 * what the user's triggers do); so before a row comes, those that it might replace are noted. To
 * note too much is harmless: what is the same before and after has not changed.
 */
import type { Connection } from '../connections.ts'
import { quote } from '../quote.ts'
import type { RowTable } from '../schema/row-tables.ts'
import { type TriggerText, TriggerWatch } from './trigger-watch.ts'

const TOUCHED = '_quorate_touched'
const PREFIX = '_quorate_watch_'

export class RowWatch extends TriggerWatch<RowTable> {
  /** What is told of each row: its table and its rowid before or after. */
  onTouch: (table: string, rowid: bigint) => void = () => {}

  constructor(writer: Connection) {
    super(writer, PREFIX)
    writer.db.function(TOUCHED, { directOnly: true, useBigIntArguments: true }, (table, rowid) => {
      const name = this.names[Number(table)]
      if (name !== undefined && typeof rowid === 'bigint') this.onTouch(name, rowid)
      return null
    })
  }

  /** Notes every row that a table has. */
  touchAll({ name, rowid }: RowTable): void {
    const rows = this.writer.db.prepare(`select ${rowid} from main.${quote(name)}`, {
      readBigInts: true,
      returnArrays: true,
    })
    for (const [one] of rows.all() as unknown as bigint[][]) {
      if (one !== undefined) this.onTouch(name, one)
    }
  }

  protected override *triggersOf(table: RowTable, number: number): Generator<TriggerText> {
    const { rowid, unique } = table
    const on = `on main.${quote(table.name)}`
    const touched = (row: string) => `${TOUCHED}(${number}, ${row}.${rowid})`
    const make = (kind: string, event: string, body: readonly string[]) => {
      const name = `${PREFIX}${kind}_${number}`
      return [name, `${name} ${event} ${on} begin ${body.join('; ')}; end`] as const
    }
    yield make('inserted', 'after insert', [`select ${touched('new')}`])
    yield make('deleted', 'after delete', [`select ${touched('old')}`])
    const moved = `case when new.${rowid} <> old.${rowid} then ${touched('new')} end`
    yield make('updated', 'after update', [`select ${touched('old')}, ${moved}`])
    if (unique.length === 0) return
    const replaced = unique.map(
      ({ condition }) =>
        `select ${touched(quote(table.name))} from main.${quote(table.name)} where ${condition}`,
    )
    yield make('inserting', 'before insert', replaced)
    const columns = unique.flatMap((index) => index.columns ?? [])
    const any = unique.some((index) => index.columns === null)
    const which = any ? '' : ` of ${[...new Set(columns)].join(', ')}`
    yield make('updating', `before update${which}`, replaced)
  }
}
