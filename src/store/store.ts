/**
 * The synchronous core of a replica: one SQLite file that holds the data, the log and the store's
 * state. A worker thread runs it in production, the simulator in its one thread; so it has no
 * timers, promises, clock or chance of its own, and the same commands give the same file content.
 */
import { AssertionError, assert, present, unreachable } from '../base/assert.ts'
import type { LogIndex } from '../base/brand.ts'
import { toErrorData } from '../base/errors.ts'
import type { LogState } from '../core/order/leader/types.ts'
import type { Entry } from '../model/entry.ts'
import { Applier } from './apply/apply.ts'
import { keepUnshipped, truncate } from './apply/truncate.ts'
import {
  adoptSnapshot,
  append,
  compact,
  found,
  logMerge,
  type Opened as OpenedLog,
  read,
} from './commands.ts'
import { Connections, type OpenOptions } from './connections.ts'
import { Leader } from './execute/leader.ts'
import { installSnapshot, resumeInstall } from './files/snapshot-install.ts'
import { Log } from './log.ts'
import { Origins } from './origins/origins.ts'
import { exchangeState, readOrigins } from './origins/serving.ts'
import { readStable } from './origins/stable-read.ts'
import type { OriginsState, StoreCommand, StoreReply, StoreState } from './types.ts'

interface Opened extends OpenedLog {
  readonly leader: Leader
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

  get log(): LogState {
    return this.#opened.log.state
  }

  get origins(): OriginsState | null {
    return this.#opened.origins.state
  }

  /** All that is known of the file, for who has just opened it: the sizes in it take a while. */
  state(): StoreState {
    const { log, origins } = this
    const { identity } = this.#opened.log
    return { identity, log, logParts: this.#opened.log.parts(), origins }
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
    const opened = this.#opened
    const { connections, log, leader, applier, origins } = opened
    assert(
      command.kind === 'found' || log.identity !== null,
      () => `${command.kind} on a file without identity`,
    )
    switch (command.kind) {
      case 'execute':
        origins.settle()
        return leader.execute(command, command.programs, command.resume)
      case 'streamRun': {
        const { stream, program, resume } = command
        if (leader.openStream === null) origins.settle()
        return leader.streamRun(command, stream, program, resume)
      }
      case 'streamEnd':
        leader.streamEnd(command.stream)
        return DONE
      case 'propose': {
        const { term, at, entry, body } = command
        return logged(leader.propose(term, at, entry, body))
      }
      case 'originate': {
        const { term, at, answer, operations } = command
        return leader.originate(term, at, answer, operations)
      }
      case 'append':
        this.#assertNoStream(command.kind)
        append(opened, command.entries)
        return DONE
      case 'truncate': {
        this.#assertNoStream(command.kind)
        const lost = truncate(connections, log, applier, origins, command.to, command.at)
        return { kind: 'truncated', lost, applied: log.applied }
      }
      case 'apply':
        this.#assertNoStream(command.kind)
        return this.#apply(command.to)
      case 'read': {
        const { from, to, bytesMax } = command
        return { kind: 'entries', entries: read(log, from, to, bytesMax) }
      }
      case 'compact':
        this.#assertNoStream(command.kind)
        compact(opened, command.to)
        return DONE
      case 'found':
        found(opened, command)
        return DONE
      case 'merge':
        this.#assertNoStream(command.kind)
        return logged(logMerge(opened, command))
      case 'exchangeState':
        return this.#exchangeState()
      case 'readOrigins':
        return { kind: 'originEntries', entries: readOrigins(origins, log, command) }
      case 'readStable':
        this.#assertNoStream(command.kind)
        return readStable(connections, log, applier, command)
      case 'install':
        this.#assertNoStream(command.kind)
        return this.#install(command.path)
      default:
        return unreachable(command)
    }
  }

  #apply(to: LogIndex): StoreReply {
    const { connections, log, applier } = this.#opened
    const before = this.#opened.origins.state?.cluster.epoch
    const { index, origins, merged } = applier.apply(to)
    if (origins !== null && origins.cluster.epoch !== before) {
      keepUnshipped(connections, log, this.#opened.origins)
    }
    return {
      kind: 'applied',
      index,
      ...(origins === null ? {} : { origins }),
      ...(merged === null ? {} : { merged }),
    }
  }

  #exchangeState(): StoreReply {
    const { origins, log } = this.#opened
    const known = present(origins.state, () => 'several origins')
    return { kind: 'exchangeState', state: exchangeState(origins, log), origins: known }
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
    adoptSnapshot(this.#opened, node)
    return { kind: 'installed', state: this.state() }
  }
}

const DONE: StoreReply = { kind: 'done' }

function logged(entry: Entry): StoreReply {
  return { kind: 'executed', entries: [entry], outcomes: [], notRun: 0, open: false }
}

function open(path: string, options: OpenOptions): Opened {
  const connections = new Connections(path, options)
  try {
    const log = new Log(connections.writer, connections.applier)
    const origins = new Origins(connections, log, options.functions, options.mergeParts)
    const leader = new Leader(connections, log, origins)
    const applier = new Applier(connections, log, origins, () => leader.beforeDdl())
    keepUnshipped(connections, log, origins)
    return { connections, log, origins, leader, applier }
  } catch (error) {
    connections.close()
    throw error
  }
}
