import { equal } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex } from '../base/brand.ts'
import { type CompactionInput, planCompaction } from './compactor.ts'

const at = toLogIndex

function input(changes: Partial<CompactionInput>): CompactionInput {
  return {
    base: at(0),
    last: at(1000),
    applied: at(1000),
    commit: at(1000),
    bytes: 1000,
    retainEntries: 100,
    retainBytes: 1_000_000,
    held: [],
    keepAfter: null,
    heldByAll: null,
    ...changes,
  }
}

test('the newest entries are kept', () => {
  equal(planCompaction(input({})), 900)
  equal(planCompaction(input({ last: at(120), applied: at(120), commit: at(120) })), null)
})

test('what is not applied and committed stays', () => {
  equal(planCompaction(input({ commit: at(50) })), 50)
  equal(planCompaction(input({ applied: at(0) })), null)
})

test('a lagging member is waited for, up to a cap', () => {
  const short = { last: at(350), applied: at(350), commit: at(350), held: [at(40), at(350)] }
  equal(planCompaction(input(short)), 40)
  equal(planCompaction(input({ held: [at(40)] })), 900)
  equal(planCompaction(input({ ...short, bytes: 2_000_000 })), 250)
})

test('a snapshot on its way keeps what comes after it', () => {
  equal(planCompaction(input({ keepAfter: at(300) })), 300)
  equal(planCompaction(input({ keepAfter: at(300), bytes: 2_000_000 })), 300)
  equal(planCompaction(input({ keepAfter: at(300), bytes: 20_000_000 })), 900)
})

test('what another group lacks stays, whatever the caps', () => {
  equal(planCompaction(input({ heldByAll: at(500) })), 500)
  equal(planCompaction(input({ heldByAll: at(500), bytes: 20_000_000 })), 500)
  equal(planCompaction(input({ heldByAll: at(0), bytes: 20_000_000 })), null)
  equal(planCompaction(input({ heldByAll: at(990) })), 900)
})

test('what another group lacked for long goes in slices', () => {
  const end = at(200_000)
  const long = { last: end, applied: end, commit: end }
  equal(planCompaction(input({ ...long, heldByAll: end })), 20_000)
  equal(planCompaction(input({ ...long, heldByAll: end, base: at(190_000) })), 199_900)
  equal(planCompaction(input(long)), 199_900)
})
