/**
 * A client of a simulated world: one session that writes and reads through whichever node it comes
 * upon, waits so long and no longer, and asks again under the same id when it was left in doubt.
 */
import type { ErrorCode } from '../base/errors.ts'
import type { Prng } from '../base/prng.ts'
import type { Program, StepResult } from '../model/program.ts'
import type { AckLevel, NodeReply, NodeRequest, SessionToken } from '../model/request.ts'
import type { Read, Sight } from './history.ts'
import type { Manners } from './manners.ts'
import type { Profile } from './profile.ts'
import type { Lifetime, Schedule } from './schedule.ts'
import type { Work } from './tables.ts'
import { guarded, OPS_QUERY, opsRow, step } from './tables.ts'
import { SessionView, type Write } from './write-book.ts'

/** A node as a client meets it. */
export interface Contact {
  readonly name: string
  request(request: NodeRequest, done: (reply: NodeReply) => void): void
}

/** Where clients write down what they are told, and where it is judged. */
export interface Records {
  begin(session: SessionView, number: number, kind: string, ack: AckLevel, group: string): Write
  acknowledged(session: SessionView, write: Write, answer: string | null): void
  failed(write: Write): void
  unknown(write: Write): void
  /** Whether what was acknowledged at this level is there for ever. */
  lasts(ack: AckLevel): boolean
  startRead(session: SessionView, level: Read['level'], group: string): Read
  endRead(read: Read, sight: Sight): void
}

export interface ClientOptions {
  readonly name: string
  readonly schedule: Schedule
  readonly life: Lifetime
  readonly prng: Prng
  readonly profile: Profile
  readonly history: Records
  readonly manners: Manners
  /** A node of the group that is up, if there is one. */
  readonly contact: (prng: Prng, group: string) => Contact | null
  readonly note: (who: string, what: string) => void
  /** Checks an acknowledgement against what the disks hold. */
  readonly acked: (group: string, token: SessionToken, write: Write) => void
}

interface Attempt {
  readonly group: string
  readonly program: Program
  readonly write: Write
  readonly work: Work
  /** Attempts that are left. */
  readonly left: number
}

/** How much longer than its deadline a client waits for an answer. */
const PATIENCE_US = 1_000_000

export class Client {
  readonly #options: ClientOptions
  readonly #view: SessionView
  #number = 0
  #token: SessionToken | null = null
  /** By group: where its log stood when the session last met it. */
  readonly #met = new Map<string, number>()
  #stopping = false
  idle = false

  constructor(options: ClientOptions) {
    this.#options = options
    this.#view = new SessionView(options.name)
    this.#think()
  }

  /** Ends after what is under way. */
  stop(): void {
    this.#stopping = true
  }

  #think(): void {
    const { schedule, life, prng, profile } = this.#options
    schedule.after(prng.intInclusive(100, 2 * profile.thinkUs), life, () => {
      if (this.#stopping) this.idle = true
      else this.#act()
    })
  }

  #act(): void {
    const { name, prng, profile, manners } = this.#options
    const group = manners.group(prng, name)
    // A session that knows no position yet learns one first.
    if (!this.#met.has(group) || prng.percent(35)) this.#read(group)
    else if (profile.streams && prng.percent(15)) this.#stream(group)
    else this.#write(group)
  }

