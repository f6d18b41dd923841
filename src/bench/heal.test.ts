/** The benchmark of healing runs, merges everything, and leaves nothing behind. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

test('two thousand transactions of each side are merged, and then forgotten', async () => {
  const bench = fileURLToPath(new URL('heal.ts', import.meta.url))
  const args = [bench, '--transactions', '2000', '--slice', '100', '--overlap', '10', '--json']
  const { stdout } = await promisify(execFile)(process.execPath, args)
  const result = JSON.parse(stdout)
  deepEqual([result.transactions, result.merged, result.left], [2_000, 2_000, 0])
  ok(result.takenBack > 0 && result.byRules > 0 && result.conflicts > 0)
  equal(result.phases.length, 4)
})
