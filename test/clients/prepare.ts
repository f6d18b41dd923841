/**
 * What the programs need before they can run: their packages as the lock file lists them (`npm ci`
 * with the machine's npm, only if they are not there; no package may run scripts), the client that
 * Prisma generates, and types that fit.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const HERE = import.meta.dirname
const TYPES = join(HERE, '..', '..', 'node_modules', 'typescript', 'bin', 'tsc')
const PRISMA = join(HERE, 'node_modules', 'prisma', 'build', 'index.js')
/** Holds the hash of the lock file that was installed. */
const INSTALLED = join(HERE, 'node_modules', '.quorate-installed')

/** Prisma would fetch an engine for migrations, which nobody here runs: any program stands for it. */
const PRISMA_OFFLINE = {
  PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
  PRISMA_HIDE_UPDATE_MESSAGE: '1',
  CHECKPOINT_DISABLE: '1',
}

install()
run(
  process.execPath,
  [PRISMA, 'generate', '--schema', 'programs/prisma/schema.prisma'],
  PRISMA_OFFLINE,
)
run(process.execPath, [TYPES, '-p', '.'])

function install(): void {
  const lock = createHash('sha256').update(readFileSync(join(HERE, 'package-lock.json')))
  const hash = lock.digest('hex')
  if (existsSync(INSTALLED) && readFileSync(INSTALLED, 'utf8') === hash) return
  // The folders that npm puts first hold this project's Node, which is not npm's.
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const PATH = folders.filter((folder) => !folder.endsWith('.bin')).join(delimiter)
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  run('npm', ['ci', ...quiet], { PATH })
  writeFileSync(INSTALLED, hash)
}

/** Runs a program to its end here, and ends this one if that fails; quiet while all is well. */
function run(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): void {
  const options = { cwd: HERE, encoding: 'utf8', env: { ...process.env, ...env } } as const
  const { status, stdout, stderr, error } = spawnSync(file, args, options)
  if (status === 0) return
  process.stderr.write(`${file} ${args.join(' ')}\n${stdout}${stderr}${error?.message ?? ''}\n`)
  process.exit(1)
}
