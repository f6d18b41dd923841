/** The lines that a person typed before, in a file of theirs. Trouble with it never stops a shell. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const LINES_MAX = 2_000

export class History {
  readonly #path: string | null

  /** @param env QUORATE_HISTORY names the file; empty: none is kept */
  constructor(env: NodeJS.ProcessEnv) {
    const given = env['QUORATE_HISTORY']
    const path = given ?? join(homedir(), '.quorate_history')
    this.#path = path === '' ? null : path
  }

  /** The newest first, as readline wants them. Shortens a file that has grown too long. */
  load(): string[] {
    if (this.#path === null) return []
    try {
      const lines = readFileSync(this.#path, 'utf8').split('\n').filter(Boolean)
      const kept = lines.slice(-LINES_MAX)
      if (lines.length > LINES_MAX * 2) {
        writeFileSync(this.#path, `${kept.join('\n')}\n`, { mode: 0o600 })
      }
      return kept.toReversed()
    } catch {
      return []
    }
  }

  add(line: string): void {
    if (this.#path === null || line.trim() === '') return
    try {
      appendFileSync(this.#path, `${line}\n`, { mode: 0o600 })
    } catch {
      // A folder that can't be written to is no reason to stop working.
    }
  }
}
