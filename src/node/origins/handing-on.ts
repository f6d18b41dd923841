/**
 * Programs that the keeper has to run though another group was asked. One that has an id runs once,
 * however often it is asked for and whoever leads either group by then: before it leaves, the log of
 * this group says to whom it goes and where that one's log stood. It goes under an id made of its own
 * and this group's, so the keeper's log gives the first result to whoever asks again.
 */
import { present } from '../../base/assert.ts'
import type { LogIndex, Term } from '../../base/brand.ts'
import type { ErrorData } from '../../base/errors.ts'
import type { EntryId, HandedOn, WriteRecord } from '../../model/entry.ts'
import { encodeBatch } from '../../model/entry-codec.ts'
import type { Program, WriteId } from '../../model/program.ts'
import type { NodeReply } from '../../model/request.ts'
import { type Context, hold, refusal } from '../context.ts'
import type { Job, ProgramJob } from '../jobs.ts'
import type { CoreProposal } from '../proposals.ts'
import type { Origins } from './origins.ts'

export interface HandingOnNeeds {
  readonly context: Context
  /** Has an entry without operations logged. */
  readonly log: (term: Term, body: Uint8Array, made: CoreProposal['made']) => void
  readonly answer: (job: Job, reply: NodeReply) => void
  readonly refuse: (job: Job, error: ErrorData) => void
  /** It has not left: whoever leads now takes it. */
  readonly handBack: (job: Job) => void
  /** This group has become the keeper before it left. */
  readonly keep: (job: Job) => void
}

/** What is known of a job's program. */
interface Errand {
  readonly job: Job
  readonly program: Program
  readonly origins: Origins
}

export class HandingOn {
  readonly #needs: HandingOnNeeds

  constructor(needs: HandingOnNeeds) {
    this.#needs = needs
  }

  /** The first time, as far as this group's log knows. */
  start(errand: Errand): void {
    const { job, program, origins } = errand
    const keeper = (): string => origins.state.cluster.keeper
    this.#whenItHolds(errand, keeper, () => {
      if (origins.isKeeper) this.#needs.keep(job)
      else if (job.kind === 'stream' || program.id === undefined) this.#send(errand, keeper())
      else this.#announce(errand, program.id, keeper())
    })
  }

  /** The entry at an index says that it was handed on, or was about to be. */
  again(job: ProgramJob, origins: Origins, handedOn: HandedOn, at: EntryId): void {
    const { keeper, since } = handedOn
    const { program } = job
    const id = present(program.id, () => 'write id')
    const known = origins.state.cluster.origins.find(({ origin }) => origin === keeper)
    if (known?.standing.kind === 'removed') {
      const detail = `Group ${known.name}, which was to run the write, was removed from the cluster.`
      this.#needs.answer(job, refusal('SESSION_EXPIRED', detail))
      return
    }
    const errand = { job, program, origins }
    this.#whenCommitted(job, at, () => {
      this.#whenItHolds(
        errand,
        () => keeper,
        () => this.#send(errand, keeper, idAt(origins.self, id, since)),
      )
    })
  }

  #whenItHolds({ job, origins }: Errand, of: () => string, then: () => void): void {
    const { context, answer, handBack } = this.#needs
    const { term } = context.order
    origins.asking.whenItHolds(of, job.deadline, (failed) => {
      if (failed !== null) answer(job, failed)
      else if (this.#leads(term)) then()
      else handBack(job)
    })
  }

  /** Has it logged to whom it goes, which must be committed before it may leave. */
  #announce(errand: Errand, id: WriteId, keeper: string): void {
    const { job, origins } = errand
    const { context, answer, handBack } = this.#needs
    const { term } = context.order
    origins.asking.position(keeper, job.deadline, (since) => {
      if (typeof since !== 'number') answer(job, since)
      else if (!this.#leads(term)) handBack(job)
      else {
        this.#log(errand, { id, handedOn: { keeper, since } }, (index) => {
          this.#whenCommitted(job, { index, term }, () => {
            this.#send(errand, keeper, idAt(origins.self, id, since))
          })
        })
      }
    })
  }

  #log({ job, origins }: Errand, write: WriteRecord, then: (index: LogIndex) => void): void {
    const { context, log, refuse, handBack } = this.#needs
    const body = encodeBatch({ transactions: 0, writes: [write], operations: [] })
    let end: 'made' | 'late' | null = null
    log(context.order.term, body, (index, error) => {
      // It is in the log, whether or not anybody waits for it.
      if (index !== null) context.writeIds.note(write.id, index)
      if (end === 'late') return
      end = 'made'
      if (error !== null) refuse(job, error)
      else if (index === null) handBack(job)
      else then(index)
    })
    // An interactive transaction may have the writer for long.
    origins.asking.wait(
      () => end !== null,
      job.deadline,
      (isOver) => {
        if (isOver) return
        end = 'late'
        refuse(job, NOT_SENT)
      },
    )
  }

  #whenCommitted(job: Job, { index, term }: EntryId, then: () => void): void {
    const { context, refuse, handBack } = this.#needs
    hold(context, index, term, 'majority', job.deadline, (fate) => {
      if (fate === 'safe') then()
      else if (fate === 'takenBack') handBack(job)
      else refuse(job, NOT_SENT)
    })
  }

  #send({ job, program, origins }: Errand, to: string, id?: WriteId): void {
    const { id: _, ...plain } = program
    const sent = id === undefined ? plain : { ...plain, id }
    origins.asking.run(to, sent, job.ack, job.deadline, (reply) => this.#needs.answer(job, reply))
  }

  #leads(term: Term): boolean {
    const { order } = this.#needs.context
    return order.role === 'leader' && order.term === term
  }
}

const NOT_SENT: ErrorData = {
  code: 'DEADLINE',
  detail: 'It was not handed on in time to the group that changes the schema.',
}

/**
 * The id of a write at the keeper. No session of its own is called so: those of clients hold no
 * colon, those of nodes begin with the node's id.
 */
function idAt(self: string, id: WriteId, since: number): WriteId {
  return { session: `:${self} ${id.session}`, number: id.number, since }
}
