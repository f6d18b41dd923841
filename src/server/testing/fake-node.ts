/**
 * A node for the server's tests: runs programs on one SQLite database in memory, with none of the
 * replication. Reads wait for an open transaction too, because there is only one connection.
 */
import { DatabaseSync } from 'node:sqlite'
import { Readable } from 'node:stream'
import { type ErrorData, toErrorData } from '../../base/errors.ts'
import type { Condition, Program, Statement, Step, StepResult } from '../../model/program.ts'
import {
  isCursorRequest,
  type NodeReply,
  type NodeRequest,
  type SessionToken,
} from '../../model/request.ts'
import { firstKeyword } from '../../model/sql-tokens.ts'
import type { NodeStatus, OriginsStatus } from '../../model/status.ts'
import type { NodeEvent } from '../../node/ports.ts'
import { describeProgram } from '../../store/execute/describe.ts'
import { mapSqliteError, runPrepared, StatementCache } from '../../store/execute/statement.ts'
import type { FaultCommand, NodeService } from '../service.ts'
import { FakeCursors } from './fake-cursors.ts'

const READS = new Set(['SELECT', 'VALUES', 'EXPLAIN', 'WITH', 'PRAGMA', 'BEGIN', 'COMMIT'])

export class FakeNode implements NodeService {
  readonly db = new DatabaseSync(':memory:')
  readonly #cache = new StatementCache(this.db)
  readonly requests: NodeRequest[] = []
  readonly faults: FaultCommand[] = []
  readonly lost = {
    list: async () => [{ file: 'lost-1.json' }],
    show: async (file: string) => ({ file, transactions: [] }),
    replay: async (file: string) => ({ file, replayed: 2 }),
  }
  /** Answers instead of running, when a test sets it. */
  reply: NodeReply | null = null
  ready = true
  /** What status() says of groups. */
  origins: OriginsStatus | null = null
  /** What tokens say of them. */
  seen: SessionToken['origins']
  /** Requests wait for it, when a test sets it. */
  gate: Promise<void> | null = null
  readonly cursors = new FakeCursors()
  #index = 0
  #owner: string | null = null
  readonly #waiting: (() => void)[] = []
  readonly #listeners = new Set<(event: NodeEvent) => void>()

  get listeners(): number {
    return this.#listeners.size
  }

  /** The stream whose transaction is open. */
  get owner(): string | null {
    return this.#owner
  }

  readonly fault = (command: FaultCommand): void => {
    this.faults.push(command)
  }

