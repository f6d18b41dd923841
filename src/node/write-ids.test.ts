import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex } from '../base/brand.ts'
import { prngFromSeed } from '../base/prng.ts'
import { WriteIds } from './write-ids.ts'

const at = toLogIndex

test('a write is new, seen or expired', () => {
  const ids = new WriteIds(at(10), 100)
  equal(ids.look({ session: 's', number: 1, since: 10 }), 'new')
  equal(ids.look({ session: 's', number: 1, since: 9 }), 'expired')
  ids.note({ session: 's', number: 1, since: 10 }, at(11))
  deepEqual(ids.look({ session: 's', number: 1, since: 0 }), { index: 11 })
  equal(ids.look({ session: 't', number: 1, since: 10 }), 'new')
})

test('what was taken back did not happen', () => {
  const ids = new WriteIds(at(0), 100)
  ids.note({ session: 's', number: 1, since: 0 }, at(1))
  ids.note({ session: 's', number: 2, since: 0 }, at(2))
  ids.truncate(at(1))
  deepEqual(ids.look({ session: 's', number: 1, since: 0 }), { index: 1 })
  equal(ids.look({ session: 's', number: 2, since: 1 }), 'new')
})

test('forgetting and recalling never turn a write that ran into a new one', () => {
  for (let seed = 0; seed < 200; seed += 1) {
    const prng = prngFromSeed(seed)
    const ids = new WriteIds(at(0), 20)
    const ran: { number: number; index: number }[] = []
    let index = 0
    for (let number = 1; number <= 200; number += 1) {
      if (prng.percent(60)) index += 1
      ids.note({ session: 's', number, since: 0 }, at(index))
      ran.push({ number, index })
    }
    for (const { number, index: was } of ran) {
      const since = prng.intInclusive(0, Math.max(0, was - 1))
      const seen = ids.look({ session: 's', number, since })
      equal(seen === 'new', false, `seed=${seed} number=${number} index=${was} since=${since}`)
    }
    ids.reset(at(index))
    equal(ids.look({ session: 's', number: 1, since: 0 }), 'expired', `seed=${seed}`)
    ids.recall(
      at(0),
      ran.map((write) => ({ session: 's', number: write.number, index: at(write.index) })),
    )
    for (const { number, index: was } of ran) {
      const seen = ids.look({ session: 's', number, since: Math.max(0, was - 1) })
      equal(seen === 'new', false, `recalled: seed=${seed} number=${number}`)
    }
  }
})
