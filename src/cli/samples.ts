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
  const members = from.members.some(({ id }) => id === from.id)
    ? from.members.map(({ name, url }) => ({ name, url }))
    : [{ name: from.name, url: from.url }, ...from.members]
  const nodes = await Promise.all(
    members.map(async ({ name, url }): Promise<NodeSample> => {
      const own = name === from.name
      const status = own ? from : await statusOf(url, target.token, ANSWER_MS)
      const last = before?.nodes.find((node) => node.name === name)?.status ?? null
      return { name, url, status, note: null, rates: ratesBetween(last, status) }
    }),
  )
  return { from, nodes: nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1)) }
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
