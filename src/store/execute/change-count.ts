/**
 * Keeps the SQL function changes() a client's own within its program: the store's writes to the log
 * come between two statements that commit by themselves, and SQLite counts those too. It can't be
 * told a number, so as many rows as there were are deleted once more, from a table of no one's.
 */
import type { Connection, Internal } from '../connections.ts'

const MAKE = `create temp table if not exists _quorate_counted (i);
  create temp view if not exists _quorate_count as select 0 as n;
  create temp trigger if not exists _quorate_count_rows instead of insert on _quorate_count begin
    insert into _quorate_counted select i from (
      with recursive up (i) as (select 1 union all select i + 1 from up where i < new.n)
      select i from up);
  end`

export class ChangeCount {
  readonly #fill: Internal
  readonly #empty: Internal

  constructor(writer: Connection) {
    writer.db.exec(MAKE)
    // Inside a trigger an INSERT leaves last_insert_rowid() as it is.
    this.#fill = writer.internal('insert into _quorate_count (n) values (?)')
    this.#empty = writer.internal('delete from temp._quorate_counted')
  }

  /** Makes changes() tell this number. */
  set(changes: number): void {
    if (changes > 0) this.#fill.run(changes)
    this.#empty.run()
  }
}
