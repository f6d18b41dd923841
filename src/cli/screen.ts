/**
 * Draws lines over the ones drawn before. On a terminal in place, without flicker: each line is
 * overwritten and its rest erased, the screen is never cleared. Elsewhere the lines just follow.
 */
interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
  write(text: string): unknown
}

const HIDE_CURSOR = '\x1b[?25l'
const SHOW_CURSOR = '\x1b[?25h'
const ERASE_REST_OF_LINE = '\x1b[K'
const ERASE_BELOW = '\x1b[J'

export class Screen {
  readonly #output: Output
  #drawn = 0

  constructor(output: Output) {
    this.#output = output
  }

  get live(): boolean {
    return this.#output.isTTY === true
  }

  /** Some terminals say that they have no columns, and no rows: they don't know. */
  get width(): number {
    return this.live ? this.#output.columns || 80 : Number.POSITIVE_INFINITY
  }

  /** Lines that fit above the line that the cursor is left on. */
  get height(): number {
    return this.live ? Math.max(4, (this.#output.rows || 24) - 1) : Number.POSITIVE_INFINITY
  }

  /** Replaces what was drawn. Lines must fit the width; lines beyond the height are left out. */
  draw(lines: readonly string[]): void {
    const kept = lines.slice(0, this.height)
    if (!this.live) {
      this.#output.write(`${kept.join('\n')}\n\n`)
      return
    }
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : HIDE_CURSOR
    const body = kept.map((line) => `${line}${ERASE_REST_OF_LINE}\n`).join('')
    this.#output.write(`${up}\r${body}${ERASE_BELOW}`)
    this.#drawn = kept.length
  }

  /** Leaves the last picture and gives the cursor back. */
  end(): void {
    if (this.live) this.#output.write(SHOW_CURSOR)
    this.#drawn = 0
  }
}
