/**
 * Changes of the cluster and of its rules happen at the keeper. Whoever asked a node for one is
 * answered when that node knows of it: a group that was let in begins with a copy of the file there,
 * and a person who looks what became of a rule looks there.
 */
import type { NodeReply, TravellingRequest } from '../../model/request.ts'
import { type Context, refusal } from '../context.ts'
import { toFrontier } from './held.ts'

type Done = (reply: NodeReply) => void

const KINDS: ReadonlySet<string> = new Set([
  'joinGroup',
  'setZone',
  'removeGroup',
  'moveKeeper',
  'setRule',
])

/**
 * Why a group can't join here; null: it can, or that is not asked for. A group that was removed may
 * hold what does not count, and whoever began with its file would hold that as well.
 */
export function refusalHere({ origins }: Context, request: TravellingRequest): NodeReply | null {
  if (request.kind !== 'admin' || request.command.kind !== 'joinGroup') return null
  if (origins === null || !origins.isRemoved) return null
  return refusal('GROUP_REMOVED', `Group ${origins.nameOf(origins.self)} was removed.`)
}

/** @returns `done`, or what calls it when what the answer tells of is known here */
export function whenKnownHere(context: Context, request: TravellingRequest, done: Done): Done {
  const { origins } = context
  if (origins === null || request.kind !== 'admin' || !KINDS.has(request.command.kind)) return done
  const deadline = context.now() + request.timeoutMs
  return (reply) => {
    if (reply.kind !== 'admin') {
      done(reply)
      return
    }
    const { epoch, seen } = told(reply.value)
    const late = refusal('NOT_READY', 'It was done, and this node has not heard of it yet.')
    origins.whenKnown(epoch, deadline, (isKnown) => {
      if (!isKnown) done(late)
      else origins.whenCovered(seen, deadline, (isCovered) => done(isCovered ? reply : late))
    })
  }
}

/** What an answer of the keeper tells of; another machine may say anything. */
function told(value: unknown) {
  const json = Object(value) as Readonly<Record<string, unknown>>
  const { epoch } = Object(json['cluster'] ?? json) as { readonly epoch?: unknown }
  const seen = toFrontier(json['seen'] ?? []) ?? new Map<string, number>()
  return { epoch: typeof epoch === 'number' ? epoch : 0, seen }
}
