/** The time that a call has, all its attempts together. */
import { QuorateError } from '../base/errors.ts'

/** One timer and one signal for a whole call, let go of when it ends. */
export class Deadline {
  readonly #at: number
  readonly #controller = new AbortController()
  readonly #timer: ReturnType<typeof setTimeout>
  readonly #outer: readonly AbortSignal[]
  readonly #onOuter = (event: Event): void => {
    this.aborted = true
    this.#controller.abort((event.target as AbortSignal).reason)
  }
  /** The caller or close() ended it, not the time. */
  aborted = false
  passed = false

  constructor(timeoutMs: number, outer: readonly (AbortSignal | undefined)[]) {
    this.#at = performance.now() + timeoutMs
    this.#outer = outer.filter((signal) => signal !== undefined)
    this.#timer = setTimeout(() => this.#pass(timeoutMs), timeoutMs)
    for (const signal of this.#outer) {
      if (signal.aborted) {
        this.aborted = true
        this.#controller.abort(signal.reason)
      }
      signal.addEventListener('abort', this.#onOuter)
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get leftMs(): number {
    return this.#at - performance.now()
  }

  /** Waits, at most until the deadline; an abort rejects. */
  async wait(ms: number): Promise<void> {
    this.signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer)
        if (this.aborted) reject(this.signal.reason)
        else resolve()
      }
      const timer = setTimeout(() => {
        this.signal.removeEventListener('abort', stop)
        resolve()
      }, ms)
      this.signal.addEventListener('abort', stop, { once: true })
    })
  }

  clear(): void {
    clearTimeout(this.#timer)
    for (const signal of this.#outer) signal.removeEventListener('abort', this.#onOuter)
  }

  #pass(timeoutMs: number): void {
    this.passed = true
    this.#controller.abort(new QuorateError('DEADLINE', `No answer within ${timeoutMs} ms.`))
  }
}
