/** Which tables a trigger writes, read off its text: SQLite tells it only of one that would fire. */
import { keyword, type Token } from '../../model/sql-tokens.ts'

/**
 * The names of the tables that a trigger's body writes, in lower case.
 *
 * @param tokens of CREATE TRIGGER
 */
export function triggerWrites(tokens: readonly Token[]): ReadonlySet<string> {
  const begin = tokens.findIndex((token) => keyword(token) === 'BEGIN')
  const body = tokens.slice(begin)
  const names = body.flatMap((token, i) => {
    const before = keyword(body[i - 1])
    const isTarget =
      before === 'INTO' ||
      (before === 'FROM' && keyword(body[i - 2]) === 'DELETE') ||
      (before === 'UPDATE' && keyword(token) !== 'OR') ||
      (keyword(body[i - 2]) === 'OR' && keyword(body[i - 3]) === 'UPDATE')
    return isTarget ? [nameIn(token).toLowerCase()] : []
  })
  return new Set(names)
}

function nameIn({ text }: Token): string {
  return /^["'`[]/.test(text) ? text.slice(1, -1) : text
}
