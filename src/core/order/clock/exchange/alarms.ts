/**
 * What a person should know: raised once when it is so, ended once when it is not. Looked at with
 * every tick, since all of it is about time or about people.
 */
import { holds } from '../frontier.ts'
import { holdingBack } from '../stability.ts'
import { admit, type Origin } from '../stamp.ts'
import { highestKnown } from './pull.ts'
import type { State } from './state.ts'
import type { Alarm } from './types.ts'

export function tickAlarms(s: State): void {
  const alarms = alarmsNow(s)
  if (alarms.length === 0 && s.alarms.size === 0) return
  const now = new Map(alarms.map((alarm) => [keyOf(alarm), alarm]))
  for (const [key, alarm] of s.alarms) {
    if (now.has(key)) continue
    s.alarms.delete(key)
    s.out.alarm(alarm, false)
  }
  for (const [key, alarm] of now) {
    if (s.alarms.has(key)) continue
    s.alarms.set(key, alarm)
    s.out.alarm(alarm, true)
  }
}

function alarmsNow(s: State): readonly Alarm[] {
  const ahead = s.kept.filter(({ time }) => {
    return admit(time, s.wallMs, s.options.driftMaxMs).kind === 'wait'
  })
  const suspects: Alarm[] = [
    ...gaps(s).map((origin): Alarm => ({ kind: 'gap', origin })),
    ...silent(s).map((origin): Alarm => ({ kind: 'silent', origin })),
    ...(s.dropped === null ? [] : [{ kind: 'tooFarBehind', origin: s.dropped.by } as const]),
  ]
  const contradicted = [...s.members.origins].filter(([origin, standing]) => {
    return standing.kind === 'removed' && (s.handed.get(origin) ?? 0) > standing.last
  })
  return [
    ...ahead.map(({ origin }): Alarm => ({ kind: 'ahead', origin })),
    ...lasting(s, suspects),
    ...[...s.broken].map((origin): Alarm => ({ kind: 'broken', origin })),
    ...contradicted.map(([origin]): Alarm => ({ kind: 'contradicted', origin })),
    ...(s.forked ? [{ kind: 'forked', origin: s.self } as const] : []),
  ]
}

/** Those that have been so for long enough. */
function lasting(s: State, suspects: readonly Alarm[]): readonly Alarm[] {
  const keys = new Set(suspects.map(keyOf))
  for (const key of s.suspicions.keys()) if (!keys.has(key)) s.suspicions.delete(key)
  return suspects.filter((alarm) => {
    const key = keyOf(alarm)
    const sinceMs = s.suspicions.get(key) ?? s.nowMs
    s.suspicions.set(key, sinceMs)
    return s.nowMs - sinceMs >= s.options.alarmMs
  })
}

/**
 * Origins of which something is missing: that a peer says it has and has not given, or that an
 * entry here depends on and nobody linked holds.
 */
function gaps(s: State): readonly Origin[] {
  // That alarm says more.
  if (s.dropped !== null) return []
  const missing = new Set<Origin>()
  for (const [origin, { sinceMs }] of s.lacks) {
    if (s.nowMs - sinceMs >= s.options.askTimeoutMs) missing.add(origin)
  }
  for (const origin of s.buffer.origins) {
    const first = s.buffer.first(origin)
    if (first === null) continue
    const { sequence, dependencies } = first.entry
    for (const [other, last] of [...dependencies, [origin, sequence - 1] as const]) {
      if (!holds(s.handed, other, last) && highestKnown(s, other) < last) missing.add(other)
    }
  }
  return [...missing]
}

/** Who holds stability back while there is something that it could make final. */
function silent(s: State): readonly Origin[] {
  const promising = s.promising
  if (promising.length === 0 || s.isFinal) return []
  return holdingBack(promising, s.latest, s.held).filter((origin) => {
    const last = s.latest.get(origin)
    return last === undefined || last.time < latestWanted(s)
  })
}

function latestWanted(s: State): number {
  return [...s.wanted.values()].reduce((max, { time }) => Math.max(max, time), 0)
}

function keyOf({ kind, origin }: Alarm): string {
  return `${kind} ${origin}`
}
