/** A dot command's line as words, quoted as in the sqlite3 shell; and which name was meant. */
import { usageError } from '../output.ts'

const WORD = /\s*(?:'((?:[^']|'')*)'|"((?:[^"\\]|\\.)*)"|(\S+))/y
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0' }

/**
 * Splits at spaces. 'single' quotes take everything as it is, "double" quotes know \n, \t, \r, \\.
 *
 * @throws QuorateError BAD_USAGE for a quote that is not closed
 */
export function wordsOf(line: string): string[] {
  const words: string[] = []
  WORD.lastIndex = 0
  const text = line.trim()
  while (WORD.lastIndex < text.length) {
    const match = WORD.exec(text)
    if (match === null) break
    const [, single, double, bare] = match
    if (bare !== undefined && /^['"]/.test(bare)) {
      throw usageError(`The quote before ${bare.slice(1, 20)} is not closed.`)
    }
    if (single !== undefined) words.push(single.replaceAll("''", "'"))
    else if (double !== undefined) words.push(unescaped(double))
    else words.push(bare ?? '')
  }
  return words
}

function unescaped(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? letter)
}

/** The name of the list that is closest to a word; null if none is near. */
export function nearest(word: string, names: readonly string[]): string | null {
  const ranked = names
    .map((name) => ({ name, far: distance(word, name) }))
    .sort((a, b) => a.far - b.far)
  const [best] = ranked
  return best !== undefined && best.far <= Math.max(1, Math.floor(word.length / 2))
    ? best.name
    : null
}

/** Letters to insert, delete, replace or swap (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      let best = Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + same)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) best = Math.min(best, (before[j - 2] ?? 0) + 1)
      next.push(best)
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
