/**
 * A client of a simulated world: one session that writes and reads through whichever node it comes
 * upon, waits so long and no longer, and asks again under the same id when it was left in doubt.
 */
import type { ErrorCode } from '../base/errors.ts'
import type { Prng } from '../base/prng.ts'
import type { Program, StepResult } from '../model/program.ts'
import type { AckLevel, NodeReply, NodeRequest, ReadLevel, SessionToken } from '../model/request.ts'
import type { History, Write } from './history.ts'
import { SessionView } from './history.ts'
import type { Profile } from './profile.ts'
import type { Lifetime, Schedule } from './schedule.ts'
import type { Work } from './tables.ts'
import {
  drawSchemaWork,
  drawWork,
  FACTS_QUERY,
  factsOf,
  guarded,
  OPS_QUERY,
  opsRow,
  step,
} from './tables.ts'

/** A node as a client meets it. */
export interface Contact {
  readonly name: string
  request(request: NodeRequest, done: (reply: NodeReply) => void): void
}

export interface ClientOptions {
  readonly name: string
  readonly schedule: Schedule
  readonly life: Lifetime
  readonly prng: Prng
  readonly profile: Profile
  readonly history: History
  /** A node that is up, if there is one. */
  readonly contact: (prng: Prng) => Contact | null
  readonly note: (who: string, what: string) => void
  /** Checks an acknowledgement against what the disks hold. */
  readonly acked: (token: SessionToken, ack: AckLevel) => void
}

interface Attempt {
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
    const { prng, profile } = this.#options
    // A session that knows no position yet learns one first.
    if (this.#token === null || prng.percent(35)) this.#read()
    else if (profile.streams && prng.percent(15)) this.#stream()
    else this.#write()
  }

  /** Sends a request; `done` gets null if no answer came in time. */
  #ask(request: NodeRequest, done: (reply: NodeReply | null) => void): void {
    const { schedule, life, contact, prng } = this.#options
    const node = contact(prng)
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

  #saw(token: SessionToken): void {
    if (this.#token === null || token.index >= this.#token.index) this.#token = token
  }

  // Writes

  #drawAck(): AckLevel {
    const { prng, profile } = this.#options
    if (prng.percent(profile.levels.localAckPercent)) return prng.pick(['local', 1, 2] as const)
    return prng.percent(profile.levels.allAckPercent) ? 'all' : 'majority'
  }

  #write(): void {
    const { name, prng, profile, history } = this.#options
    const schema = profile.ddl && prng.percent(6)
    const work = schema ? drawSchemaWork(prng) : drawWork(prng, name)
    this.#number += 1
    const write = history.begin(this.#view, this.#number, work.kind, this.#drawAck())
    const since = this.#token?.index ?? 0
    const steps = [opsRow(name, this.#number, work.kind), ...work.steps]
    const atomic = !prng.percent(20)
    const program = {
      atomic,
      steps: atomic ? steps : guarded(steps),
      id: { session: name, number: this.#number, since },
    }
    this.#attempt({ program, write, work, left: prng.intInclusive(0, 8) })
  }

  #attempt(attempt: Attempt): void {
    const { program, write } = attempt
    const timeoutMs = this.#options.prng.intInclusive(200, 3_000)
    this.#ask({ kind: 'write', program, ack: write.ack, timeoutMs }, (reply) => {
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

  #settle({ program, write, work }: Attempt, reply: NodeReply): void {
    const { history } = this.#options
    const rollback = program.atomic ? -1 : program.steps.length - 1
    if (reply.kind !== 'result') {
      history.failed(write)
    } else if (reply.result.steps.every((result, i) => i === rollback || isOk(result))) {
      this.#options.acked(reply.token, write.ack)
      if (write.ack === 'majority' || write.ack === 'all') this.#saw(reply.token)
      const steps = program.atomic ? reply.result.steps : reply.result.steps.slice(1)
      history.acknowledged(this.#view, write, uniqueAnswer(work, steps))
    } else {
      history.failed(write)
    }
    this.#think()
  }

  // Reads

  #read(): void {
    const { prng, history } = this.#options
    const level: ReadLevel = prng.pick(['local', 'session', 'session', 'strong', 'strong'])
    const program = { atomic: true, steps: [step(OPS_QUERY), step(FACTS_QUERY)] }
    const read = history.startRead(this.#view, level)
    const timeoutMs = prng.intInclusive(200, 3_000)
    const request = { kind: 'read', program, level, token: this.#token, timeoutMs } as const
    this.#ask(request, (reply) => {
      if (reply?.kind === 'result') {
        const [ops, facts] = reply.result.steps.map(rowsOf)
        const names = (ops ?? []).map((row) => String(row[0]))
        history.endRead(read, { ops: names, facts: factsOf(facts?.[0] ?? []) })
        if (level !== 'local' || this.#token === null) this.#saw(reply.token)
      } else if (reply?.kind === 'error' && reply.error.code === 'OTHER_HISTORY') {
        throw new Error(`${this.#options.name}: ${reply.error.detail}`)
      }
      this.#think()
    })
  }

  // Interactive transactions

  #stream(): void {
    const { name, prng, history } = this.#options
    this.#number += 1
    const write = history.begin(this.#view, this.#number, 'stream', 'majority')
    const work = drawWork(prng, name)
    const kind = work.kind === 'count' ? 'count' : 'stream'
    const rounds: Program[] = [
      { atomic: false, steps: [step('begin'), opsRow(name, this.#number, kind)] },
      { atomic: false, steps: work.steps },
      { atomic: false, steps: [step('commit')] },
    ]
    if (prng.percent(20)) rounds.pop()
    this.#round({ stream: `${name}-${this.#number}`, write, rounds, at: 0 })
  }

  #round(s: {
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
    this.#ask(request, (reply) => {
      const ok = reply?.kind === 'result' && reply.result.steps.every(isOk)
      if (ok && !last) {
        this.#round({ ...s, at: s.at + 1 })
        return
      }
      if (ok) {
        this.#options.acked(reply.token, 'majority')
        this.#saw(reply.token)
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
