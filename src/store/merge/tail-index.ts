/**
 * The index of what late transactions may meet. It is made when the first one comes too late, of
 * what is later than that, and grows with what runs here. It is in memory, while SQLite may roll back
 * what it was made of: a number in a TEMP table, which goes back as well, tells.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { KeyIndex } from '../../core/order/clock/key-index.ts'
import type { Footprint } from '../../core/order/clock/key-set.ts'
import { type ClockTime, compareStamps, type Stamp } from '../../core/order/clock/stamp.ts'
import type { Keyed, MergeTables } from './merge-tables.ts'

const EVER: Stamp = { time: Number.MAX_SAFE_INTEGER, origin: '' }

export class TailIndex {
  readonly #tables: MergeTables
  readonly #footprint: (keyed: Keyed) => Footprint
  readonly #keysMax: number
  readonly #getVersion: StatementSync
  readonly #setVersion: StatementSync
  #index: KeyIndex | null = null
  /** It has what is later than the one and not later than the other. */
  #after = EVER
  #through = EVER
  #version = 0
  #tooLarge = false
  /** Nothing has run here that is not in it, but for what is not later than `after`. */
  #isCurrent = false

  constructor(
    db: DatabaseSync,
    tables: MergeTables,
    footprint: (keyed: Keyed) => Footprint,
    keysMax: number,
  ) {
    this.#tables = tables
    this.#footprint = footprint
    this.#keysMax = keysMax
    db.exec(`create temp table if not exists _quorate_indexed (number integer not null);
      insert into temp._quorate_indexed
        select 0 where not exists (select 1 from temp._quorate_indexed)`)
    this.#getVersion = db.prepare('select number from temp._quorate_indexed')
    this.#setVersion = db.prepare('update temp._quorate_indexed set number = ?')
  }

  /** Null: nothing has come late, or the tail is too large. */
  get index(): KeyIndex | null {
    return this.#index
  }

  /** Whether the index has all that is later than what was covered last. */
  get isCurrent(): boolean {
    return this.#isCurrent
  }

  /**
   * Sees to it that everything later than a stamp is in the index, or that there is no index.
   *
   * @param most how many transactions it may read for that
   * @returns false: there are more
   */
  cover(after: Stamp, most: number): boolean {
    const version = Number(this.#getVersion.get()?.['number'])
    if (version !== this.#version) this.drop()
    this.#version = version
    this.#isCurrent = false
    if (this.#tooLarge || !this.#tables.hasFrom(after)) return true
    if (this.#index === null) {
      this.#index = new KeyIndex()
      this.#after = after
      this.#through = after
    }
    const left = this.#read(this.#index, after, most)
    this.#isCurrent = left > 0
    if (left < most) this.changed()
    return left > 0
  }

  /** @returns how many less than `most` there were */
  #read(index: KeyIndex, after: Stamp, most: number): number {
    let left = most
    for (const keyed of this.#tables.between(this.#through, EVER, false, left)) {
      left -= 1
      this.#through = keyed.stamp
      index.add(keyed.stamp, keyed.sequence, this.#footprint(keyed))
    }
    if (left === 0 || compareStamps(after, this.#after) >= 0) return left
    for (const keyed of this.#tables.between(after, this.#after, true, left)) {
      left -= 1
      this.#after = keyed.stamp
      index.add(keyed.stamp, keyed.sequence, this.#footprint(keyed))
    }
    if (left > 0) this.#after = after
    return left
  }

  /** A transaction has run, or is known to meet more than before. */
  add({ stamp, sequence }: Pick<Keyed, 'stamp' | 'sequence'>, footprint: Footprint): void {
    if (this.#index === null) return
    if (compareStamps(stamp, this.#through) > 0) {
      // What others have put before it here will be read with it.
      if (!this.#isCurrent) return
      this.#through = stamp
    }
    this.#index.add(stamp, sequence, footprint)
  }

  /** To be called after some `add`, in the same SQLite transaction. */
  changed(): void {
    if (this.#index === null) return
    this.#version += 1
    this.#setVersion.run(this.#version)
    if (this.#index.size <= this.#keysMax) return
    this.drop()
    this.#tooLarge = true
  }

  /** Nothing up to a time will be asked for any more. */
  forget(stable: ClockTime): void {
    this.#tooLarge = false
    if (this.#index === null || !this.#index.isMostlyBefore(stable)) return
    this.#index = this.#index.after(stable)
    const after = { time: stable + 1, origin: '' }
    if (compareStamps(after, this.#after) > 0) this.#after = after
    if (compareStamps(after, this.#through) > 0) this.#through = after
    if (this.#index.size === 0) this.drop()
  }

  drop(): void {
    this.#index = null
    this.#tooLarge = false
  }
}
