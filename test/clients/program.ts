/** One of the programs as a process of its own, as its user would run it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { until } from '../../src/bench/child-node.ts'

const PROGRAMS = join(import.meta.dirname, 'programs')

/** Programs that have work to go on with while leaders change. */
export const WORKING = [
  ...['libsql-client', 'drizzle', 'prisma', 'kysely', 'knex', 'typeorm'],
  ...['libsql-driver', 'serverless'],
] as const

/** Says what is missing if the programs can't run. */
export function requirePrepared(): void {
  if (existsSync(join(import.meta.dirname, 'generated'))) return
  throw new Error('run `node test/clients/prepare.ts` first')
}

/** Runs a program's checks to their end. Rejects with what it said if one fails. */
export async function check(name: string, url: string, timeoutMs: number): Promise<void> {
  const child = start(name, ['check', url], timeoutMs)
  const [output, errors] = await Promise.all([read(child.stdout), read(child.stderr)])
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  if (child.exitCode !== 0) throw failure(name, url, child, `${output}${errors}`)
}

/** A program at work. */
export class WorkingProgram implements AsyncDisposable {
  readonly name: string
  readonly url: string
  readonly #child: ChildProcess
  readonly #errors: Promise<string>
  readonly #ended: Promise<unknown>
  #ready = false
  #done = 0
  #right: string | null = null

  constructor(name: string, url: string, run: string, timeoutMs: number) {
    this.name = name
    this.url = url
    this.#child = start(name, ['work', url, run], timeoutMs)
    this.#errors = read(this.#child.stderr)
    this.#ended = once(this.#child, 'close')
    if (this.#child.stdout === null) throw new Error('no output of the program')
    createInterface(this.#child.stdout).on('line', (line) => this.#hear(line))
  }

  /** Pieces of work that it has done. */
  get done(): number {
    return this.#done
  }

  /** Resolves when it has done `more` pieces of work from now; rejects if it ends instead. */
  async doMore(more: number, timeoutMs: number): Promise<void> {
    const goal = this.#done + more
    await until(`${this.name} does ${more} pieces of work`, timeoutMs, () => {
      return this.#hasEnded || (this.#ready && this.#done >= goal)
    })
    if (this.#hasEnded) throw await this.#failure()
  }

  /** Lets it finish what is under way and look at its data. Resolves with what it says of that. */
  async finish(): Promise<string> {
    this.#child.stdin?.end()
    await this.#ended
    if (this.#child.exitCode !== 0 || this.#right === null) throw await this.#failure()
    return this.#right
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  #hear(line: string): void {
    if (line === 'ready') this.#ready = true
    else if (line.startsWith('done ')) this.#done += 1
    else if (line.startsWith('right ')) this.#right = line
  }

  async #failure(): Promise<Error> {
    return failure(this.name, this.url, this.#child, await this.#errors)
  }
}

function start(name: string, args: readonly string[], timeoutMs: number): ChildProcess {
  const file = join(PROGRAMS, `${name}.ts`)
  return spawn(process.execPath, [file, ...args], { timeout: timeoutMs, killSignal: 'SIGKILL' })
}

async function read(stream: ChildProcess['stdout']): Promise<string> {
  return stream === null ? '' : text(stream)
}

function failure(name: string, url: string, child: ChildProcess, output: string): Error {
  const how = child.signalCode ?? `exit code ${child.exitCode}`
  return new Error(`${name} at ${url}: ${how}\n${output.trimEnd()}`)
}
