/**
 * A cursor of Hrana: what a batch gives, taken in portions by whoever has room for them. The pieces
 * come from the node one by one, the next when the one before is used up.
 */
import type { ErrorData } from '../../base/errors.ts'
import type { StepResult } from '../../model/program.ts'
import type { CursorEntry } from '../../model/request.ts'
import type { HranaEntry } from './protocol.ts'

export interface Portion {
  readonly entries: readonly HranaEntry[]
  /** Nothing comes after these. */
  readonly done: boolean
}

/** Makes portions; the last one says so, or the batch ends without one. */
export type Portions = AsyncGenerator<Portion, void, undefined>

export class HranaCursor {
  readonly #source: Portions
  #entries: readonly HranaEntry[] = []
  #at = 0
  /** What comes after the entries here; null: nothing. */
  #next: Promise<IteratorResult<Portion, void>> | null = null

  /** Begins at once, whether somebody takes anything or not. */
  constructor(source: Portions) {
    this.#source = source
    this.#ahead()
  }

  /** The next entries, of one piece. Rejects only for a bug. */
  async take(maxCount: number): Promise<Portion> {
    while (this.#at === this.#entries.length && this.#next !== null) {
      const { done, value } = await this.#next
      this.#at = 0
      this.#entries = done ? [] : value.entries
      if (done || value.done) await this.#end()
      else this.#ahead()
    }
    const entries = this.#entries.slice(this.#at, this.#at + maxCount)
    this.#at += entries.length
    return { entries, done: this.#next === null && this.#at === this.#entries.length }
  }

  /** Stops the batch where it is. Resolves when the stream is free for something else. */
  async close(): Promise<void> {
    this.#entries = []
    this.#at = 0
    await this.#end()
  }

  /** One piece is on its way while the one before is used, never more. */
  #ahead(): void {
    this.#next = this.#source.next()
    this.#next.catch(() => {})
  }

  async #end(): Promise<void> {
    this.#next = null
    await this.#source.return()
  }
}

/** What a node's cursor told, as Hrana's entries: one for each row. */
export function toEntries(entries: readonly CursorEntry[]): readonly HranaEntry[] {
  const told: HranaEntry[] = []
  for (const entry of entries) {
    switch (entry.kind) {
      case 'begin':
        told.push({ type: 'step_begin', step: entry.step, columns: entry.columns })
        break
      case 'rows':
        for (const row of entry.rows) told.push({ type: 'row', row })
        break
      case 'end':
        told.push({ type: 'step_end', changes: 0, lastInsertRowid: null })
        break
      case 'error':
        told.push({ type: 'step_error', step: entry.step, error: entry.error })
    }
  }
  return told
}

/** The same for steps that were run as a whole. */
export function stepEntries(steps: readonly StepResult[]): readonly HranaEntry[] {
  return steps.flatMap((result, step): HranaEntry[] => {
    if (result === null) return []
    if ('error' in result) return [{ type: 'step_error', step, error: result.error }]
    const { columns, rows, changes, lastInsertRowid } = result.ok
    return [
      { type: 'step_begin', step, columns },
      ...rows.map((row): HranaEntry => ({ type: 'row', row })),
      { type: 'step_end', changes, lastInsertRowid },
    ]
  })
}

/**
 * The batch failed as a whole at a step. The last entry alone would say so, but libSQL's Rust driver
 * can't read it (it expects a text), and stops reading at a step's error.
 */
export function failureEntries(step: number, error: ErrorData): readonly HranaEntry[] {
  return [
    { type: 'step_error', step, error },
    { type: 'error', error },
  ]
}
