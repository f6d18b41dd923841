/**
 * What the programs share: their command line. `check URL` runs a program once from its migrations
 * to its last assertion. `work URL RUN` does numbered pieces of work until standard input ends, and
 * then looks whether each was done once; test/clients/failover.test.ts takes the leader away meanwhile.
 */
import { deepEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'

export interface Program {
  /** The application from its schema to its reports; throws at the first thing that is wrong. */
  check(url: string): Promise<void>
  /** The application at work: `run` keeps apart what several processes do to the same tables. */
  open(url: string, run: string): Promise<Work>
}

export interface Work {
  /** Pieces of work that the client can have under way at once. */
  readonly lanes: number
  /** Does the piece of this number, once. Rejects for what the client doesn't call retryable. */
  step(number: number): Promise<void>
  /** Numbers that are done; throws if one is half done or done twice. */
  done(): Promise<readonly number[]>
  close(): Promise<void> | void
}

/** How long a piece of work is retried before its program gives up, ms. */
const PATIENCE_MS = 30_000
const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 500

/** How often each reason for a retry came up, for whoever reads the output. */
const reasons = new Map<string, number>()

/**
 * The loop that a careful user writes: again after a pause that doubles, while the error is
 * retryable and patience lasts.
 *
 * @param reasonToRetry names what happened if the client documents it as retryable, else null
 */
export async function retrying<T>(
  attempt: () => Promise<T>,
  reasonToRetry: (error: unknown) => string | null,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await attempt()
    } catch (error) {
      const reason = reasonToRetry(error)
      if (reason === null || performance.now() > deadline) throw error
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
      await sleep(pause)
    }
  }
}

/** What fetch says of a connection that could not be made or broke; null for anything else. */
export function brokenConnection(error: unknown): string | null {
  if (!(error instanceof TypeError) || error.message !== 'fetch failed') return null
  const { cause } = error
  return cause instanceof Error && 'code' in cause ? String(cause.code) : error.message
}

/** Runs a program as its command line asks. */
export async function runProgram(program: Program): Promise<void> {
  const [mode, url, run] = process.argv.slice(2)
  if (mode === 'check' && url !== undefined) return program.check(url)
  if (mode === 'work' && url !== undefined && run !== undefined) return work(program, url, run)
  throw new Error('usage: check URL | work URL RUN')
}

async function work(program: Program, url: string, run: string): Promise<void> {
  let ending = false
  const ended = once(process.stdin.resume(), 'end').then(() => {
    ending = true
  })
  const open = await program.open(url, run)
  say('ready')
  let started = 0
  const lane = async (): Promise<void> => {
    while (!ending) {
      started += 1
      const number = started
      await open.step(number)
      say(`done ${number}`)
      // A client that blocks leaves no other moment to see that the input ended.
      await nextTurn()
    }
  }
  await Promise.all(Array.from({ length: open.lanes }, lane))
  await ended
  const done = [...(await open.done())].sort((a, b) => a - b)
  await open.close()
  const expected = Array.from({ length: started }, (_, at) => at + 1)
  deepEqual(done, expected)
  say(`right ${started} ${JSON.stringify(Object.fromEntries(reasons))}`)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
