/** `quorate dump`: a database as SQL, from a node or from a file. */
import { once } from 'node:events'
import { createWriteStream, existsSync, type WriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import type { ReadLevel } from '../../model/request.ts'
import type { DumpOptions } from '../../store/dump/dump.ts'
import { toRead } from '../arguments.ts'
import { type CommonFlags, targetOf, withTarget } from '../common.ts'
import { dumpFile, dumpNode } from '../dump-node.ts'
import { usageError } from '../output.ts'

const HELP = `
What sqlite3 and quorate sql read back exactly: every value with its type, rowids, generated ids,
indexes, views, triggers. It is one moment of the database, also while others write to it.
Quorate's own tables are left out.

The first argument is a file if one of that name exists; all others are names of tables or views.
Without a file the database is that of a node, by --url.

Examples:
  quorate dump --url http://10.0.0.1:7001 --out shop.sql
  quorate dump shop.db orders customers
  quorate dump old.db | sqlite3 new.db`

interface DumpFlags extends CommonFlags {
  readonly out?: string
  readonly schemaOnly?: true
  readonly dataOnly?: true
  readonly read: ReadLevel
}

export function registerDump(root: Command): void {
  const command = root
    .command('dump')
    .summary('write a database as SQL')
    .description('Writes a database as SQL text, from a node or from a file.')
    .argument('[file-or-table...]', 'a SQLite file, then tables; all tables if none is named')
    .option('-o, --out <file>', 'where to; standard output otherwise')
    .option('--schema-only', 'no rows')
    .option('--data-only', 'rows only')
    .addOption(
      new Option('--read <level>', 'what a node may miss').argParser(toRead).default('strong'),
    )
  withTarget(command)
    .addHelpText('after', HELP)
    .action(async (words: string[], flags: DumpFlags) => await run(words, flags))
}

async function run(words: readonly string[], flags: DumpFlags): Promise<void> {
  if (flags.schemaOnly && flags.dataOnly) {
    throw usageError('--schema-only and --data-only leave nothing.')
  }
  const [first = '', ...rest] = words
  const isFile = existsSync(first)
  if (!isFile && /[/\\]|\.(db|sqlite3?)$/.test(first)) throw usageError(`${first} does not exist.`)
  const tables = isFile ? rest : words
  const options: DumpOptions = {
    schema: flags.dataOnly !== true,
    data: flags.schemaOnly !== true,
    tables,
  }
  const dump = async (write: (text: string) => Promise<void>): Promise<void> => {
    if (isFile) await dumpFile(first, options, write)
    else await dumpNode(targetOf(flags), { ...options, read: flags.read }, write)
  }
  if (flags.out === undefined) await dump((text) => put(process.stdout, text))
  else await toFile(flags.out, dump)
}

/** The file is there when all of it is. */
async function toFile(
  path: string,
  dump: (write: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const part = `${path}.part`
  const file = createWriteStream(part, { flush: true })
  try {
    await once(file, 'open')
    await dump((text) => put(file, text))
    file.end()
    await once(file, 'close')
    await rename(part, path)
  } catch (error) {
    file.destroy()
    await rm(part, { force: true })
    throw error
  }
}

/** Waits while the other end is slower. */
async function put(stream: WriteStream | NodeJS.WriteStream, text: string): Promise<void> {
  if (!stream.write(text)) await once(stream, 'drain')
}
