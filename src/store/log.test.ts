import { deepEqual } from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { next, toLogIndex, toNodeId, toTerm } from '../base/brand.ts'
import { encodeMembers, sealEntry } from '../model/entry-codec.ts'
import type { Members } from '../model/members.ts'
import { Connections } from './connections.ts'
import { Log } from './log.ts'
import { folderOf } from './store-fixture.ts'

function membersCalled(name: string): Members {
  const member = { id: toNodeId(`${name}:1`), name, url: `http://${name}`, priority: 1 }
  return { cluster: 'c', members: [{ ...member, role: 'voter', wants: 'voter' }] }
}

type Step =
  | { readonly kind: 'noop' | 'members'; readonly newTerm: boolean }
  | { readonly kind: 'truncate' | 'compact'; readonly thirds: number }

/** How much of what is held. */
const thirds = fc.integer({ min: 0, max: 3 })
const newTerm = fc.boolean()
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('noop'), newTerm }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('members'), newTerm }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('truncate', 'compact'), thirds }) },
  ),
  { maxLength: 30 },
)

test('what is remembered of the log is what reading all of it gives', (t) => {
  const folder = folderOf(t)
  let files = 0
  const property = fc.property(steps, (all) => {
    files += 1
    const connections = new Connections(join(folder, `${files}.db`))
    try {
      const log = founded(connections)
      for (const step of all) {
        take(connections, log, step)
        deepEqual(log.state, new Log(connections.writer, connections.applier).state)
      }
    } finally {
      connections.close()
    }
  })
  fc.assert(property, { seed: 7, numRuns: 60 })
})

function founded(connections: Connections): Log {
  const { writer, applier } = connections
  const log = new Log(writer, applier)
  const base = { term: toTerm(2), index: toLogIndex(5) }
  const identity = { cluster: 'c', node: 'a:1' }
  connections.transaction(applier, () => log.create(identity, base, membersCalled('first')))
  log.load()
  return log
}

function take(connections: Connections, log: Log, step: Step): void {
  const { applier } = connections
  const { base, last } = log.state
  if ('thirds' in step) {
    const to = toLogIndex(base.index + Math.floor(((last.index - base.index) * step.thirds) / 3))
    const drops = step.kind === 'compact'
    connections.transaction(applier, () => {
      if (drops) log.deleteThrough(to)
      else log.deleteAbove(to)
    })
    if (drops) log.notedDropped(to)
    else log.notedTruncated(to)
    return
  }
  const { kind, newTerm } = step
  const index = next(last.index)
  const body = kind === 'members' ? encodeMembers(membersCalled(`n${index}`)) : new Uint8Array()
  const term = toTerm(last.term + (newTerm ? 1 : 0))
  const entry = sealEntry({ index, term, kind, at: 0, body })
  connections.transaction(applier, () => log.write(applier, entry))
  log.notedEntries([entry])
}
