/** The demo with a person: the picture four times a second, and keys that do damage. */
import { setTimeout as sleep } from 'node:timers/promises'
import { errorLine, print } from '../output.ts'
import { Screen } from '../screen.ts'
import { type Paint, paintFor } from '../terminal.ts'
import type { DemoCluster, DemoEvent } from './cluster.ts'
import type { Load, LoadCounts } from './load.ts'
import { type DemoView, demoLines, headLines, plainLine } from './view.ts'

const FRAME_MS = 250
/** Rates and percentiles are of this long, so that figures can be read. */
const WINDOW_MS = 1_000
const PLAIN_EVERY_MS = 2_000
const TROUBLE_SHOWN_MS = 8_000
const EVENTS_KEPT = 200

export interface LiveOptions {
  readonly cluster: DemoCluster
  readonly load: Load
  readonly rows: number
  readonly dir: string
  readonly removed: boolean
  readonly startedAt: number
  /** Aborted by a signal: the picture ends. */
  readonly signal: AbortSignal
  /** Grows while the demo runs. */
  readonly events: DemoEvent[]
}

/** Runs until `q`, Ctrl-C or a signal. */
export async function runLive(options: LiveOptions): Promise<void> {
  await options.load.start()
  const live = new Live(options)
  await live.run()
}

class Live {
  readonly #options: LiveOptions
  readonly #screen = new Screen(process.stdout)
  readonly #paint: Paint = paintFor(process.stdout)
  readonly #quit = new AbortController()
  #window: { readonly at: number; readonly counts: LoadCounts }
  #rates = { writesPerSecond: 0, readsPerSecond: 0, p50Ms: 0, p99Ms: 0 }
  #failoverMs: number | null = null
  #trouble: { readonly text: string; readonly until: number } | null = null
  #plainAt = 0
  #eventsPrinted = 0

  constructor(options: LiveOptions) {
    this.#options = options
    this.#window = { at: performance.now(), counts: options.load.counts }
    options.signal.addEventListener('abort', () => this.#quit.abort())
  }

  async run(): Promise<void> {
    const release = this.#listenToKeys()
    if (!this.#screen.live) print(...headLines(this.#view(), this.#paint))
    try {
      while (!this.#quit.signal.aborted) {
        await this.#options.cluster.poll()
        this.#measure()
        this.#show()
        await sleep(FRAME_MS, undefined, { signal: this.#quit.signal }).catch(() => {})
      }
    } finally {
      release()
      this.#screen.end()
    }
  }

  #show(): void {
    const view = this.#view()
    const { width, height } = this.#screen
    if (this.#screen.live) {
      this.#screen.draw(demoLines(view, this.#paint, width, height))
      return
    }
    const { events } = this.#options
    for (const event of events.slice(this.#eventsPrinted)) print(`  ${event.source}: ${event.text}`)
    this.#eventsPrinted = events.length
    if (view.now - this.#plainAt < PLAIN_EVERY_MS) return
    this.#plainAt = view.now
    print(plainLine(view))
  }

  #view(): DemoView {
    const { cluster, load, rows, dir, removed, startedAt, events } = this.#options
    const now = performance.now()
    const trouble = this.#trouble
    return {
      rows,
      dir,
      removed,
      startedAt,
      now,
      nodes: cluster.samples,
      load: { ...this.#rates, ...load.counts },
      failoverMs: this.#failoverMs,
      events: events.slice(-EVENTS_KEPT),
      trouble: trouble !== null && trouble.until > now ? trouble.text : null,
    }
  }

  #measure(): void {
    const now = performance.now()
    const { at, counts: before } = this.#window
    if (now - at < WINDOW_MS) return
    const { load } = this.#options
    const { counts } = load
    const seconds = (now - at) / 1000
    const recent = load.takeRecent()
    this.#rates = {
      writesPerSecond: (counts.acknowledged - before.acknowledged) / seconds,
      readsPerSecond: (counts.reads - before.reads) / seconds,
      p50Ms: recent.quantile(0.5),
      p99Ms: recent.quantile(0.99),
    }
    this.#window = { at: now, counts }
  }

  /** @returns gives the terminal back */
  #listenToKeys(): () => void {
    const { stdin } = process
    if (!stdin.isTTY || !this.#screen.live) return () => {}
    const onKey = (data: Buffer): void => {
      for (const key of data.toString('utf8')) this.#press(key)
    }
    stdin.setRawMode(true)
    stdin.on('data', onKey)
    stdin.resume()
    return () => {
      stdin.off('data', onKey)
      stdin.setRawMode(false)
      stdin.pause()
    }
  }

  #press(key: string): void {
    if (key === 'q' || key === CTRL_C || key === CTRL_D) {
      this.#quit.abort()
      return
    }
    this.#act(key).catch((error: unknown) => {
      if (this.#quit.signal.aborted) return
      this.#trouble = { text: errorLine(error), until: performance.now() + TROUBLE_SHOWN_MS }
    })
  }

  async #act(key: string): Promise<void> {
    const { cluster } = this.#options
    switch (key) {
      case 'k':
        if (cluster.leader !== null) await this.#kill(cluster.leader)
        return
      case 'c':
        if (cluster.hasOrigins) return await cluster.cutGroup(cluster.groups.at(-1) ?? '')
        return await cluster.cutLeader()
      case 'h':
        await cluster.heal()
        return this.#spread()
      case 'a':
        await cluster.add()
        return this.#spread()
      case 't':
        return await cluster.transfer()
      default:
        if (/^[1-9]$/.test(key)) await this.#toggle(Number(key) - 1)
    }
  }

  async #toggle(at: number): Promise<void> {
    const { cluster } = this.#options
    const name = cluster.names[at]
    if (name === undefined) return
    if (cluster.isRunning(name)) await this.#kill(name)
    else {
      await cluster.restart(name)
      this.#spread()
    }
  }

  #spread(): void {
    const { cluster, load } = this.#options
    load.spread(cluster.groups.map((group) => cluster.urlsOf(group)))
  }

  async #kill(name: string): Promise<void> {
    const { cluster, load } = this.#options
    const group = cluster.groups.findIndex((each) => cluster.leaderOf(each) === name)
    const last = load.lastAckAt
    await cluster.kill(name)
    if (group >= 0 && last !== null) this.#failoverMs = (await load.firstAckFromNow(group)) - last
  }
}

const CTRL_C = '\x03'
const CTRL_D = '\x04'
