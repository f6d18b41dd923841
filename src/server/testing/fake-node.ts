/**
 * A node for the server's tests: runs programs on one SQLite database in memory, with none of the
 * replication. Reads wait for an open transaction too, because there is only one connection.
 */
import { DatabaseSync } from 'node:sqlite'
import { Readable } from 'node:stream'
import type { ErrorData } from '../../base/errors.ts'
import type {
  Condition,
  Program,
  Statement,
  StatementResult,
  Step,
  StepResult,
  Value,
} from '../../model/program.ts'
import type { NodeReply, NodeRequest } from '../../model/request.ts'
import { firstKeyword } from '../../model/sql-tokens.ts'
import type { NodeStatus } from '../../model/status.ts'
import type { NodeEvent } from '../../node/ports.ts'
import type { FaultCommand, NodeService } from '../service.ts'

const CODES: Readonly<Record<number, string>> = {
  1: 'SQLITE_ERROR',
  8: 'SQLITE_READONLY',
  19: 'SQLITE_CONSTRAINT',
  25: 'SQLITE_RANGE',
}
const READS = new Set(['SELECT', 'VALUES', 'EXPLAIN', 'WITH', 'PRAGMA', 'BEGIN', 'COMMIT'])

export class FakeNode implements NodeService {
  readonly db = new DatabaseSync(':memory:')
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
    if (this.reply !== null) return this.reply
    if (request.kind === 'admin') return { kind: 'admin', value: request.command }
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
    const writes = program.steps.some(({ statement: { sql } }) => {
      if (firstKeyword(sql) === 'EXPLAIN') return false
      return !READS.has(firstKeyword(sql)) || /\b(insert|update|delete)\b|=/i.test(bare(sql))
    })
    return writes ? { kind: 'writeNeeded' } : this.#result(program)
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
    const steps = program.atomic ? this.#atomic(program.steps) : this.#each(program.steps)
    const autocommit = !this.db.isTransaction
    this.#index += 1
    const token = { cluster: 'c1', term: 3, index: this.#index }
    return { kind: 'result', result: { steps, autocommit }, token, open: false }
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
    try {
      return { ok: this.#runSql(statement) }
    } catch (thrown) {
      const { message, errcode } = thrown as Error & { errcode?: number }
      const code = errcode === undefined ? 'SQL_ARGUMENTS' : 'SQL_ERROR'
      const sqlite = errcode === undefined ? undefined : CODES[errcode & 0xff]
      return { error: { code, detail: `${message}.`, ...(sqlite ? { facts: { sqlite } } : {}) } }
    }
  }

  #runSql({ sql, args = [], named, wantRows }: Statement): StatementResult {
    const prepared = this.db.prepare(sql)
    prepared.setReadBigInts(true)
    prepared.setReturnArrays(true)
    const bound = named ? [named as never, ...args] : [...args]
    const columns = prepared.columns().map(({ name, type }) => ({ name, decltype: type }))
    const before = this.#changes()
    const rows = prepared.all(...bound) as unknown as Value[][]
    const inserted = firstKeyword(sql) === 'INSERT'
    return {
      columns,
      rows: wantRows === false ? [] : rows,
      changes: this.#changes() - before,
      lastInsertRowid: inserted ? this.#number('last_insert_rowid()') : null,
    }
  }

  #changes(): number {
    return Number(this.#number('total_changes()'))
  }

  #number(expression: string): bigint {
    const prepared = this.db.prepare(`SELECT ${expression} AS n`)
    prepared.setReadBigInts(true)
    return prepared.get()?.['n'] as bigint
  }
}

/** Without string literals, whose content means nothing. */
function bare(sql: string): string {
  return sql.replace(/'[^']*'/g, '').replace(/where.*$/is, '')
}

function error(data: ErrorData): NodeReply {
  return { kind: 'error', error: data }
}
