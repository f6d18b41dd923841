/** Transactions on the way to their place, with what they can meet others at. */
import { type Footprint, type Key, KeySet } from '../../core/order/clock/key-set.ts'
import type { Stamp } from '../../core/order/clock/stamp.ts'
import type { MergeFootprint } from './footprint.ts'
import type { Ran } from './merge-tables.ts'

/** One that is here or to be, with what it can meet others at. */
export interface Placed extends Ran {
  readonly own: MergeFootprint
  readonly footprint: Footprint
}

export const NOBODY: Footprint = { written: [], needed: [] }

export function nameOf({ time, origin }: Stamp): string {
  return `${time} ${origin}`
}

export function joined(...footprints: readonly (Footprint | null | undefined)[]): Footprint {
  const [first, ...others] = footprints.filter((each) => each !== null && each !== undefined)
  if (first !== undefined && others.length === 0) return first
  const all = first === undefined ? [] : [first, ...others]
  return {
    written: all.flatMap(({ written }) => written),
    needed: all.flatMap(({ needed }) => needed),
  }
}

/** The keys of `more` that `own` does not have. */
export function beyond(more: Footprint, own: Footprint): Footprint {
  // Most have a few keys, and nothing beyond them.
  if (covers(own.written, more.written) && covers(own.written, more.needed)) return NOBODY
  const [written, any] = [new KeySet(), new KeySet()]
  written.addAll(own.written)
  any.addAll(own.written)
  any.addAll(own.needed)
  return {
    written: [...new Set(more.written)].filter((key) => !written.has(key)),
    needed: [...new Set(more.needed)].filter((key) => !any.has(key)),
  }
}

const FEW = 8

/** False also where it would take long to see. */
function covers(keys: readonly Key[], some: readonly Key[]): boolean {
  return keys.length <= FEW && some.every((key) => keys.includes(key))
}

export function isEmpty({ written, needed }: Footprint): boolean {
  return written.length + needed.length === 0
}
