/** Whether groups are level: each node has applied what all of them had made at some moment. */
import type { NodeStatus } from '../model/status.ts'

/** Group to how many entries of it anybody has applied. */
export type Made = ReadonlyMap<string, number>

/** What has been made, as the nodes say. */
export function madeBy(statuses: readonly (NodeStatus | null)[]): Made {
  const made = new Map<string, number>()
  for (const status of statuses) {
    for (const { name, applied } of status?.origins?.groups ?? []) {
      made.set(name, Math.max(made.get(name) ?? 0, applied))
    }
  }
  return made
}

/** Whether a node has applied all that; one that does not answer has not. */
export function hasApplied(status: NodeStatus | null, made: Made): boolean {
  const applied = new Map(status?.origins?.groups.map((group) => [group.name, group.applied]))
  return status !== null && [...made].every(([name, count]) => (applied.get(name) ?? 0) >= count)
}
