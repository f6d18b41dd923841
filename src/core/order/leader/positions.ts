/** Comparing places in the log without losing their type. */
import type { LogIndex } from '../../../base/brand.ts'
import { toLogIndex } from '../../../base/brand.ts'

export function lower(a: LogIndex, b: LogIndex): LogIndex {
  return toLogIndex(Math.min(a, b))
}

export function higher(a: LogIndex, b: LogIndex): LogIndex {
  return toLogIndex(Math.max(a, b))
}
