/**
 * A node as a process of its own, as users run it: `quorate serve` with a port, a file and a log
 * file, that can be stopped, killed and started again. For benchmarks and whole-system tests.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { EXIT_WITH_STDIN } from '../base/env.ts'
import type { NodeStatus } from '../model/status.ts'

const BIN = fileURLToPath(new URL('../../bin/quorate.js', import.meta.url))

/** How often a condition in another process is looked at, ms. */
const POLL_MS = 20
/** How long a node may take to stop when asked, ms. */
const STOP_MS = 10_000

export interface ChildNodeOptions {
  /** Folder for the database and the log. */
  readonly dir: string
  readonly name: string
  readonly port: number
  /** URLs of nodes to join; none: founds a cluster. */
  readonly join?: readonly string[]
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Default: a file named after the node in `dir`. */
  readonly file?: string
}

export class ChildNode {
  readonly name: string
  readonly file: string
  readonly url: string
  readonly logFile: string
  readonly #options: ChildNodeOptions
  #child: ChildProcess | null = null

  constructor(options: ChildNodeOptions) {
    this.#options = options
    this.name = options.name
    this.file = options.file ?? join(options.dir, `${options.name}.db`)
    this.url = `http://127.0.0.1:${options.port}`
    this.logFile = join(options.dir, `${options.name}.log`)
  }

  get running(): boolean {
    return this.#child !== null
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Starts the process; ready() tells when it serves. */
  start(): void {
    const { name, port, join: peers = [], flags = [], env = {} } = this.#options
    const args = [BIN, 'serve', this.file, '--name', name, '--listen', `127.0.0.1:${port}`]
    if (peers.length > 0) args.push('--join', peers.join(','))
    const log = openSync(this.logFile, 'a')
    const child = spawn(process.execPath, [...args, ...flags], {
      env: { ...process.env, [EXIT_WITH_STDIN]: '1', ...env },
      // Its own process group: Ctrl-C in a terminal is the parent's, which ends its nodes in order.
      detached: true,
      stdio: ['pipe', log, log],
    })
    closeSync(log)
    child.once('exit', () => {
      if (this.#child === child) this.#child = null
    })
    this.#child = child
  }

  /** Ends it without a word, as a power failure would; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /**
   * Asks it to stop; after ten seconds kills it and throws.
   *
   * @returns the signal that ended it; null: it ended by itself
   */
  async stop(): Promise<NodeJS.Signals | null> {
    const child = this.#child
    const timer = setTimeout(() => child?.kill('SIGKILL'), STOP_MS)
    const signal = await this.#end('SIGTERM')
    clearTimeout(timer)
    if (signal === 'SIGKILL') throw new Error(`${this.name} did not stop within ${STOP_MS} ms`)
    return signal
  }

  /** Resolves once /ready answers 200; throws with the end of its log if that takes too long. */
  async ready(timeoutMs = 20_000): Promise<void> {
    await until(`${this.name} is ready`, timeoutMs, async () => {
      if (!this.running) throw new Error(`${this.name} has ended:\n${this.logTail()}`)
      const response = await get(`${this.url}/ready`)
      return response?.ok === true
    }).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.logTail()}`)
    })
  }

  /** What GET /status says; null if nobody answers. */
  async status(): Promise<NodeStatus | null> {
    const response = await get(`${this.url}/status`)
    return response?.ok ? ((await response.json()) as NodeStatus) : null
  }

  /** Peak of its resident memory in MiB; null where the system doesn't tell. */
  peakMemoryMiB(): number | null {
    return peakMemoryMiB(this.#child?.pid)
  }

  logTail(lines = 15): string {
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  }

  async #end(signal: NodeJS.Signals): Promise<NodeJS.Signals | null> {
    const child = this.#child
    if (child === null) return null
    const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
    child.kill(signal)
    const [, by] = await exited
    return by
  }
}

/** Peak resident memory of a process in MiB; null where the system doesn't tell. */
export function peakMemoryMiB(pid: number | undefined): number | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
    return kib === undefined ? null : Math.round(Number(kib) / 102.4) / 10
  } catch {
    return null
  }
}

/** Waits for something that only asking can tell. Throws if it is not so in time. */
export async function until(
  what: string,
  timeoutMs: number,
  probe: () => Promise<boolean> | boolean,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await probe())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await sleep(POLL_MS)
  }
}

/** GET with a short limit; null if nobody answers. */
async function get(url: string): Promise<Response | null> {
  try {
    return await fetch(url, { signal: AbortSignal.timeout(2_000) })
  } catch {
    return null
  }
}

/**
 * A free port below the range from which systems take the ports of outgoing connections, so that a
 * node can come back to its port after a kill.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}
