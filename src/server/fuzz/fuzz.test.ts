import { ok } from 'node:assert/strict'
import { test } from 'node:test'
import { CI_SEED } from '../../base/seed-fixture.ts'
import { fuzz, TRANSPORTS } from './fuzz.ts'

/** The long form: npm run fuzz -- --messages 1000000 --seed 1 */
test('hostile messages break nothing: each client after them gets right answers', async (t) => {
  const seed = CI_SEED
  t.diagnostic(`seed ${seed}: npm run fuzz -- --messages 20000 --seed ${seed}`)
  ok(await fuzz({ messages: 20_000, seed, transports: TRANSPORTS }), `seed ${seed}`)
})
