/** A group of a simulated world under one origin: who joins anew is another one. */
import type { SimGroup } from '../group.ts'

export interface Incarnation {
  /** Begins the names of its nodes; no other ever has it. */
  readonly label: string
  /** What people call the group. */
  readonly called: string
  readonly origin: string
  readonly group: SimGroup
  /** `gone`: all nodes are down until somebody starts them again; `over`: for ever. */
  state: 'here' | 'gone' | 'over'
}
