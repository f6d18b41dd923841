/** `quorate serve`: one node in this process, until a signal ends it. */
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { parse } from 'yaml'
import { EXIT_WITH_STDIN } from '../../base/env.ts'
import { fromErrorData, QuorateError } from '../../base/errors.ts'
import type { NodeEvent } from '../../node/ports.ts'
import {
  flagOf,
  type Layer,
  layerFromEnv,
  layerFromFile,
  layerFromFlags,
  mergeOptions,
  OPTION_KEYS,
  OPTIONS,
  type OptionKey,
  type ServeOptions,
} from '../options.ts'
import { errorLine, exitCodeOf } from '../output.ts'

const HELP = `
Without --join, a file that belongs to no cluster founds one, with its content as the first state.
With --join the node gets everything from the cluster and becomes a voter by itself.
On a restart the file knows its cluster; --join is then only a hint of where to look.
With --strategy multi-leader several groups of nodes write, with peer every node does: docs/groups.md.

SIGTERM, SIGINT and SIGHUP end the node in order: a leader hands over first. The exit code is 0, or
143 (ended by SIGTERM) if a read was running that can't be interrupted.

Each option can also stand in the file given by --config (YAML) and in the environment. The
environment wins over the command line, which wins over the file. docs/options.md lists them all.

Examples:
  quorate serve shop.db --name a --listen 10.0.0.1:7001
  quorate serve shop.db --name b --listen 10.0.0.2:7001 --join http://10.0.0.1:7001
  quorate serve shop.db --name e1 --listen 10.0.0.1:7001 --strategy multi-leader --group east
  quorate serve shop.db --name w1 --listen 10.1.0.1:7001 --join http://10.0.0.1:7001 --group west
  QUORATE_TOKEN=… quorate serve shop.db --config quorate.yaml`

export function registerServe(root: Command): void {
  const command = root
    .command('serve')
    .summary('run a node')
    .description('Runs one node: its copy of the database, and the port for clients and nodes.')
    .argument('[file]', uncapitalised(OPTIONS.file.doc[0]).replace(/\.$/, ''))
    .addOption(new Option('--config <path>', 'a YAML file with options').env('QUORATE_CONFIG'))
    .addHelpText('after', HELP)
  for (const key of OPTION_KEYS) if (key !== 'file') command.addOption(flagFor(key))
  command.action(async (file: string | undefined, flags: Record<string, unknown>) => {
    await serve(serveOptions(file, flags, process.env))
  })
}

/** The layers in rising priority: configuration file, command line, environment. */
export function serveOptions(
  file: string | undefined,
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
): ServeOptions {
  const { config } = flags
  return mergeOptions(
    typeof config === 'string' && config !== '' ? readConfig(config) : {},
    layerFromFlags({ ...flags, ...(file === undefined ? {} : { file }) }),
    layerFromEnv(env),
  )
}

function flagFor(key: OptionKey): Option {
  const { value, doc, fallback } = OPTIONS[key]
  const flag = value === '' ? flagOf(key) : `${flagOf(key)} <${value}>`
  const empty = fallback === undefined || fallback === null || String(fallback) === ''
  const note = empty || value === '' ? '' : ` (default: ${String(fallback)})`
  // No default for commander: it must be seen whether the command line says anything.
  return new Option(flag, `${uncapitalised(doc[0]).replace(/\.$/, '')}${note}`)
}

/** Names in capitals stay. */
function uncapitalised(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text
}

/** Throws BAD_CONFIG: no such file, or not what a configuration is. */
export function readConfig(path: string): Layer {
  if (!existsSync(path)) throw new QuorateError('BAD_CONFIG', `${path} does not exist.`)
  let content: unknown
  try {
    content = parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    const text = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new QuorateError('BAD_CONFIG', `${path} is not YAML: ${text}.`, {}, { cause })
  }
  return layerFromFile(content, path)
}

/** Resolves when a signal ended the node. Throws why it could not start or go on. */
async function serve(options: ServeOptions): Promise<void> {
  const [{ startNode }, { pino }] = await Promise.all([
    import('../../host/start-node.ts'),
    import('pino'),
  ])
  // Written at once: a process that ends itself by a signal has no later.
  const lines = pino.destination({ fd: process.stdout.fd, sync: true })
  const log = pino({ level: options.logLevel, base: { node: options.name } }, lines)
  const stop = stopSignal()
  log.info({ file: options.file, listen: options.listen }, 'node.starting')
  const tell = ({ name, level, facts }: NodeEvent): void => log[level](facts, name)
  const node = await startNode(options, stop, tell).catch((error: unknown) => {
    return stop.aborted ? null : die(startError(error, options))
  })
  if (node !== null) {
    log.info({ url: node.url, id: node.id }, 'node.started')
    const failure = await Promise.race([node.failed, aborted(stop)])
    if (failure !== null) die(fromErrorData(failure), node.running)
    log.info('node.stopping')
    await node.stop()
  }
  log.info('node.stopped')
  end(0, node?.running ?? 0)
}

/** What the system says about the address is about a setting of the user's. */
function startError(error: unknown, { listen }: ServeOptions): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const reason = LISTEN_ERRORS[code]
  if (reason === undefined) return error
  return new QuorateError('BAD_CONFIG', `listen: ${listen} ${reason}.`, {}, { cause: error })
}

const LISTEN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process',
  EADDRNOTAVAIL: 'is no address of this machine',
  EACCES: 'may not be used without more rights',
  ENOTFOUND: 'has a host name that nobody knows',
}

/** No orderly end: what failed may be what that would need. A restart starts from the disk. */
function die(error: unknown, running = 0): never {
  process.stderr.write(`${errorLine(error)}\n`)
  end(exitCodeOf(error), running)
}

/**
 * Ends the process. Where threads are in the middle of a statement process.exit would wait for them,
 * if need be for ever, so a signal ends it: whoever started it sees SIGTERM (143) for an orderly
 * end, as from a program that does nothing about that signal, and SIGKILL (137) otherwise.
 */
function end(code: number, running: number): never {
  if (running > 0) {
    process.removeAllListeners('SIGTERM')
    process.kill(process.pid, code === 0 ? 'SIGTERM' : 'SIGKILL')
  }
  process.exit(code)
}

/** Aborted by the first signal that asks the process to end; more of them change nothing. */
function stopSignal(): AbortSignal {
  const controller = new AbortController()
  const stop = (): void => controller.abort()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  if (process.env[EXIT_WITH_STDIN] === '1') {
    process.stdin.resume()
    process.stdin.on('end', stop).on('error', stop)
  }
  return controller.signal
}

async function aborted(signal: AbortSignal): Promise<null> {
  if (!signal.aborted) await once(signal, 'abort')
  return null
}
