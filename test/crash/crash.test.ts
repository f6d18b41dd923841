/** The short form of the crash campaign; `npm run crash -- --rounds 50` is the long one. */
import { ok } from 'node:assert/strict'
import { test } from 'node:test'
import { runCampaign } from './campaign.ts'

test('kill -9 of one, two and three nodes under load loses and doubles nothing', async (t) => {
  const seed = Number(process.env['QUORATE_SEED'] ?? 20_261_121)
  const report = await runCampaign({ rounds: 5, seed, log: (line) => t.diagnostic(line) })
  t.diagnostic(JSON.stringify({ seed, ...report }))
  ok(report.acknowledged > 100, `only ${report.acknowledged} writes were acknowledged`)
})
