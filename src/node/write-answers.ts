/**
 * Answers of the writer: each leaves when what it says has come as far as its caller asked for. A
 * numbered write that comes again gets the first one's.
 */
import { present } from '../base/assert.ts'
import type { LogIndex, Term } from '../base/brand.ts'
import { ERRORS, type ErrorData } from '../base/errors.ts'
import type { EntryHead } from '../core/order/clock/exchange/types.ts'
import type { EntryId, HandedOn } from '../model/entry.ts'
import { decodeBatch } from '../model/entry-codec.ts'
import type { ProgramResult } from '../model/program.ts'
import type { NodeReply } from '../model/request.ts'
import type { Context } from './context.ts'
import { hold, refusal } from './context.ts'
import type { Job, ProgramJob } from './jobs.ts'
import { isBeyondGroup, toHoldLevel, withinGroup } from './origins/levels.ts'
import { headOf } from './origins/reports.ts'
import { keyOf } from './write-ids.ts'

type TakesHandedOn = (job: ProgramJob, handedOn: HandedOn, at: EntryId) => void

export class WriteAnswers {
  readonly #context: Context
  readonly #handedOn: TakesHandedOn
  /** Numbered writes that are queued or running: a retry joins the first one. */
  readonly #pending = new Map<string, ProgramJob[]>()

  /** @param handedOn takes a job that was handed on already, as the entry says */
  constructor(context: Context, handedOn: TakesHandedOn) {
    this.#context = context
    this.#handedOn = handedOn
  }

  // Admission of numbered writes

  /** False: answered or joined; nothing to queue. */
  admit(job: ProgramJob): boolean {
    const id = present(job.program.id, () => 'write id')
    const key = keyOf(id)
    const twin = this.#pending.get(key)
    if (twin !== undefined) {
      twin.push(job)
      return false
    }
    const seen = this.#context.writeIds.look(id)
    if (seen === 'expired') {
      const detail = `Write ${id.number} of its session is older than what is remembered here.`
      job.done(refusal('SESSION_EXPIRED', detail))
      return false
    }
    if (seen !== 'new') {
      this.#repeat(job, seen.index)
      return false
    }
    this.#pending.set(key, [job])
    return true
  }

