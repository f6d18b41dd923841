import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { prngFromSeed } from '../base/prng.ts'
import { Lifetime, Schedule } from './schedule.ts'

test('events happen in order of time, then in the order in which they were planned', () => {
  const prng = prngFromSeed(1)
  const schedule = new Schedule()
  const life = new Lifetime()
  const seen: number[][] = []
  for (let i = 0; i < 1000; i += 1) {
    const at = prng.intInclusive(0, 99)
    schedule.after(at, life, () => seen.push([at, i]))
  }
  while (schedule.step());
  deepEqual(
    seen,
    seen.toSorted((a, b) => (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0)),
  )
  equal(seen.length, 1000)
  equal(schedule.pending, 0)
})

test('what has died does nothing, what is paused does it later and in order', () => {
  const schedule = new Schedule()
  const [dead, slow, well] = [new Lifetime(), new Lifetime(), new Lifetime()]
  const seen: string[] = []
  schedule.after(1, dead, () => seen.push('dead'))
  schedule.after(2, slow, () => seen.push(`slow1@${schedule.now}`))
  schedule.after(3, slow, () => seen.push(`slow2@${schedule.now}`))
  schedule.after(4, well, () => seen.push(`well@${schedule.now}`))
  schedule.after(9, well, () => schedule.resume(slow))
  dead.end()
  slow.pause()
  while (schedule.step());
  deepEqual(seen, ['well@4', 'slow1@9', 'slow2@9'])
})
