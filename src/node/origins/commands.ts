/** What is asked of the leader of a group about groups: carried out here, or handed to the keeper's. */
import type { ErrorData } from '../../base/errors.ts'
import type { AdminCommand, NodeReply } from '../../model/request.ts'
import { type Context, refusal } from '../context.ts'
import { unsupportedRead } from './levels.ts'
import type { Origins } from './origins.ts'

type Kind =
  | 'joinGroup'
  | 'setZone'
  | 'removeGroup'
  | 'moveKeeper'
  | 'setRule'
  | 'closeConflict'
  | 'cutGroup'
  | 'consult'
  | 'atRest'
  | 'sees'
  | 'position'
export type GroupCommand = Extract<AdminCommand, { readonly kind: Kind }>
type OfKeeper = Extract<
  GroupCommand,
  { readonly kind: 'joinGroup' | 'setZone' | 'removeGroup' | 'moveKeeper' | 'setRule' }
>
type Done = (reply: NodeReply) => void

/** @param deadline monotonic, ms */
export function runGroupCommand(
  context: Context,
  origins: Origins,
  command: GroupCommand,
  deadline: number,
  done: Done,
): void {
  switch (command.kind) {
    case 'joinGroup':
    case 'setZone':
    case 'removeGroup':
    case 'setRule':
      keep(context, origins, command, deadline, done)
      return
    case 'moveKeeper':
      if (command.force) takeOver(context, origins, command, deadline, done)
      else keep(context, origins, command, deadline, done)
      return
    case 'closeConflict':
      close(origins, command, done)
      return
    case 'cutGroup':
      cut(context, origins, command, done)
      return
    case 'consult':
      consult(context, origins, command, deadline, done)
      return
    case 'atRest': {
      const held = origins.atRest(command.epoch)
      if (held === null) done(notYet(context))
      else done({ kind: 'admin', value: [...held] })
      return
    }
    case 'sees': {
      const linked = origins.leading?.exchanging.isLinked(command.origin)
      const { cluster } = origins.state
      if (linked === undefined) done(notYet(context))
      else done({ kind: 'admin', value: { cluster, linked } })
      return
    }
    case 'position':
      done({ kind: 'admin', value: { index: context.order.commit } })
  }
}

function keep(
  context: Context,
  origins: Origins,
  command: OfKeeper,
  deadline: number,
  done: Done,
): void {
  if (!origins.isKeeper) {
    const timeoutMs = Math.max(1, deadline - context.now())
    origins.asking.leaderOf(
      origins.state.cluster.keeper,
      { kind: 'admin', command, timeoutMs },
      done,
    )
    return
  }
  const keeper = origins.leading?.office.keeper ?? null
  if (keeper === null) {
    done(notYet(context))
    return
  }
  const answer = (told: { readonly value: unknown } | ErrorData): void => done(toReply(told))
  if (command.kind === 'joinGroup') keeper.joinGroup(command, answer)
  else if (command.kind === 'setZone') keeper.setZone(command, deadline, answer)
  else if (command.kind === 'removeGroup') keeper.removeGroup(command.group, deadline, answer)
  else if (command.kind === 'moveKeeper') keeper.moveKeeper(command.group, deadline, answer)
  else keeper.setRule(command.rule, answer)
}

/** The keeper is gone: the group that is to keep does it itself. */
function takeOver(
  context: Context,
  origins: Origins,
  command: Extract<GroupCommand, { readonly kind: 'moveKeeper' }>,
  deadline: number,
  done: Done,
): void {
  const known = originCalled(origins, command.group)
  if (known === null) {
    done(refusal('GROUP_UNKNOWN', `No group is called ${command.group}.`))
  } else if (known !== origins.self) {
    const timeoutMs = Math.max(1, deadline - context.now())
    origins.asking.leaderOf(known, { kind: 'admin', command, timeoutMs }, done)
  } else if (origins.isRemoved) {
    done(refusal('GROUP_REMOVED', `Group ${command.group} is not one of the cluster any more.`))
  } else if (origins.leading === null) done(notYet(context))
  else {
    const { office } = origins.leading
    office.takeOver(command.alone, deadline, (told) => done(toReply(told)))
  }
}

function originCalled({ state }: Origins, group: string): string | null {
  const found = state.cluster.origins.findLast(({ name, standing }) => {
    return name === group && standing.kind !== 'removed'
  })
  return found?.origin ?? null
}

function close(
  origins: Origins,
  { time, origin, number }: Extract<GroupCommand, { readonly kind: 'closeConflict' }>,
  done: Done,
): void {
  const exchanging = origins.leading?.exchanging
  if (exchanging === undefined) {
    done(refusal('NOT_READY', 'The leader of the group has not begun to exchange yet.'))
    return
  }
  exchanging.originate([{ kind: 'closed', time, origin, number }], 'soon', (made) => {
    if (made === null) done(refusal('UNKNOWN_OUTCOME', 'The leader of the group has changed.'))
    else if ('code' in made) done({ kind: 'error', error: made })
    else exchanging.whenSafe(made.index, () => done({ kind: 'admin', value: null }))
  })
}

function cut(
  { order, options }: Context,
  origins: Origins,
  command: Extract<GroupCommand, { readonly kind: 'cutGroup' }>,
  done: Done,
): void {
  const { group, cut: isCut } = command
  const known = originCalled(origins, group)
  if (known === null) {
    done(refusal('GROUP_UNKNOWN', `No group is called ${group}.`))
    return
  }
  if (known === origins.self) {
    done(refusal('BAD_REQUEST', `Group ${group} can't be cut off from itself.`))
    return
  }
  origins.links.cut(known, isCut)
  // Whoever leads next is to know, if it can be told now.
  const fellows = order.role === 'leader' ? order.members.members : []
  for (const { id } of fellows) if (id !== options.self) origins.asking.tell(id, command)
  done({ kind: 'admin', value: null })
}

function consult(
  context: Context,
  origins: Origins,
  { level }: Extract<GroupCommand, { readonly kind: 'consult' }>,
  deadline: number,
  done: Done,
): void {
  const unsupported = unsupportedRead(context, level, true)
  if (unsupported !== null) done({ kind: 'error', error: unsupported })
  else if (origins.leading === null) done(notYet(context))
  else {
    origins.leading.levels.consult(level, deadline, (answer) => {
      done(toReply('code' in answer ? answer : { value: answer }))
    })
  }
}

/** Whoever asks tries again. */
function notYet({ options }: Context): NodeReply {
  return refusal('NOT_READY', `${options.name} does not exchange with other groups yet.`)
}

function toReply(answer: { readonly value: unknown } | ErrorData): NodeReply {
  if ('code' in answer) return { kind: 'error', error: answer }
  return { kind: 'admin', value: answer.value }
}
