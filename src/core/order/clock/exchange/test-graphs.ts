/** Graphs of links for tests, by name. */
import { present } from '../../../../base/assert.ts'

export type Edge = readonly [string, string]

export const SHAPES = ['mesh', 'ring', 'star', 'tree', 'chain'] as const

export function graphOf(shape: string, names: readonly string[]): readonly Edge[] {
  const at = (i: number): string => present(names[i], () => `name ${i}`)
  const edges: Edge[] = []
  for (let i = 1; i < names.length; i += 1) {
    if (shape === 'mesh') for (let k = 0; k < i; k += 1) edges.push([at(k), at(i)])
    if (shape === 'star') edges.push([at(0), at(i)])
    if (shape === 'tree') edges.push([at(Math.floor((i - 1) / 2)), at(i)])
    if (shape === 'chain' || shape === 'ring') edges.push([at(i - 1), at(i)])
  }
  if (shape === 'ring' && names.length > 2) edges.push([at(0), at(names.length - 1)])
  return edges
}
