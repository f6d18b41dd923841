/**
 * The synchronous core of a replica: one SQLite file that holds the data, the log and the store's
 * state. A worker thread runs it in production, the simulator in its one thread; so it has no
 * timers, promises, clock or chance of its own, and the same commands give the same file content.
 */
import { AssertionError, assert, present, unreachable } from '../base/assert.ts'
import { toErrorData } from '../base/errors.ts'
import { Applier } from './apply.ts'
import { adoptSnapshot, append, compact, found, read } from './commands.ts'
import { Connections, type OpenOptions } from './connections.ts'
import { Leader } from './leader.ts'
import { Log } from './log.ts'
import { installSnapshot, resumeInstall } from './snapshot-install.ts'
import { truncate } from './truncate.ts'
import type { StoreCommand, StoreReply, StoreState } from './types.ts'

/** What belongs to one opening of the file. */
interface Opened {
  readonly connections: Connections
  readonly log: Log
  readonly leader: Leader
  readonly applier: Applier
}

export class Store {
  /** Path of the database file. */
  readonly path: string
  readonly #options: OpenOptions
  #opened: Opened
  /** Of connections that have been closed for a snapshot. */
  #foreignWritesBefore = 0

  private constructor(path: string, options: OpenOptions) {
    this.path = path
    this.#options = options
    resumeInstall(path)
    this.#opened = open(path, options)
  }

  /**
   * Opens a database file, creating it if there is none. It may belong to no cluster yet: then only
   * `found` may be run.
   *
   * Throws FILE_IN_USE, NOT_ADOPTABLE (not a SQLite database), LOG_CORRUPT.
   */
  static open(path: string, options: OpenOptions = {}): Store {
    return new Store(path, options)
  }

  /** The write-ahead log's file: what a flush makes durable. */
  get walPath(): string {
    return `${this.path}-wal`
  }

  /** How often another process's write was noticed since the store was opened. */
  get foreignWrites(): number {
    return this.#foreignWritesBefore + this.#opened.connections.foreignWrites
  }

  state(): StoreState {
    return this.#opened.log.state
  }

  /** Rolls an open transaction back and closes the file. */
  close(): void {
    this.#opened.connections.close()
  }

  /**
   * Carries out one command, wholly or not at all. Expected errors come back as `failed`; what
   * breaks an invariant is thrown, and the store must not be used any more.
   */
  run(command: StoreCommand): StoreReply {
    try {
      return this.#run(command)
    } catch (error) {
      this.#opened.leader.abandon()
      this.#opened.connections.applier.rollback()
      if (error instanceof AssertionError) throw error
      return { kind: 'failed', error: toErrorData(error) }
    }
  }

  #run(command: StoreCommand): StoreReply {
    const { connections, log, leader, applier } = this.#opened
    assert(
      command.kind === 'found' || log.identity !== null,
      () => `${command.kind} on a file without identity`,
    )
    switch (command.kind) {
      case 'execute':
        return leader.execute(command.term, command.at, command.programs, command.resume)
      case 'streamRun': {
        const { term, at, stream, program, resume } = command
        return leader.streamRun(term, at, stream, program, resume)
      }
      case 'streamEnd':
        leader.streamEnd(command.stream)
        return DONE
      case 'propose': {
        const entry = leader.propose(command.term, command.at, command.entry, command.body)
        return { kind: 'executed', entries: [entry], outcomes: [], notRun: 0, open: false }
      }
      case 'append':
        this.#assertNoStream(command.kind)
        append(connections, log, command.entries)
        return DONE
      case 'truncate': {
        this.#assertNoStream(command.kind)
        const lost = truncate(connections, log, applier, command.to, command.at)
        return { kind: 'truncated', lost, applied: log.applied }
      }
      case 'apply':
        this.#assertNoStream(command.kind)
        return { kind: 'applied', index: applier.apply(command.to) }
      case 'read': {
        const { from, to, bytesMax } = command
        return { kind: 'entries', entries: read(log, from, to, bytesMax) }
      }
      case 'compact':
        this.#assertNoStream(command.kind)
        compact(connections, log, command.to)
        return DONE
      case 'found':
        found(connections, log, command)
        return DONE
      case 'install':
        this.#assertNoStream(command.kind)
        return this.#install(command.path)
      default:
        return unreachable(command)
    }
  }

  /** These write on the other connection, which the open transaction would keep waiting. */
  #assertNoStream(kind: string): void {
    const stream = this.#opened.leader.openStream
    assert(stream === null, () => `${kind} while stream ${stream} is open`)
  }

  #install(path: string): StoreReply {
    const { node } = present(this.#opened.log.identity, () => 'identity')
    this.#foreignWritesBefore = this.foreignWrites
    this.close()
    try {
      installSnapshot(this.path, path, node)
    } finally {
      this.#opened = open(this.path, this.#options)
    }
    adoptSnapshot(this.#opened.connections, this.#opened.log, node)
    return { kind: 'installed', state: this.state() }
  }
}

const DONE: StoreReply = { kind: 'done' }

function open(path: string, options: OpenOptions): Opened {
  const connections = new Connections(path, options)
  try {
    const log = new Log(connections.writer, connections.applier)
    const leader = new Leader(connections, log)
    const applier = new Applier(connections, log, () => leader.beforeDdl())
    return { connections, log, leader, applier }
  } catch (error) {
    connections.close()
    throw error
  }
}
