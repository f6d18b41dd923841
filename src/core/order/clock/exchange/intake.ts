/**
 * How entries come in: each is given to the store once, after everything it depends on and without
 * gaps by origin. One whose stamp is too far ahead is logged and handed on, but merged only when
 * its time has come, and so is whatever depends on it.
 */
import { assert } from '../../../../base/assert.ts'
import { covers, extend, type Frontier, holds } from '../frontier.ts'
import type { Arrival } from './buffer.ts'
import type { State } from './state.ts'
import type { EntryHead, ExchangeEntry } from './types.ts'

/**
 * Takes what can be taken of entries that a peer sent. @returns whether any was news with a place
 */
export function arrive(s: State, via: string, entries: readonly ExchangeEntry[]): boolean {
  if (s.dropped !== null) return false
  let progress = false
  for (const entry of entries) {
    const { origin, sequence } = entry
    if (origin === s.self || holds(s.handed, origin, sequence)) continue
    if (sequence > s.limit(origin)) continue
    if (isNext(s, entry)) {
      if (hand(s, { entry, via })) progress = true
    } else if (s.buffer.add({ entry, via })) progress = true
  }
  if (progress) deliver(s)
  return progress
}

/** Hands over what the buffer holds and nothing keeps back any more. */
export function deliver(s: State): void {
  if (s.dropped !== null) return
  let again = true
  while (again) {
    again = false
    for (const origin of [...s.buffer.origins]) {
      for (;;) {
        const next = s.buffer.get(origin, (s.handed.get(origin) ?? 0) + 1)
        if (next === null || !isNext(s, next.entry)) break
        if (!hand(s, next)) break
        again = true
      }
    }
  }
}

function isNext(s: State, entry: ExchangeEntry): boolean {
  const { origin, sequence, epoch, bytes } = entry
  if (sequence !== (s.handed.get(origin) ?? 0) + 1 || sequence > s.limit(origin)) return false
  if (!s.rules.causal(s.handed, entry) || !s.rules.mayTake(epoch, s.members.epoch)) return false
  if (s.unheldBytes > 0 && s.unheldBytes + bytes > s.options.storeBytesMax) return false
  if (s.unheld.length >= s.options.storeEntriesMax) return false
  return s.kept.length < s.options.keptEntriesMax || s.ripe(entry)
}

/** @returns false if the origin has broken a promise with it */
function hand(s: State, { entry, via }: Arrival): boolean {
  const { origin, sequence, time, bytes } = entry
  s.buffer.remove(origin, sequence)
  if (time <= (s.handedTime.get(origin) ?? 0) || time <= s.stable) {
    s.broken.add(origin)
    s.buffer.trim(origin, 0, 0)
    return false
  }
  const { body: _, ...head } = entry
  const ripe = s.ripe(head)
  s.out.take(entry, ripe)
  s.handed = extend(s.handed, origin, sequence)
  s.handedTime.set(origin, time)
  s.unheld.push({ head, via })
  s.unheldBytes += bytes
  s.unapplied.push(head)
  if (ripe) s.released = extend(s.released, origin, sequence)
  else s.kept.push(head)
  s.lacks.delete(origin)
  return true
}

/** Lets the store merge those whose time has come, in the order in which they were logged. */
export function release(s: State): void {
  if (s.kept.length === 0) return
  const waiting: EntryHead[] = []
  for (const head of s.kept) {
    if (!s.ripe(head)) {
      waiting.push(head)
      continue
    }
    s.released = extend(s.released, head.origin, head.sequence)
    s.out.apply(head)
  }
  s.kept = waiting
}

/**
 * The store's word on what was handed over. It works in the order that it was given.
 *
 * @returns whether somebody waits until what has become durable is
 */
export function onStored(s: State, held: Frontier, applied: Frontier): boolean {
  assert(covers(s.handed, held), () => `X1: stored more than was handed over: ${show(held)}`)
  assert(covers(s.released, applied), () => `X2: applied more than was released: ${show(applied)}`)
  let count = 0
  let isAwaited = false
  for (const recent of s.unheld) {
    const { origin, sequence, bytes, answer } = recent.head
    if (!holds(held, origin, sequence)) break
    s.noteHeld(recent)
    if (answer === 'now') isAwaited = true
    s.unheldBytes -= bytes
    count += 1
  }
  s.unheld = s.unheld.slice(count)
  assert(covers(s.held, held), () => `X1: stored out of order: ${show(held)}`)
  s.unapplied = s.unapplied.filter((head) => {
    const isApplied = holds(applied, head.origin, head.sequence)
    if (isApplied) s.noteApplied(head)
    return !isApplied
  })
  assert(covers(s.held, s.applied), () => `X2: applied ${show(applied)} above ${show(s.held)}`)
  return isAwaited
}

/** Entries of our own: durable, and in the data already. */
export function onLocal(s: State, entries: readonly EntryHead[]): void {
  for (const head of entries) {
    const { origin, sequence, time, dependencies } = head
    const last = s.latest.get(s.self)?.time ?? 0
    assert(origin === s.self, () => `local entry of ${origin}`)
    // What is final goes by those who stay; what else a removed group notes is nobody else's.
    const isOut = s.standing(s.self)?.kind === 'removed'
    assert(
      time > last && (isOut || time > s.stable),
      () => `own time ${time}, last ${last}, ${s.stable} final`,
    )
    assert(covers(s.applied, dependencies), () => `own entry saw ${show(dependencies)}`)
    s.handed = extend(s.handed, origin, sequence)
    s.handedTime.set(origin, time)
    s.released = extend(s.released, origin, sequence)
    s.noteHeld({ head, via: s.self })
    s.noteApplied(head)
  }
  s.markAskedMs = null
}

export function show(frontier: Frontier): string {
  return [...frontier].map(([origin, sequence]) => `${origin}:${sequence}`).join(' ')
}
