/** Asks all members of a cluster how they are: the input of the views. */
import { QuorateError } from '../base/errors.ts'
import type { NodeStatus } from '../model/status.ts'
import { type NodeSample, ratesBetween } from './cluster-view.ts'
import { getJson, statusOf, type Target } from './node-client.ts'

const ANSWER_MS = 1500

/** A cluster at one moment. */
export interface ClusterSample {
  /** The node that was asked first; its view of who belongs to the cluster counts. */
  readonly from: NodeStatus
  readonly nodes: readonly NodeSample[]
}

/**
 * Samples the cluster that the target belongs to. Throws UNREACHABLE if nobody answers.
 *
 * @param before the sample before this one, for rates
 */
export async function sampleCluster(
  target: Target,
  before: ClusterSample | null,
): Promise<ClusterSample> {
  const from = await getJson<NodeStatus>(target, '/status', ANSWER_MS * 2)
  if (typeof from?.name !== 'string' || !Array.isArray(from.members)) {
    throw new QuorateError('UNREACHABLE', `${target.urls[0]} does not answer like a node.`)
  }
  const nodes = await Promise.all(
    placesOf(from).map(async (place): Promise<NodeSample> => {
      const own = place.url === from.url
      const status = own ? from : await statusOf(place.url, target.token, ANSWER_MS)
      const last = before?.nodes.find(({ url }) => url === place.url)?.status ?? null
      return { ...place, status, note: null, rates: ratesBetween(last, status) }
    }),
  )
  return { from, nodes: nodes.toSorted(byGroupAndName) }
}

/** Where the nodes are, as one of them sees it: its own group, and the others as they told it. */
function placesOf({ id, name, url, members, origins }: NodeStatus): Pick<NodeSample, Place>[] {
  const group = origins === null ? {} : { group: origins.group }
  const own = members.map((member) => ({ name: member.name, url: member.url, ...group }))
  if (!members.some((member) => member.id === id)) own.unshift({ name, url, ...group })
  const others = (origins?.groups ?? []).filter(
    (other) => other.name !== origins?.group && other.standing !== 'removed',
  )
  const theirs = others.flatMap(({ name: of, nodes }) =>
    nodes.map((node) => ({ name: node.name, url: node.url, group: of })),
  )
  return [...own, ...theirs]
}

type Place = 'name' | 'url' | 'group'

function byGroupAndName(a: NodeSample, b: NodeSample): number {
  const [left, right] = [a, b].map(({ group = '', name }) => `${group}\0${name}`)
  return (left ?? '') < (right ?? '') ? -1 : 1
}

/** What needs a person, each sentence once, with the names of the nodes that say it. */
export function alarmsOf(sample: ClusterSample): string[] {
  const names = new Map<string, string[]>()
  for (const { name, status } of sample.nodes) {
    for (const alarm of status?.alarms ?? []) {
      names.set(alarm, [...(names.get(alarm) ?? []), name])
    }
  }
  return [...names].map(([alarm, at]) => `${at.join(', ')}: ${alarm}`)
}
