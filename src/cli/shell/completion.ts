/** What Tab completes: dot commands, keywords, names of tables and columns. */

import { DOT_COMMANDS } from './dot-commands.ts'
import { tableNames } from './dot-schema.ts'
import { MODES } from './render.ts'
import type { Shell } from './shell.ts'

const KEYWORDS =
  `ABORT ADD AFTER ALL ALTER ANALYZE AND AS ASC AUTOINCREMENT BEFORE BEGIN BETWEEN BY CASCADE CASE
CAST CHECK COLLATE COLUMN COMMIT CONFLICT CONSTRAINT CREATE CROSS CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DEFAULT
DEFERRABLE DEFERRED DELETE DESC DISTINCT DO DROP EACH ELSE END ESCAPE EXCEPT EXISTS EXPLAIN FAIL FILTER FOLLOWING FOR
FOREIGN FROM FULL GENERATED GLOB GROUP HAVING IF IGNORE IMMEDIATE IN INDEX INNER INSERT INSTEAD INTERSECT INTO IS
ISNULL JOIN KEY LEFT LIKE LIMIT MATCH MATERIALIZED NATURAL NOT NOTHING NOTNULL NULL OFFSET ON OR ORDER OUTER OVER
PARTITION PLAN PRAGMA PRECEDING PRIMARY QUERY RAISE RANGE RECURSIVE REFERENCES REINDEX RELEASE RENAME REPLACE
RESTRICT RETURNING RIGHT ROLLBACK ROW ROWS SAVEPOINT SELECT SET STRICT TABLE TEMP THEN TO TRANSACTION TRIGGER UNION
UNIQUE UPDATE USING VALUES VIEW VIRTUAL WHEN WHERE WINDOW WITH WITHOUT`.split(/\s+/)

/** Names are asked for anew after this long, so that a busy cluster is not asked at every Tab. */
const FRESH_MS = 5_000
/** Tab must not hang where no node answers. */
const PATIENCE_MS = 1_000
const SHOWN_MAX = 200

export class Completer {
  readonly #shell: Shell
  #names: readonly string[] = []
  #tables: readonly string[] = []
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(shell: Shell) {
    this.#shell = shell
  }

  /** @returns what may stand in the place of the last word, and that word */
  async complete(line: string): Promise<[string[], string]> {
    const word = /[^\s(),;=<>+*/|]*$/.exec(line)?.[0] ?? ''
    const candidates = await this.#candidates(line, word)
    return [candidates.slice(0, SHOWN_MAX), word]
  }

  async #candidates(line: string, word: string): Promise<string[]> {
    if (/^\s*\.\w*$/.test(line) && !this.#shell.pending) {
      return DOT_COMMANDS.map(({ name }) => `.${name}`).filter((name) => name.startsWith(word))
    }
    if (/^\s*\.mode\s/.test(line)) return MODES.filter((mode) => mode.startsWith(word))
    if (word === '') return []
    await this.#refresh()
    if (/^\s*\./.test(line)) return startingWith(this.#tables, word)
    const names = startingWith(this.#names, word)
    const keywords = KEYWORDS.filter((keyword) => keyword.startsWith(word.toUpperCase()))
    const lower = word === word.toLowerCase()
    return [...names, ...keywords.map((keyword) => (lower ? keyword.toLowerCase() : keyword))]
  }

  /** Quietly: without an answer the names of before are good enough. */
  async #refresh(): Promise<void> {
    if (performance.now() - this.#askedAt < FRESH_MS) return
    // In a transaction the question would go to its node and count as its work.
    if (this.#shell.busy || this.#shell.connection.state !== 'none') return
    this.#askedAt = performance.now()
    const ask = async (): Promise<void> => {
      this.#tables = await tableNames(this.#shell)
      const sql = `select distinct c.name from sqlite_schema t, pragma_table_info(t.name) c
        where t.type in ('table', 'view') and t.name not like '\\_quorate\\_%' escape '\\'`
      const columns = (await this.#shell.query(sql)).rows.map(([name]) => String(name))
      this.#names = [...new Set([...this.#tables, ...columns])].toSorted()
    }
    const patience = new Promise<void>((done) => setTimeout(done, PATIENCE_MS).unref())
    await Promise.race([ask().catch(() => {}), patience])
  }
}

function startingWith(names: readonly string[], word: string): string[] {
  const small = word.toLowerCase()
  return names.filter((name) => name.toLowerCase().startsWith(small))
}
