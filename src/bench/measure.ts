/** Closed loops: so many clients, each with one request on its way, and how long each took. */
import { setImmediate as nextTurn } from 'node:timers/promises'

export interface Rate {
  /** Operations a second. */
  readonly tps: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Before anything counts: connections open, code is compiled, caches are warm. At most a second. */
function warmUpMs(seconds: number): number {
  return Math.min(1_000, seconds * 250)
}

/**
 * Keeps `clients` operations under way, which are told the number of their client, for a warm-up
 * and then `seconds`. An operation counts if it
 * ended within the measured time. The first error ends the measurement and is thrown.
 */
export async function closedLoop(
  clients: number,
  seconds: number,
  operation: (client: number) => Promise<unknown>,
): Promise<Rate> {
  const from = performance.now() + warmUpMs(seconds)
  const to = from + seconds * 1_000
  const tookMs: number[] = []
  const client = async (number: number): Promise<void> => {
    for (let began = performance.now(); began < to; ) {
      await operation(number)
      const ended = performance.now()
      if (ended >= from && ended < to) tookMs.push(ended - began)
      began = ended
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)))
  return toRate(tookMs, seconds)
}

/** Runs a synchronous operation over and over for `seconds`. Returns how many ran each second. */
export async function busyLoop(seconds: number, operation: () => void): Promise<number> {
  const began = performance.now()
  const to = began + seconds * 1_000
  let count = 0
  while (performance.now() < to) {
    for (let i = 0; i < 200; i += 1) operation()
    count += 200
    await nextTurn()
  }
  return Math.round(count / ((performance.now() - began) / 1_000))
}

/** Rate and percentiles of operations that ended within `seconds`. */
export function toRate(tookMs: readonly number[], seconds: number): Rate {
  const sorted = Float64Array.from(tookMs).sort()
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? 0
  const hundredths = (ms: number): number => Math.round(ms * 100) / 100
  return {
    tps: Math.round(sorted.length / seconds),
    p50Ms: hundredths(at(0.5)),
    p99Ms: hundredths(at(0.99)),
  }
}
