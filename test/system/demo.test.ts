/** The scripted demo with several groups, as its users run it. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import type { ScriptReport } from '../../src/cli/demo/script.ts'
import { quorate } from '../cluster.ts'

test('both sides of a cut go on, and nothing is lost', { timeout: 180_000 }, async () => {
  const run = await quorate(
    ...['demo', '--strategy', 'multi-leader', '--groups', '2', '--nodes', '1'],
    ...['--seconds', '6', '--json'],
  )
  equal(run.code, 0, `${run.stdout}${run.stderr}`)
  const { lost, identical, groups, writesDuringCut } = JSON.parse(run.stdout) as ScriptReport
  deepEqual({ lost, identical, groups }, { lost: 0, identical: true, groups: 2 })
  ok(Object.values(writesDuringCut ?? {}).every((writes) => writes > 0))
})