  /** Sends a request; `done` gets null if no answer came in time. */
  #ask(group: string, request: NodeRequest, done: (reply: NodeReply | null) => void): void {
    const { schedule, life, contact, prng } = this.#options
    const node = contact(prng, group)
    if (node === null) {
      schedule.after(prng.intInclusive(10_000, 100_000), life, () =>
        done({ kind: 'error', error: { code: 'UNREACHABLE', detail: 'No node is up.' } }),
      )
      return
    }
    let open = true
    const end = (reply: NodeReply | null): void => {
      if (!open) return
      open = false
      this.#note(request, node.name, reply)
      done(reply)
    }
    node.request(request, end)
    schedule.after(request.timeoutMs * 1000 + PATIENCE_US, life, () => end(null))
  }

  #note(request: NodeRequest, node: string, reply: NodeReply | null): void {
    const what =
      reply === null ? 'no answer' : reply.kind === 'error' ? reply.error.code : reply.kind
    const label = request.kind === 'write' ? ` ${request.program.id?.number}` : ''
    this.#options.note(this.#options.name, `${request.kind}${label} at ${node}: ${what}`)
    if (reply?.kind === 'error' && reply.error.code === 'INTERNAL') {
      throw new Error(`a client was told: ${reply.error.detail}`)
    }
  }

  #saw(group: string, token: SessionToken): void {
    const { join } = this.#options.manners
    this.#token = this.#token === null ? token : join(this.#token, token)
    this.#met.set(group, Math.max(this.#met.get(group) ?? 0, token.index))
  }

  // Writes

  #write(group: string): void {
    const { name, prng, profile, history, manners } = this.#options
    const schema = profile.ddl && prng.percent(manners.schemaPercent)
    const work = schema ? manners.drawSchemaWork(prng) : manners.drawWork(prng, name)
    this.#number += 1
    const ack = manners.drawAck(prng)
    const write = history.begin(this.#view, this.#number, work.kind, ack, group)
    const since = this.#met.get(group) ?? 0
    const steps = [opsRow(name, this.#number, work.kind), ...work.steps]
    const atomic = !prng.percent(20)
    const program = {
      atomic,
      steps: atomic ? steps : guarded(steps),
      id: { session: name, number: this.#number, since },
    }
    const left = prng.intInclusive(0, 8)
    this.#attempt({ group, program, write, work, left })
  }

  #attempt(attempt: Attempt): void {
    const { group, program, write } = attempt
    const timeoutMs = this.#options.prng.intInclusive(200, 3_000)
    this.#ask(group, { kind: 'write', program, ack: write.ack, timeoutMs }, (reply) => {
      if (reply === null || isUnknown(reply)) this.#doubt(attempt)
      else this.#settle(attempt, reply)
    })
  }

  #doubt(attempt: Attempt): void {
    const { schedule, life, prng, history } = this.#options
    attempt.write.doubtful = true
    if (attempt.left === 0) {
      history.unknown(attempt.write)
      this.#think()
      return
    }
    schedule.after(prng.intInclusive(1_000, 200_000), life, () => {
      this.#attempt({ ...attempt, left: attempt.left - 1 })
    })
  }

  #settle({ group, program, write, work }: Attempt, reply: NodeReply): void {
    const { history } = this.#options
    const rollback = program.atomic ? -1 : program.steps.length - 1
    if (reply.kind !== 'result') {
      history.failed(write)
    } else if (reply.result.steps.every((result, i) => i === rollback || isOk(result))) {
      this.#options.acked(group, reply.token, write)
      if (history.lasts(write.ack)) this.#saw(group, reply.token)
      const steps = program.atomic ? reply.result.steps : reply.result.steps.slice(1)
      history.acknowledged(this.#view, write, uniqueAnswer(work, steps))
    } else {
      history.failed(write)
    }
    this.#think()
  }

  // Reads

  #read(group: string): void {
    const { prng, history, manners } = this.#options
    const level = manners.drawRead(prng)
    const program = { atomic: true, steps: [step(OPS_QUERY), step(manners.factsQuery)] }
    const read = history.startRead(this.#view, level, group)
    const timeoutMs = prng.intInclusive(200, 3_000)
    const request = { kind: 'read', program, level, token: this.#token, timeoutMs } as const
    this.#ask(group, request, (reply) => {
      if (reply?.kind === 'result') {
        const [ops, facts] = reply.result.steps.map(rowsOf)
        const names = (ops ?? []).map((row) => String(row[0]))
        history.endRead(read, { ops: names, facts: manners.factsOf(facts?.[0] ?? []) })
        if (level !== 'local' || this.#token === null) this.#saw(group, reply.token)
        else if (!this.#met.has(group)) this.#met.set(group, reply.token.index)
      } else if (reply?.kind === 'error' && reply.error.code === 'OTHER_HISTORY') {
        throw new Error(`${this.#options.name}: ${reply.error.detail}`)
      }
      this.#think()
    })
  }

  // Interactive transactions

  #stream(group: string): void {
    const { name, prng, history, manners } = this.#options
    this.#number += 1
    const work = manners.drawWork(prng, name)
    const kind = manners.streamKind(work)
    const write = history.begin(this.#view, this.#number, kind, 'majority', group)
    const rounds: Program[] = [
      { atomic: false, steps: [step('begin'), opsRow(name, this.#number, kind)] },
      { atomic: false, steps: work.steps },
      { atomic: false, steps: [step('commit')] },
    ]
    if (prng.percent(20)) rounds.pop()
    this.#round({ group, stream: `${name}-${this.#number}`, write, rounds, at: 0 })
  }

  #round(s: {
    readonly group: string
    readonly stream: string
    readonly write: Write
    readonly rounds: readonly Program[]
    readonly at: number
  }): void {
    const { prng, history } = this.#options
    const program = s.rounds[s.at]
    if (program === undefined) {
      // Left open on purpose: its time runs out and nothing of it may stay.
      history.failed(s.write)
      this.#think()
      return
    }
    const timeoutMs = prng.intInclusive(300, 3_000)
    const request: NodeRequest = {
      kind: 'stream',
      stream: s.stream,
      open: s.at > 0,
      program,
      end: false,
      ack: 'majority',
      timeoutMs,
    }
    const last = s.at === 2
    this.#ask(s.group, request, (reply) => {
      const ok = reply?.kind === 'result' && reply.result.steps.every(isOk)
      if (ok && !last) {
        this.#round({ ...s, at: s.at + 1 })
        return
      }
      if (ok) {
        this.#options.acked(s.group, reply.token, s.write)
        this.#saw(s.group, reply.token)
        history.acknowledged(this.#view, s.write, null)
      } else if (last && (reply === null || isUnknown(reply))) {
        history.unknown(s.write)
      } else {
        history.failed(s.write)
      }
      this.#think()
    })
  }
}

const UNKNOWN: readonly ErrorCode[] = ['UNKNOWN_OUTCOME']

function isUnknown(reply: NodeReply): boolean {
  return reply.kind === 'error' && UNKNOWN.includes(reply.error.code)
}

function isOk(result: StepResult): boolean {
  return result !== null && 'ok' in result
}

function rowsOf(result: StepResult): readonly (readonly unknown[])[] {
  return result !== null && 'ok' in result ? result.ok.rows : []
}

function uniqueAnswer(work: Work, steps: readonly StepResult[]): string | null {
  if (work.unique < 0) return null
  const table = work.kind === 'count' ? 'count' : 'item'
  return `${table} ${rowsOf(steps[work.unique] ?? null)[0]?.[0]}`
}
