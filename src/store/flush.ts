/**
 * Group flush: makes written tickets durable with as few flushes of the WAL file as possible, off
 * the writer's thread.
 *
 * SQLite runs with synchronous=NORMAL, so a COMMIT only reaches the operating system. One
 * fdatasync is in flight at a time; it covers whatever was written before it began, and all that
 * comes meanwhile shares the next one. Opening the -wal file a second time is safe: SQLite's POSIX
 * locks are on the main file and -shm, and closing a descriptor drops only locks on the same file.
 *
 * A flush that failed is never tried again: after EIO the kernel may have dropped the dirty pages
 * and a second fdatasync would report success for data that is gone (the fsync errors of
 * PostgreSQL, 2018). The replica is then not to be trusted any more.
 */
import { close, closeSync, existsSync, fdatasync, fsync, fsyncSync, open, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { assert } from '../base/assert.ts'
import type { Ticket } from '../core/order/leader/types.ts'

/** Which tickets are durable, without I/O: shared by the real flusher and the simulated disk. */
export class FlushTracker {
  #written: Ticket = 0
  #flushing: Ticket | null = null
  #flushed: Ticket = 0

  /** A command wrote under this ticket. Tickets may repeat but never go back. */
  wrote(ticket: Ticket): void {
    assert(ticket >= this.#written, () => `ticket ${ticket} after ${this.#written}`)
    this.#written = ticket
  }

  /** Starts a flush if something waits for one and none is in flight; tells whether it did. */
  begin(): boolean {
    if (this.#flushing !== null || this.#written === this.#flushed) return false
    this.#flushing = this.#written
    return true
  }

  /** The flush in flight returned. Everything through the ticket that it gives back is durable. */
  end(): Ticket {
    assert(this.#flushing !== null, () => `no flush in flight, flushed ${this.#flushed}`)
    this.#flushed = this.#flushing
    this.#flushing = null
    return this.#flushed
  }
}

export interface WalFlusherOptions {
  readonly walPath: string
  /** All writes under tickets through this one are durable. */
  readonly onFlushed: (ticket: Ticket) => void
  /** The disk failed: nothing written since the last report may be relied on, ever. */
  readonly onFatal: (error: Error) => void
}

type Flush = (fd: number, done: (error: Error | null) => void) => void

/** Flushes a WAL file on behalf of the one thread that writes it. */
export class WalFlusher {
  readonly #options: WalFlusherOptions
  readonly #flush: Flush
  readonly #tracker = new FlushTracker()
  #fd: number | null = null
  /** The file in place is not the one that #fd means. */
  #replaced = false
  #inFlight = false
  #failed = false
  #closed = false

  /** @param flush fdatasync; a test passes another */
  constructor(options: WalFlusherOptions, flush: Flush = fdatasync) {
    this.#options = options
    this.#flush = flush
  }

  /** A command has committed under this ticket; a flush follows. */
  wrote(ticket: Ticket): void {
    this.#tracker.wrote(ticket)
    this.#start()
  }

  /** The database was opened anew, so the WAL may be another file. Call before its next `wrote`. */
  reopen(): void {
    this.#replaced = true
    if (!this.#inFlight) this.#release()
  }

  /** Stops reporting. A flush in flight ends by itself. */
  close(): void {
    this.#closed = true
    if (!this.#inFlight) this.#release()
  }

  #start(): void {
    if (this.#failed || this.#closed || this.#inFlight) return
    if (!this.#tracker.begin()) return
    this.#inFlight = true
    try {
      if (this.#fd === null) this.#openThenFlush()
      else this.#flush(this.#fd, (error) => this.#ended(error))
    } catch (error) {
      this.#ended(error as Error)
    }
  }

  /** The first flush of a file also makes its name durable. */
  #openThenFlush(): void {
    const { walPath } = this.#options
    const fd = openSync(walPath, 'r')
    this.#fd = fd
    this.#flush(fd, (error) => {
      if (error) this.#ended(error)
      else syncDirectory(dirname(walPath), (failure) => this.#ended(failure))
    })
  }

  #ended(error: Error | null): void {
    this.#inFlight = false
    if (this.#closed || this.#replaced) this.#release()
    if (this.#closed || this.#failed) return
    if (error) {
      this.#failed = true
      this.#options.onFatal(error)
      return
    }
    this.#options.onFlushed(this.#tracker.end())
    this.#start()
  }

  #release(): void {
    if (this.#fd !== null) close(this.#fd, () => {})
    this.#fd = null
    this.#replaced = false
  }
}

/** Makes what is in a WAL file durable before it returns. */
export function flushNow(walPath: string): void {
  if (!existsSync(walPath)) return
  for (const path of [walPath, dirname(walPath)]) {
    const fd = openSync(path, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }
}

/** Makes the names in a directory durable, off this thread. */
function syncDirectory(path: string, done: (error: Error | null) => void): void {
  open(path, 'r', (failure, fd) => {
    if (failure) done(failure)
    else fsync(fd, (error) => close(fd, () => done(error)))
  })
}
