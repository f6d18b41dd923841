import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import fc from 'fast-check'
import {
  firstKeyword,
  identifier,
  parameters,
  splitStatements,
  statementTokens,
  tokenize,
} from './sql-tokens.ts'

const texts = (sql: string) => [...tokenize(sql)].map((token) => token.text)

test('tokens: strings, identifiers, comments, numbers and parameters', () => {
  assert.deepEqual(texts('select \'a;\'\'b\' -- x;\n, "c""d", [e f], `g` /* ; */ from t'), [
    'select',
    "'a;''b'",
    ',',
    '"c""d"',
    ',',
    '[e f]',
    ',',
    '`g`',
    'from',
    't',
  ])
  assert.deepEqual(texts("x'00ff' 1.5e-3 .5 0xFf 1_000 ?12 :a @b $c::d(e) a->>'$.x'"), [
    "x'00ff'",
    '1.5e-3',
    '.5',
    '0xFf',
    '1_000',
    '?12',
    ':a',
    '@b',
    '$c::d(e)',
    'a',
    '-',
    '>',
    '>',
    "'$.x'",
  ])
  assert.deepEqual(texts('select 1 /* open'), ['select', '1'])
  assert.deepEqual(texts('select 1\0 2'), ['select', '1'])
  assert.deepEqual([...tokenize('"a""b" [c] d')].map(identifier), ['a"b', 'c', 'd'])
})

test('a script splits at its semicolons, not at those of a trigger', () => {
  const trigger = 'create trigger t after insert on a begin select case 1 when 1 then 2 end; end'
  assert.deepEqual(splitStatements(`; ${trigger};;\n-- c\nselect ';' ; /* x */`), [
    trigger,
    "select ';'",
  ])
  assert.deepEqual(splitStatements(' -- nothing\n;'), [])
  assert.equal(statementTokens('begin; end;').length, 2)
  assert.equal(statementTokens(`explain query plan ${trigger}; select 1`).length, 2)
})

test('the first keyword is found behind comments', () => {
  assert.equal(firstKeyword('/* a */ -- b\n insert into t'), 'INSERT')
  assert.equal(firstKeyword('"insert"'), '')
  assert.equal(firstKeyword(''), '')
})

test('parameters are numbered as SQLite numbers them', () => {
  const numbered = (sql: string) => parameters(sql).names
  assert.deepEqual(numbered('select ?, :a, ?4, :a, ?'), [null, ':a', null, null, null])
  assert.deepEqual(numbered('select \':a\', "?", x -- ?\n, @b, $c'), ['@b', '$c'])
  assert.equal(parameters('select ?99999999').count, 32_767)
})

test('property: the tokenizer agrees with SQLite on the parameters', () => {
  const db = new DatabaseSync(':memory:', { allowBareNamedParameters: false })
  const piece = fc.constantFrom(
    ...['?', '?3', ':a', '@a', '$b', "'?''x'", '`?`', '[:a]', '1.5', '/* ? */ 1', '-- ?\n 2'],
    ...["x'00'", '"@a"'],
  )
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 8 }), (pieces) => {
      const sql = `select ${pieces.map((text) => `(${text}) is null`).join(', ')}
        from (select 1 as "?", 2 as ":a", 3 as "@a")`
      const { names } = parameters(sql)
      const named = names.filter((name) => name !== null)
      const given = Object.fromEntries(named.map((name) => [name, 1]))
      const plain = new Array(names.length - named.length).fill(1)
      const statement = db.prepare(sql)
      statement.get(given, ...plain)
      assert.throws(() => statement.get(given, ...plain, 1), /index out of range/)
    }),
    { seed: 7, numRuns: 200 },
  )
})
