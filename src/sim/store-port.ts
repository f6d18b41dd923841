/**
 * The production store on its real file, in virtual time: one command after the other, each after a
 * drawn delay; flushes beside it, each of which covers what was written before it began; and one
 * line back to the node on which replies and flush reports keep their order.
 */

import type { Prng } from '../base/prng.ts'
import type { Ticket } from '../core/order/leader/types.ts'
import type { StorePort } from '../node/ports.ts'
import { FlushTracker } from '../store/flush.ts'
import type { StoreCommand, StoreReply } from '../store/types.ts'
import type { SimDisk } from './disk.ts'
import type { Profile } from './profile.ts'
import { drawDelay } from './profile.ts'
import type { Lifetime, Schedule } from './schedule.ts'

/** The part of the production store that a port needs. */
export interface RunsCommands {
  run(command: StoreCommand): StoreReply
}

/** Told what the disk and the store did, at the moment they did it. */
export interface StoreWatch {
  ran(command: StoreCommand, reply: StoreReply): void
  /** Number of the newest write so far. */
  writes(): number
  flushed(writes: number): void
}

export interface StorePortOptions {
  readonly schedule: Schedule
  readonly life: Lifetime
  readonly prng: Prng
  readonly speed: () => Profile['disk']
  readonly store: RunsCommands
  readonly disk: SimDisk
  readonly watch: StoreWatch
  /** Makes WAL and file one, or leaves it if somebody is writing. */
  readonly checkpoint: () => boolean
}

interface Job {
  readonly command: StoreCommand
  readonly done: (reply: StoreReply) => void
}

export class SimStorePort implements StorePort {
  readonly #options: StorePortOptions
  readonly #queue: Job[] = []
  readonly #tracker = new FlushTracker()
  #listener: (ticket: Ticket) => void = () => {}
  #busy = false
  #replyAt = 0

  constructor(options: StorePortOptions) {
    this.#options = options
  }

  submit(command: StoreCommand, done: (reply: StoreReply) => void): void {
    this.#queue.push({ command, done })
    this.#next()
  }

  onFlushed(listener: (ticket: Ticket) => void): void {
    this.#listener = listener
  }

  /** A checkpoint syncs WAL and file: all that was written is durable after it. */
  checkpoint(): void {
    const { checkpoint, disk, watch } = this.#options
    if (!checkpoint()) return
    disk.settled()
    watch.flushed(watch.writes())
  }

  #next(): void {
    const job = this.#queue[0]
    if (this.#busy || job === undefined) return
    this.#busy = true
    const { schedule, life, prng, speed } = this.#options
    schedule.after(drawDelay(prng, speed().store), life, () => {
      this.#queue.shift()
      this.#run(job)
      this.#busy = false
      this.#next()
    })
  }

  #run({ command, done }: Job): void {
    const { store, watch, disk, prng, speed } = this.#options
    const reply = store.run(command)
    watch.ran(command, reply)
    this.#tell(() => done(reply))
    if (command.kind === 'install' && reply.kind === 'installed') {
      disk.settled()
      watch.flushed(watch.writes())
    }
    if ('ticket' in command) this.#tracker.wrote(command.ticket)
    this.#flush()
    if (prng.percent(speed().checkpointPercent)) this.checkpoint()
  }

  #flush(): void {
    if (!this.#tracker.begin()) return
    const { schedule, life, prng, speed, disk, watch } = this.#options
    const writes = watch.writes()
    const mark = disk.mark()
    schedule.after(drawDelay(prng, speed().flush), life, () => {
      disk.flushed(mark)
      watch.flushed(writes)
      const ticket = this.#tracker.end()
      this.#tell(() => this.#listener(ticket))
      this.#flush()
    })
  }

  /** Replies and reports reach the node one after the other, as over one message port. */
  #tell(what: () => void): void {
    const { schedule, life, prng } = this.#options
    this.#replyAt = Math.max(this.#replyAt, schedule.now + prng.intInclusive(1, 50))
    schedule.after(this.#replyAt - schedule.now, life, what)
  }
}
