/** What the administration of a group asks for, carried out at the leader. */
import type { NodeId } from '../base/brand.ts'
import { toNodeId } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import type { Member, MemberChange } from '../model/members.ts'
import type { AdminCommand, NodeReply } from '../model/request.ts'
import type { Context } from './context.ts'
import { refusal } from './context.ts'
import { type GroupCommand, runGroupCommand } from './origins/commands.ts'
import type { Verifier } from './verifier.ts'

type Join = Extract<AdminCommand, { kind: 'join' }>

export class Admin {
  readonly #context: Context
  readonly #verifier: Verifier
  readonly #awaited = new Map<number, (error: ErrorData | null) => void>()
  #lastId = 0

  constructor(context: Context, verifier: Verifier) {
    this.#context = context
    this.#verifier = verifier
  }

  /** Carries out a command at the leader, or here whatever this node is for `verified`. */
  run(command: AdminCommand, deadline: number, done: (reply: NodeReply) => void): void {
    switch (command.kind) {
      case 'join':
        this.#join(command, done)
        return
      case 'remove':
      case 'promote':
      case 'demote': {
        const id = this.#idOf(command.name)
        if (id === null) done(this.#unknown(command.name))
        else this.#change({ kind: command.kind, id }, done)
        return
      }
      case 'transfer': {
        const to = command.name === null ? null : this.#idOf(command.name)
        if (command.name !== null && to === null) done(this.#unknown(command.name))
        else this.#await(done, (id) => this.#context.step({ kind: 'transfer', id, to }))
        return
      }
      case 'verify':
        this.#verifier.start(deadline, done)
        return
      case 'verified':
        this.#verifier.answer(command.index as Parameters<Verifier['answer']>[0], done)
        return
      default:
        this.#groups(command, deadline, done)
    }
  }

  #groups(command: GroupCommand, deadline: number, done: (reply: NodeReply) => void): void {
    const { origins } = this.#context
    if (origins !== null) runGroupCommand(this.#context, origins, command, deadline, done)
    else done(refusal('NO_GROUPS', 'This cluster has one leader for all nodes, and no groups.'))
  }

  /** The core ended a change or a transfer. */
  ended(id: number, error: ErrorData | null): void {
    const done = this.#awaited.get(id)
    this.#awaited.delete(id)
    done?.(error)
  }

  #join(command: Join, done: (reply: NodeReply) => void): void {
    const { members } = this.#context.order.members
    const id = toNodeId(command.id)
    const known = members.find((member) => member.id === id)
    const { url, priority } = command
    if (known !== undefined) {
      if (known.url === url && known.priority === priority) done(this.#membership())
      else this.#change({ kind: 'update', id, url, priority }, done)
      return
    }
    const { name, role } = command
    const member: Member = { id, name, url, role: 'learner', wants: role, priority }
    this.#change({ kind: 'add', member }, done)
  }

  #change(change: MemberChange, done: (reply: NodeReply) => void): void {
    this.#await(done, (id) => this.#context.step({ kind: 'changeMembers', id, change }))
  }

  #await(done: (reply: NodeReply) => void, start: (id: number) => void): void {
    this.#lastId += 1
    this.#awaited.set(this.#lastId, (error) => {
      done(error === null ? this.#membership() : { kind: 'error', error })
    })
    start(this.#lastId)
  }

  #membership(): NodeReply {
    return { kind: 'admin', value: this.#context.order.members }
  }

  #idOf(name: string): NodeId | null {
    const { members } = this.#context.order.members
    return members.find((member) => member.name === name || member.id === name)?.id ?? null
  }

  #unknown(name: string): NodeReply {
    return refusal('MEMBER_UNKNOWN', `No member is called ${name}.`)
  }
}