  async request(request: NodeRequest): Promise<NodeReply> {
    this.requests.push(request)
    if (this.gate !== null) await this.gate
    if (this.reply !== null) return this.reply
    if (request.kind === 'admin') return { kind: 'admin', value: request.command }
    if (isCursorRequest(request)) return this.cursors.answer(request, this.db, this.#index)
    const stream = request.kind === 'stream' ? request.stream : null
    while (this.#owner !== null && this.#owner !== stream) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    if (request.kind === 'read') return this.#read(request.program)
    if (request.kind === 'write') return this.#result(request.program)
    return this.#stream(request)
  }

  emit(event: NodeEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  watch(): () => void {
    return () => {}
  }

  events(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  meet(promise: string | null): unknown {
    return { id: 'a:00000001', url: 'http://127.0.0.1:7001', cluster: 'c1', promised: promise }
  }

  async snapshotStream(): Promise<Readable> {
    return Readable.from([Buffer.from(this.db.serialize())])
  }

  /** Ends the open transaction, as a leader does that steps down. */
  loseTransaction(): void {
    this.db.exec('ROLLBACK')
    this.#release()
  }

  status(): NodeStatus {
    const self = { id: 'a:00000001', name: 'a', url: 'http://127.0.0.1:7001' }
    const member = { role: 'voter', wants: 'voter', priority: 1, leader: true } as const
    return {
      ...self,
      cluster: 'c1',
      release: '0.0.0',
      ready: this.ready,
      role: 'leader',
      term: 3,
      leader: { name: 'a', url: self.url },
      log: { first: 1, last: 9, durable: 9, committed: 8, applied: 8 },
      origins: this.origins,
      members: [{ ...self, ...member, connected: true, held: 9, progress: 'replicate' }],
      counters: {
        ...{ writes: 5, reads: 6, batches: 4, elections: 1 },
        ...{ snapshotsSent: 0, snapshotsInstalled: 0, takenBack: 0 },
      },
      lostFiles: 1,
      alarms: [],
      ...{ memoryBytes: 1e8, databaseBytes: 4096, walBytes: 0, uptimeMs: 1500 },
    }
  }

  #read(program: Program): NodeReply {
    if (program.describe) return this.#result(program)
    const writes = program.steps.some(({ statement: { sql } }) => {
      if (firstKeyword(sql) === 'EXPLAIN') return false
      return !READS.has(firstKeyword(sql)) || /\b(insert|update|delete)\b|=/i.test(bare(sql))
    })
    const controls = program.steps.map(({ statement: { sql } }) => firstKeyword(sql))
    const staysOpen = controls.lastIndexOf('BEGIN') > controls.lastIndexOf('COMMIT')
    return writes || staysOpen ? { kind: 'writeNeeded' } : this.#result(program)
  }

  #stream(request: Extract<NodeRequest, { kind: 'stream' }>): NodeReply {
    if (request.open && this.#owner !== request.stream) {
      return error({ code: 'TRANSACTION_CLOSED', detail: 'The transaction is not open any more.' })
    }
    const reply = this.#result(request.program ?? { atomic: false, steps: [] })
    if (request.end && this.db.isTransaction) this.db.exec('ROLLBACK')
    if (this.db.isTransaction) this.#owner = request.stream
    else this.#release()
    return { ...reply, open: this.db.isTransaction }
  }

  #release(): void {
    this.#owner = null
    for (const resume of this.#waiting.splice(0)) resume()
  }

  #result(program: Program): Extract<NodeReply, { kind: 'result' }> {
    const steps = this.#steps(program)
    const autocommit = !this.db.isTransaction
    this.#index += 1
    const origins = this.seen === undefined ? {} : { origins: this.seen }
    const token = { cluster: 'c1', term: 3, index: this.#index, ...origins }
    return { kind: 'result', result: { steps, autocommit }, token, open: false }
  }

  #steps(program: Program): StepResult[] {
    if (program.describe) {
      this.#cache.clear()
      return describeProgram(program, this.#cache)
    }
    return program.atomic ? this.#atomic(program.steps) : this.#each(program.steps)
  }

  #atomic(steps: readonly Step[]): StepResult[] {
    this.db.exec('SAVEPOINT atomic')
    const results: StepResult[] = []
    let failed = false
    for (const { statement } of steps) {
      const result: StepResult = failed ? null : this.#run(statement)
      failed ||= result !== null && 'error' in result
      results.push(result)
    }
    this.db.exec(failed ? 'ROLLBACK TO atomic; RELEASE atomic' : 'RELEASE atomic')
    return results
  }

  #each(steps: readonly Step[]): StepResult[] {
    const results: StepResult[] = []
    for (const { statement, condition } of steps) {
      results.push(this.#holds(condition, results) ? this.#run(statement) : null)
    }
    return results
  }

  #holds(condition: Condition | undefined, results: readonly StepResult[]): boolean {
    if (condition === undefined) return true
    switch (condition.kind) {
      case 'ok':
      case 'error': {
        const result = results[condition.step] ?? null
        return result !== null && condition.kind in result
      }
      case 'not':
        return !this.#holds(condition.condition, results)
      case 'and':
        return condition.conditions.every((each) => this.#holds(each, results))
      case 'or':
        return condition.conditions.some((each) => this.#holds(each, results))
      case 'autocommit':
        return !this.db.isTransaction
    }
  }

  #run(statement: Statement): Exclude<StepResult, null> {
    // The schema may have changed, also past this node.
    this.#cache.clear()
    try {
      const prepared = this.#cache.prepare(statement.sql)
      return { ok: runPrepared(this.#cache, prepared, statement) }
    } catch (error) {
      return { error: toErrorData(mapSqliteError(error)) }
    }
  }
}

/** Without string literals, whose content means nothing. */
function bare(sql: string): string {
  return sql.replace(/'[^']*'/g, '').replace(/where.*$/is, '')
}

function error(data: ErrorData): NodeReply {
  return { kind: 'error', error: data }
}
