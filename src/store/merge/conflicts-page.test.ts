/**
 * docs/conflicts.md says what really happens: it is made by running its examples. If this fails:
 * REWRITE=1 node --test src/store/merge/conflicts-page.test.ts, and read the diff.
 */
import { equal } from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { KINDS } from './testing/conflict-kinds.ts'
import { type Example, outcomeOf } from './testing/outcomes.ts'

const INTRO = `# Conflicts

This page is made by running its examples: \`REWRITE=1 node --test src/store/merge/conflicts-page.test.ts\`.

With several leaders ([groups.md](groups.md)) each group of nodes writes the same tables, and may not know of the
others for a while. \`quorate conflicts\` lists what came of that, and \`quorate rules\` sets what is to come of it.

Every replica ends with what running all transactions in the order of their stamps gives. So there is one question
only: what does a transaction do that finds a row not as its writer saw it? The answer is the same on all replicas, and
every constraint of the schema holds after it.

Whatever nobody will see any more is a row of \`quorate_conflicts\`, with what was kept and what was lost. A transaction
that arrives late may change the outcome of later ones; their conflicts are then withdrawn and found anew.

In SQL a conflict is a row of \`quorate_conflicts\`, the same in all groups: \`time\`, \`origin\` and \`number\` name the transaction that met
it and which of its conflicts it is; \`kind\` is a heading below, \`name\` the table, \`open\` 1 until somebody has dealt with it if
somebody must. \`key\`, \`kept\` and \`lost\` are JSON arrays of values (\`lost ->> 1\` is the second column of what was lost), \`columns\` the
names of those it is about. In the arrays \`{}\` is a value that the change did not touch; blobs, integers beyond 2^53 and REAL values that
are whole numbers are objects (\`{"b": base64}\`, \`{"i": "…"}\`, \`{"f": "…"}\`).

## Rules

A rule is set for a column (\`quorate rules set stock.left add\`), or for a table and all its columns that have none. It
is kept in the database, and all groups must answer while it changes. Columns of the PRIMARY KEY have none: they name the
row. A rule counts only where a transaction finds another value than its writer saw; a single writer may lower a \`max\`.

A function is given to every node in a module (\`--merge-functions FILE\`). It gets INTEGER values as bigint and REAL ones as
number, must give the same for the same values everywhere and for ever, and what it returns is stored.

| rule | what is there afterwards | the other value |
| --- | --- | --- |
| \`last\` | the later writer's value; of two inserts of one key the later row as a whole | reported |
| \`first\` | the earlier writer's value | reported |
| \`add\` | the sum of both differences | nothing is lost |
| \`max\`, \`min\` | the larger, the smaller, in SQLite's order of values | not reported |
| \`union\` | JSON arrays as sets: what either added, without what either removed | nothing is lost |
| \`both\` | as \`last\` | reported, and not forgotten until somebody has dealt with it |
| \`function:NAME\` | what the application's function of base, ours and theirs gives; if it throws, as \`last\` | it decides |
| \`abort\` (tables) | the later transaction is left out as a whole | reported, and not forgotten |

## Kinds

In the examples \`first\` and \`second\` are written at the same time on two replicas; \`first\` has the earlier stamp. In
conflicts, \`·\` is a column that the change did not touch.
`

function exampleText(example: Example): string {
  const { tables, conflicts } = outcomeOf(example)
  const indented = (text: string) => text.replace(/\n\s*/g, '\n           ')
  const lines = [
    `schema     ${indented(example.schema)}`,
    ...(example.rows === undefined ? [] : [`rows       ${indented(example.rows)}`]),
    `first      ${indented(example.first)}`,
    `second     ${indented(example.second)}`,
    ...tables.map(({ name, rows }) => `after      ${name}: ${rows.join(' ') || 'empty'}`),
    ...conflicts.map((conflict) => `conflict   ${conflict}`),
  ]
  return `_${example.when}_\n\n    ${lines.join('\n').replaceAll('\n', '\n    ')}\n`
}

function page(): string {
  const kinds = KINDS.map(({ title, rule, examples }, i) => {
    const parts = [`### ${i + 1}. ${title}`, `${rule}`, ...examples.map(exampleText)]
    return `${parts.map((part) => part.trimEnd()).join('\n\n')}\n`
  })
  return `${INTRO}\n${kinds.join('\n')}`
}

test('docs/conflicts.md tells what happens', () => {
  const file = new URL('../../../docs/conflicts.md', import.meta.url)
  const text = page()
  if (process.env['REWRITE'] === '1') writeFileSync(file, text)
  equal(readFileSync(file, 'utf8'), text)
})
