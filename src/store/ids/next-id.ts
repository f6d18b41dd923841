/**
 * Gives ids that no other origin gives: all that one origin gives leave the same rest, its slot,
 * when divided by ID_STRIDE. Always above every id of the table, as SQLite's own are, so that rows
 * stay in about the order in which they came. A SQL function, called by statements that
 * automatic-ids.ts has rewritten.
 */
import { present } from '../../base/assert.ts'
import { QuorateError } from '../../base/errors.ts'
import { ID_SLOTS } from '../../model/origin-entry.ts'
import type { Connection, Internal } from '../connections.ts'
import { quote } from '../quote.ts'
import { NEXT_ID } from './automatic-ids.ts'

/**
 * From one id of an origin to its next; above every slot. Odd, because SQLite's sessions find the
 * rows of a transaction by the lower bits of their keys, which would be the same for all rows if
 * this were 1024: then a transaction of 1,000 rows takes three times as long.
 */
export const ID_STRIDE = ID_SLOTS + 1
const MAX = Number.MAX_SAFE_INTEGER

/** What is known of a table. */
interface Table {
  readonly name: string
  /** The largest id in use, not more than MAX; null: it is empty. */
  readonly largest: Internal
  /** What AUTOINCREMENT remembers; null: the table is without. */
  readonly sequence: Internal | null
  /** Given last, or 0. It is not given again, not even if its row did not stay. */
  last: number
  /** The statement for which the largest id was looked up last. */
  lookedUpFor: number
}

export class NextId {
  readonly #writer: Connection
  readonly #slot: () => number | null
  readonly #tables: Table[] = []
  readonly #numbers = new Map<string, number>()
  /** Counts statements. */
  #statement = 0
  #always = false

  /** @param slot of the origin that writes here; null: SQLite gives the ids */
  constructor(writer: Connection, slot: () => number | null) {
    this.#writer = writer
    this.#slot = slot
    const options = { varargs: true, useBigIntArguments: true } as const
    writer.db.function(NEXT_ID, options, (table, above = null) =>
      BigInt(this.#next(Number(table), above === null ? 0 : Number(above))),
    )
  }

  /**
   * What the function knows a table by, for as long as this connection is open.
   *
   * @param id its INTEGER PRIMARY KEY
   * @param remembers it has AUTOINCREMENT
   */
  numberOf(name: string, id: string, remembers: boolean): number {
    const key = name.toLowerCase()
    const number = this.#numbers.get(key) ?? this.#tables.length
    this.#numbers.set(key, number)
    this.#tables[number] = {
      name,
      largest: this.#writer.internal(
        `select min(max(${quote(id)}), ${MAX}) from main.${quote(name)}`,
      ),
      sequence: remembers ? this.#writer.internal(SEQUENCE) : null,
      last: this.#tables[number]?.last ?? 0,
      lookedUpFor: -1,
    }
    return number
  }

  /**
   * A statement begins. What it gives is above what it gave before, so one look at a table will do.
   *
   * @param always its triggers insert as well, perhaps under ids of their own
   */
  begin(always: boolean): void {
    this.#statement += 1
    this.#always = always
  }

  /** Throws IDS_EXHAUSTED. */
  #next(number: number, above: number): number {
    const table = present(this.#tables[number], () => `table ${number} with automatic ids`)
    const slot = present(this.#slot(), () => 'the slot of the origin that writes here')
    const highest = Math.max(this.#inUse(table), table.last, above)
    const id = (Math.floor(highest / ID_STRIDE) + 1) * ID_STRIDE + slot
    if (id > MAX) throw exhausted(table.name, highest)
    table.last = id
    return id
  }

  /** The largest id that a table has or remembers; 0 if there can be none since this was asked. */
  #inUse(table: Table): number {
    if (!this.#always && table.lookedUpFor === this.#statement) return 0
    table.lookedUpFor = this.#statement
    const used = Number(table.largest.row()?.[0] ?? 0)
    const remembered = Number(table.sequence?.row(table.name)?.[0] ?? 0)
    return Math.max(used, remembered)
  }
}

/** Anybody may have written anything there. */
const SEQUENCE = `select min(max(cast(seq as integer)), ${MAX}) from main.sqlite_sequence
  where name = ?`

function exhausted(table: string, highest: number): QuorateError {
  const detail = `Table ${table} holds ids up to ${highest === MAX ? `${MAX} or more` : highest}, and no automatic id above them would be a safe integer.`
  return new QuorateError('IDS_EXHAUSTED', detail)
}
