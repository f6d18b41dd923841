/** A benchmark's application with Quorate inside: the child process that runs embedded.ts. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { OpenOptions } from '../index.ts'
import type { Answer, Task } from './embedded.ts'
import type { Rate } from './measure.ts'

/** Beside this file, and compiled with it in the published package. */
const EMBEDDED = fileURLToPath(new URL(`./embedded${extname(import.meta.url)}`, import.meta.url))

interface ApplicationOptions {
  readonly file: string
  readonly name: string
  readonly port: number
  /** What else the database is opened with. */
  readonly options?: Partial<OpenOptions>
}

/** One task at a time. */
export class Application {
  readonly url: string
  readonly #child: ChildProcess
  readonly #opened: Promise<Answer>

  constructor({ file, name, port, options = {} }: ApplicationOptions) {
    this.url = `http://127.0.0.1:${port}`
    this.#child = fork(EMBEDDED, [file, name, `127.0.0.1:${port}`, JSON.stringify(options)])
    this.#opened = this.#next()
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  async opened(): Promise<void> {
    await this.#opened
  }

  async ask(task: Task): Promise<Answer> {
    const answer = this.#next()
    this.#child.send(task)
    return await answer
  }

  async writes(task: Task): Promise<Rate> {
    const answer = await this.ask(task)
    if (answer.kind !== 'writes') throw new Error(`answered ${answer.kind} to ${task.kind}`)
    return answer.rate
  }

  async localReads(seconds: number): Promise<number> {
    const answer = await this.ask({ kind: 'localReads', seconds })
    if (answer.kind !== 'localReads') throw new Error(`answered ${answer.kind} to localReads`)
    return answer.perSecond
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async #next(): Promise<Answer> {
    const stop = new AbortController()
    const ended = once(this.#child, 'exit', stop).then(() => {
      throw new Error('the application process ended')
    })
    const answered = once(this.#child, 'message', stop) as Promise<[Answer]>
    const [answer] = await Promise.race([answered, ended]).finally(() => stop.abort())
    if (answer.kind === 'failed') throw new Error(answer.message)
    return answer
  }
}
