/**
 * What must hold after every step, numbered; the numbers stand beside the code that keeps them.
 *
 * X1  held <= handed, entry by entry in the order of handing over.
 * X2  applied <= released <= handed, and applied <= held.
 * X3  held, applied and stable never move back.
 * X4  Nothing that is not in the data has a time at or before what is final.
 * X5  What waits for its dependencies, and what flies to a peer, stays within its bounds; a single
 *     entry may be larger.
 * X6  Of each origin, one peer at most is asked at a time.
 * X7  What was handed over last of an origin is not in the buffer any more.
 * X8  A peer is pushed to only from within the window.
 */
import { assert } from '../../../../base/assert.ts'
import { covers, type Frontier } from '../frontier.ts'
import type { ClockTime } from '../stamp.ts'
import { show } from './intake.ts'
import { bytesInFlight } from './peer.ts'
import type { State } from './state.ts'

/** As they were after the step before: what is the same object is as sound as it was. */
export interface Before {
  readonly held: Frontier
  readonly handed: Frontier
  readonly applied: Frontier
  readonly released: Frontier
  readonly stable: ClockTime
}

export function check(s: State, before: Before | null): void {
  if (before === null || haveMoved(s, before)) checkFrontiers(s, before ?? s)
  for (const { origin, sequence, time } of s.unapplied) {
    assert(time > s.stable, () => `X4: ${origin}:${sequence} at ${time}, final is ${s.stable}`)
  }
  const { bufferBytesMax, bufferEntriesMax } = s.options
  const { buffer } = s
  assert(buffer.size <= bufferEntriesMax, () => `X5: ${buffer.size} entries wait`)
  assert(buffer.size < 2 || buffer.bytes <= bufferBytesMax, () => `X5: ${buffer.bytes} bytes wait`)
  for (const origin of buffer.origins) {
    const last = s.handed.get(origin) ?? 0
    assert(buffer.get(origin, last) === null, () => `X7: ${origin}:${last} waits and was taken`)
  }
  checkPeers(s)
}

function haveMoved(s: State, before: Before): boolean {
  if (s.held !== before.held || s.handed !== before.handed) return true
  if (s.applied !== before.applied || s.released !== before.released) return true
  return s.stable !== before.stable
}

function checkFrontiers(s: State, before: Before): void {
  const { held, handed, applied, released, stable } = s
  assert(covers(handed, held), () => `X1: held ${show(held)}, handed ${show(handed)}`)
  assert(covers(handed, released), () => `X2: released ${show(released)}, ${show(handed)}`)
  assert(covers(released, applied), () => `X2: applied ${show(applied)}, ${show(released)}`)
  assert(covers(held, applied), () => `X2: applied ${show(applied)}, held ${show(held)}`)
  assert(covers(held, before.held), () => `X3: held ${show(held)} after ${show(before.held)}`)
  assert(covers(applied, before.applied), () => `X3: applied ${show(applied)} moved back`)
  assert(stable >= before.stable, () => `X3: final ${stable} after ${before.stable}`)
}

function checkPeers(s: State): void {
  const asked = new Set<string>()
  for (const peer of s.peers.values()) {
    for (const { origin } of peer.ask?.ranges ?? []) {
      assert(!asked.has(origin), () => `X6: ${origin} is asked of ${peer.id} and of another`)
      asked.add(origin)
    }
    const bytes = bytesInFlight(peer)
    assert(
      peer.flights.length < 2 || bytes <= s.options.pushBytesMax,
      () => `X5: ${bytes} bytes fly to ${peer.id}`,
    )
    assert(
      !peer.level || (peer.cursor >= s.window.start && peer.cursor <= s.window.end),
      () => `X8: ${peer.id} at ${peer.cursor}, window ${s.window.start} to ${s.window.end}`,
    )
  }
}
