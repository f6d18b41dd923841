import { equal, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex } from '../../../base/brand.ts'
import { prngFromSeed } from '../../../base/prng.ts'
import { Durability } from './durability.ts'

const at = toLogIndex

test('a flush of what was cut off meanwhile proves only what is below the cut', () => {
  const writes = new Durability(at(1))
  const first = writes.draw()
  writes.wrote(first, at(5))
  writes.truncated(at(3))
  const second = writes.draw()
  writes.wrote(second, at(5))
  equal(writes.flushed(first), true)
  equal(writes.durable, 3)
  equal(writes.flushed(second), true)
  equal(writes.durable, 5)
})

test('a write that is reported after its flush counts at once', () => {
  const writes = new Durability(at(0))
  const ticket = writes.draw()
  writes.flushed(writes.draw())
  writes.wrote(ticket, at(1))
  equal(writes.durable, 1)
})

test('a ticket that was never drawn, or is used twice, is a bug', () => {
  const writes = new Durability(at(0))
  throws(() => writes.wrote(7, at(1)), /L11/)
  const ticket = writes.draw()
  writes.wrote(ticket, at(1))
  throws(() => writes.wrote(ticket, at(2)), /L11/)
})

/** The obvious twin: a disk that holds the whole log as of each write. */
test('durable is what a disk would show to agree with the log', () => {
  for (let seed = 0; seed < 500; seed += 1) {
    const prng = prngFromSeed(seed)
    const writes = new Durability(at(0))
    const log: number[] = []
    const pending: { ticket: number; log: number[] }[] = []
    let disk: number[] = []
    for (let i = 0; i < 40; i += 1) {
      if (prng.percent(60)) {
        const ticket = writes.draw()
        const cut = prng.percent(30) ? prng.intInclusive(0, log.length) : log.length
        if (cut < log.length) writes.truncated(at(cut))
        log.length = cut
        log.push(i)
        writes.wrote(ticket, at(log.length))
        pending.push({ ticket, log: [...log] })
      } else if (pending.length > 0) {
        const flushed = pending.splice(0, prng.intInclusive(1, pending.length)).at(-1)
        disk = flushed?.log ?? disk
        writes.flushed(flushed?.ticket ?? 0)
      }
      const differs = log.findIndex((entry, position) => disk[position] !== entry)
      const agree = differs === -1 ? log.length : differs
      equal(writes.durable <= agree, true, `seed ${seed}: ${writes.durable} > ${agree}`)
      if (pending.length === 0) equal(writes.durable, log.length, `seed ${seed}`)
    }
  }
})
