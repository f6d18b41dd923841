import { equal } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hasQuorum, quorumOf, quorumReached } from './commit.ts'

const SEED = 20_261
const options = { seed: SEED, numRuns: 2_000 }
const reached = fc.array(fc.nat(9), { minLength: 1, maxLength: 9 })

/** Slow and obvious: the largest number that more than half are at or past. */
function quorumReachedTwin(values: readonly number[]): number {
  const past = (value: number): number => values.filter((other) => other >= value).length
  return Math.max(...values.filter((value) => past(value) * 2 > values.length))
}

test('what a majority has reached agrees with the obvious way to find it', () => {
  fc.assert(
    fc.property(reached, (values) => equal(quorumReached(values), quorumReachedTwin(values))),
    options,
  )
})

test('two majorities of the same voters share one, and no smaller number of votes ensures that', () => {
  for (let voters = 1; voters <= 9; voters += 1) {
    const quorum = quorumOf(voters)
    equal(2 * quorum > voters, true, `${voters} voters`)
    equal(2 * (quorum - 1) <= voters, true, `${voters} voters`)
  }
})

test('hasQuorum counts voters only', () => {
  const votes = fc.record({ voters: fc.uniqueArray(fc.nat(9)), granted: fc.uniqueArray(fc.nat(9)) })
  fc.assert(
    fc.property(votes, ({ voters, granted }) => {
      const count = voters.filter((voter) => granted.includes(voter)).length
      equal(
        hasQuorum(voters, (voter) => granted.includes(voter)),
        count * 2 > voters.length,
      )
    }),
    options,
  )
})
