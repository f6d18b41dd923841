/** Dot commands that bring data in and out: .import, .dump, .read. */
import { dumpNode } from '../dump-node.ts'
import { usageError } from '../output.ts'
import type { DotCommand } from './dot-command.ts'
import { importCsv } from './import.ts'

interface ImportWords {
  readonly file: string
  readonly table: string
  readonly skip: number
  readonly separator: string
}

/** FILE and TABLE with flags before, between or after them. */
function importWords(args: readonly string[], separator: string | null): ImportWords {
  const names: string[] = []
  let skip = 0
  let delimiter = separator ?? ','
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? ''
    if (!word.startsWith('-')) names.push(word)
    else if (word === '--csv') delimiter = ','
    else if (word === '--tabs') delimiter = '\t'
    else if (word === '--skip' && /^\d+$/.test(args[at + 1] ?? '')) {
      at += 1
      skip = Number(args[at])
    } else throw usageError(`"${word}" is not --csv, --tabs or --skip N.`)
  }
  const [file, table, more] = names
  if (file === undefined || table === undefined || more !== undefined) {
    throw usageError('It is .import FILE TABLE [--csv|--tabs] [--skip N].')
  }
  return { file, table, skip, separator: delimiter }
}

export const DATA_COMMANDS: readonly DotCommand[] = [
  {
    name: 'import',
    args: 'FILE TABLE [--csv|--tabs] [--skip N]',
    help: 'read rows from a CSV file; TABLE is made from its first line if it is not there',
    takes: [2, 7],
    run: async (shell, args) => {
      await importCsv(shell, importWords(args, shell.settings.separator))
    },
  },
  {
    name: 'dump',
    args: '[TABLE…]',
    help: 'write the database as SQL',
    takes: [0, 1000],
    run: async (shell, tables) => {
      await dumpNode(shell.target, { tables, read: 'strong' }, async (text) => {
        shell.output.write(text)
      })
    },
  },
  {
    name: 'read',
    args: 'FILE',
    help: 'run the statements and dot commands of FILE',
    takes: [1, 1],
    run: (shell, [path = '']) => shell.readFile(path),
  },
]