  /** Answers a retry with what the first run answered, found in the log. */
  #repeat(job: ProgramJob, index: LogIndex): void {
    const { store } = this.#context.ports
    const command = { kind: 'read', from: index, to: index, bytesMax: 0 } as const
    store.submit(command, (reply) => {
      const term = this.#context.order.termAt(index)
      const entry = reply.kind === 'entries' ? reply.entries[0] : undefined
      if (entry === undefined && index <= this.#context.order.base.index) {
        const detail = `What became of the write is in entry ${index}, which the log has no longer.`
        this.answer(job, refusal('SESSION_EXPIRED', detail))
        return
      }
      if (entry === undefined || term !== entry.term) {
        job.reroute()
        return
      }
      const id = present(job.program.id, () => 'write id')
      const { writes, own } = decodeBatch(entry.body)
      const found = writes.find(
        (write) => write.id.session === id.session && write.id.number === id.number,
      )
      const record = present(found, () => `write ${id.number} in entry ${index}`)
      if ('handedOn' in record) this.#handedOn(job, record.handedOn, { index, term })
      else {
        const head = own === undefined ? null : headOf(own)
        this.finish(job, record.result, { index, term, changed: true, head }, false)
      }
    })
  }

  #joined(job: Job): readonly Job[] {
    if (job.kind !== 'program' || job.program.id === undefined) return [job]
    const { id } = job.program
    const key = keyOf(id)
    const jobs = this.#pending.get(key)
    if (jobs?.[0] !== job) return [job]
    this.#pending.delete(key)
    return jobs
  }

  answer(job: Job, reply: NodeReply): void {
    if (this.#pending.size === 0) job.done(reply)
    else for (const each of this.#joined(job)) each.done(reply)
  }

  /** It has no effect, as far as this node can tell. */
  handBack(job: Job): void {
    if (job.begun !== undefined) this.#leaveHalf(job, job.begun.index)
    else for (const each of this.#joined(job)) each.reroute()
  }

  /** Another leader, or the same one later, must not run the first part once more. */
  #leaveHalf(job: Job, position: LogIndex): void {
    const detail = `The program stopped in the middle, after entry ${position}.`
    this.answer(job, refusal('UNKNOWN_OUTCOME', detail, { position }))
  }

  /** Who may retry takes it that nothing was run: not true of a job that has begun. */
  refuse(job: Job, error: ErrorData): void {
    if (job.begun !== undefined && ERRORS[error.code].retry !== 'never') {
      this.#leaveHalf(job, job.begun.index)
    } else this.answer(job, { kind: 'error', error })
  }

  // Answers at their level

  finish(
    job: Job,
    result: ProgramResult,
    at: {
      readonly index: LogIndex
      readonly term: Term
      readonly changed: boolean
      /** With several origins, if it is known: of the entry at the index. */
      readonly head?: EntryHead | null
    },
    open: boolean,
  ): void {
    const { index, term, changed } = at
    const { origins } = this.#context
    // What changed nothing needs only that what it saw is safe.
    const far = origins !== null && changed && isBeyondGroup(job.ack)
    const within = origins === null ? job.ack : changed ? withinGroup(job.ack) : 'majority'
    hold(this.#context, index, term, toHoldLevel(within), job.deadline, (fate) => {
      if (fate === 'safe' && !far) this.#safe(job, result, at, open)
      else if (fate === 'safe') {
        this.#awaitGroups(job, at, () => this.#safe(job, result, at, open))
      } else if (fate === 'takenBack' && job.kind === 'program') {
        this.handBack(job)
      } else if (fate === 'takenBack') {
        const detail = `Entry ${index} was taken back by a new leader.`
        this.refuse(job, { code: 'TAKEN_BACK', detail })
      } else if (changed) {
        const detail = `Entry ${index} did not reach ack level ${job.ack} in time.`
        this.answer(job, refusal('UNKNOWN_OUTCOME', detail, { position: index }))
      } else {
        this.refuse(job, UNCONFIRMED)
      }
    })
  }

  #safe(
    job: Job,
    result: ProgramResult,
    { index, term }: { readonly index: LogIndex; readonly term: Term },
    open: boolean,
  ): void {
    this.#whenKnown(job, index, () => {
      const token = this.#context.token(index)
      const told = token.term === term ? token : { ...token, term }
      this.answer(job, { kind: 'result', result, token: told, open })
    })
  }

  /**
   * What changes the schema is answered when it is committed, and only when it is applied is it
   * known what whoever saw it has seen of the origins.
   */
  #whenKnown(job: Job, index: LogIndex, then: () => void): void {
    const { origins } = this.#context
    if (origins === null || origins.knows(index)) {
      then()
      return
    }
    origins.whenKnows(index, job.deadline, (isKnown) => {
      if (isKnown) then()
      else {
        const detail = `Entry ${index} is committed, and this node did not apply it in time.`
        this.answer(job, refusal('UNKNOWN_OUTCOME', detail, { position: index }))
      }
    })
  }

  /** The group has committed the entry; the rest of its level is up to other groups. */
  #awaitGroups(
    job: Job,
    at: { readonly index: LogIndex; readonly head?: EntryHead | null },
    safe: () => void,
  ): void {
    const { index } = at
    const leading = this.#context.origins?.leading ?? null
    const head = at.head ?? leading?.exchanging.reports.own(index) ?? null
    const unknown = (missing: string): void => {
      const detail =
        `Entry ${index} is committed in its group, and did not reach ack level ${job.ack} ` +
        `in time. ${missing}.`
      this.answer(job, refusal('UNKNOWN_OUTCOME', detail, { position: index }))
    }
    if (leading === null || head === null) {
      unknown('The leader of the group has changed')
      return
    }
    leading.levels.acked(head, job.ack, job.deadline, (missing) => {
      if (missing === null) safe()
      else unknown(missing)
    })
  }
}

const UNCONFIRMED: ErrorData = {
  code: 'DEADLINE',
  detail: 'What the request saw was not confirmed in time.',
}
