import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { splitStatements } from '../../model/sql-tokens.ts'
import { StatementSplitter } from './splitter.ts'
import { nearest, wordsOf } from './words.ts'

function split(lines: readonly string[]): { sql: string; line: number }[] {
  const splitter = new StatementSplitter()
  const found = lines.flatMap((line) => splitter.push(`${line}\n`))
  const last = splitter.finish()
  return last === null ? found : [...found, last]
}

test('statements are found line by line, with where they begin', () => {
  deepEqual(split(['select 1; select', '', "'a;", "b' -- c;", '; /* ;', '*/ select 3']), [
    { sql: 'select 1', line: 1 },
    { sql: "select\n\n'a;\nb' -- c;", line: 1 },
    { sql: '/* ;\n*/ select 3', line: 6 },
  ])
  const trigger = 'create temp trigger t after insert on x begin select 1; select 2; end'
  deepEqual(split([`${trigger};`, 'select 4']), [
    { sql: trigger, line: 1 },
    { sql: 'select 4', line: 2 },
  ])
})

test('it is pending while a statement, a quote or a comment is open', () => {
  const splitter = new StatementSplitter()
  const pendingAfter = (line: string): boolean => {
    splitter.push(`${line}\n`)
    return splitter.pending
  }
  deepEqual(['-- note', '', 'select', '"x;', '";', '/* a', 'b */', ';;', "'"].map(pendingAfter), [
    false,
    false,
    true,
    true,
    false,
    true,
    false,
    false,
    true,
  ])
  splitter.reset()
  equal(splitter.pending, false)
})

const piece = fc.constantFrom(
  ...['select', ' ', '\n', ';', "'", '"', '`', '[', ']', '--', '/*', '*/', 'create', 'trigger'],
  ...['end', 'begin', 'temp', '1.5', ':p', 'x', '-', '/', "''", 'é', '\n;'],
)

test('it finds what the tokenizer finds in the whole text', () => {
  // A quote that never ends takes the space after it along.
  const each = (texts: readonly string[]): string[] =>
    texts.flatMap((text) => splitStatements(text)).map((sql) => sql.trim())
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const text = pieces.join('')
      const found = split(text.split('\n')).map(({ sql }) => sql)
      deepEqual(each(found), each([text]))
    }),
    { numRuns: 2_000 },
  )
})

test('words of a dot command, and the name that was meant', () => {
  deepEqual(wordsOf(`a 'it''s; "x"' "tab\\t\\"q\\"" b,c `), ['a', `it's; "x"`, 'tab\t"q"', 'b,c'])
  const names = ['tables', 'timer', 'import', 'headers']
  deepEqual(
    ['tabels', 'tbales', 'imprt', 'header', 'zzz'].map((word) => nearest(word, names)),
    ['tables', 'tables', 'import', 'headers', null],
  )
})
