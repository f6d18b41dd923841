/**
 * How much of each origin is in the data as of which index of the group's own log: what a session
 * that saw an index has seen, in terms that every group understands.
 */
import type { LogIndex } from '../../base/brand.ts'
import { extend, type Frontier } from '../../core/order/clock/frontier.ts'

interface Point {
  readonly index: LogIndex
  readonly frontier: Frontier
  /** Until just before it the data was as of the point before. */
  readonly isStep: boolean
}

/** Above this every second of the older half goes: what was seen there becomes a little more. */
const POINTS_MAX = 4_096

export class Seen {
  /** In order of index, never empty. */
  #points: Point[]

  constructor(index: LogIndex, frontier: Frontier) {
    this.#points = [{ index, frontier, isStep: false }]
  }

  get latest(): Point {
    return this.#points[this.#points.length - 1] as Point
  }

  /** Entries through this index were applied, and now this is in the data. */
  note(index: LogIndex, frontier: Frontier): void {
    this.#add({ index, frontier, isStep: false })
  }

  /** An own entry is logged at the index, and in the data. */
  extend(index: LogIndex, origin: string, sequence: number): void {
    const frontier = extend(this.latest.frontier, origin, sequence)
    this.#add({ index, frontier, isStep: true })
  }

  /**
   * What of all origins whoever saw the data as of an index has seen. It may be a little more, but
   * only of what is committed: what is taken back nobody can have seen.
   */
  at(index: LogIndex): Frontier {
    let low = 0
    let high = this.#points.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#points[middle]?.index ?? 0) >= index) high = middle
      else low = middle + 1
    }
    const found = this.#points[low] ?? this.latest
    const before = this.#points[low - 1]
    return found.isStep && found.index > index && before !== undefined
      ? before.frontier
      : found.frontier
  }

  /** The latest index through which all of the data is within a frontier; null: none known. */
  within(isHeld: (frontier: Frontier) => boolean): LogIndex | null {
    let found: LogIndex | null = null
    for (const { index, frontier } of this.#points) {
      if (!isHeld(frontier)) break
      found = index
    }
    return found
  }

  /** Everything above `to` was cut off; what is left of the frontier is told later. */
  truncate(to: LogIndex): void {
    while (this.#points.length > 1 && this.latest.index > to) this.#points.pop()
  }

  #add(point: Point): void {
    while (this.#points.length > 0 && this.latest.index >= point.index) this.#points.pop()
    this.#points.push(point)
    if (this.#points.length > POINTS_MAX) this.#thin()
  }

  #thin(): void {
    const half = POINTS_MAX / 2
    const older = this.#points.slice(0, half).filter((_, at) => at % 2 === 0)
    const thinned = older.map((point) => ({ ...point, isStep: false }))
    const [next, ...newer] = this.#points.slice(half)
    this.#points = [
      ...thinned,
      ...(next === undefined ? [] : [{ ...next, isStep: false }]),
      ...newer,
    ]
  }
}
