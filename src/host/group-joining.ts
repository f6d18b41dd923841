/**
 * How a fresh node gets into its group, in a cluster of several: the keeper tells which origin the
 * group has, and who founds it. That is whoever asked first, for ever: two nodes that each founded it
 * would write two histories under one name. The others of the group wait until it is at work.
 */
import { QuorateError } from '../base/errors.ts'
import { decodeAdmission } from '../model/cluster-codec.ts'
import type { GroupNode, Strategy } from '../model/origin-entry.ts'
import { GROUP_NAME, type NodeOptions } from '../node/options.ts'
import type { Start } from './founding.ts'
import { askStatus, askToJoin, post, type Self } from './joining.ts'

const NAME_FORM = 'up to 50 letters, digits, dots, dashes and underscores'

/**
 * What the group of a node is called.
 *
 * @throws QuorateError BAD_CONFIG if nobody said it, or the node's name can't be that of a group
 */
export function groupOf(
  strategy: Exclude<Strategy, 'leader'>,
  { group, name }: Pick<NodeOptions, 'group' | 'name'>,
): string {
  const called = group ?? (strategy === 'peer' ? name : null)
  if (called === null) {
    const detail = 'group is missing: with multi-leader each node is of a group; give --group NAME.'
    throw new QuorateError('BAD_CONFIG', detail)
  }
  if (GROUP_NAME.test(called)) return called
  const detail = `group: ${called} can't be what a group is called: ${NAME_FORM}.`
  throw new QuorateError('BAD_CONFIG', detail)
}

/**
 * Where the group of a node is to be, if this node founds it.
 *
 * @throws QuorateError BAD_CONFIG if a zone can't be called so
 */
export function zoneOf({ zone }: Pick<NodeOptions, 'zone'>): { readonly zone?: string } {
  if (zone === null) return {}
  if (GROUP_NAME.test(zone)) return { zone }
  const detail = `zone: ${zone} can't be what a zone is called: ${NAME_FORM}.`
  throw new QuorateError('BAD_CONFIG', detail)
}

/**
 * Asks the node at `url` to be let in.
 *
 * @returns how to begin, or why not yet as a sentence
 * @throws QuorateError what the nodes answer; NAME_IN_USE, BAD_CONFIG
 */
export async function joinGroup(
  url: string,
  strategy: Exclude<Strategy, 'leader'>,
  options: NodeOptions,
  self: Self,
  signal: AbortSignal,
): Promise<Start | string> {
  const group = groupOf(strategy, options)
  await checkName(url, options, self, signal)
  const body = { group, node: self.id, ...zoneOf(options) }
  const answer = await post(url, '/admin/group-join', body, options.token, signal)
  const { origin, cluster, nodes } = decodeAdmission(answer)
  if (nodes.length > 0) return await joinNodes(group, strategy, nodes, options, self, signal)
  const founder = cluster.origins.find((each) => each.origin === origin)?.founder
  if (founder === self.id) return { kind: 'foundGroup', strategy, group, origin, url }
  return (
    `Group ${group} is to be founded by node ${founder}, which has not done it yet. ` +
    `If that node is gone, remove the group with \`quorate groups remove ${group}\`.`
  )
}

/** Names are unique in the whole cluster, which no group can tell alone: people go by them. */
async function checkName(
  url: string,
  { name, token }: NodeOptions,
  self: Self,
  signal: AbortSignal,
): Promise<void> {
  const { origins } = await askStatus(url, token, signal)
  for (const group of origins?.groups ?? []) {
    const other = group.nodes.find((node) => node.name === name && node.id !== self.id)
    if (other === undefined || group.standing === 'removed') continue
    const detail =
      `A node called ${name} is in group ${group.name}, at ${other.url}. If it was all of its ` +
      `group and is gone, remove that with \`quorate groups remove ${group.name}\`.`
    throw new QuorateError('NAME_IN_USE', detail)
  }
}

async function joinNodes(
  group: string,
  strategy: Strategy,
  nodes: readonly GroupNode[],
  options: NodeOptions,
  self: Self,
  signal: AbortSignal,
): Promise<Start | string> {
  if (strategy === 'peer') {
    const detail =
      `There is a peer ${group} at ${nodes[0]?.url}. If it is gone for good, remove it with ` +
      `\`quorate groups remove ${group}\`.`
    throw new QuorateError('NAME_IN_USE', detail)
  }
  const reasons: string[] = []
  for (const { url } of nodes) {
    if (url === self.url) continue
    try {
      return { kind: 'join', strategy, members: await askToJoin(url, options, self, signal) }
    } catch (error) {
      signal.throwIfAborted()
      // What is wrong with the request is so wherever it is sent; a node may be down.
      if (error instanceof QuorateError) throw error
      reasons.push(`${url} of group ${group} can not be reached.`)
    }
  }
  return reasons.join(' ')
}
