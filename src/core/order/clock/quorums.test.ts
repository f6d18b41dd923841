import { deepEqual, equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { askedOf, mustMeet } from './exchange/test-acks.ts'
import type { ExchangeMembers, Standing } from './exchange/types.ts'
import { areMet, type Quorum, quorumsOf, type Reach, type Zone } from './quorums.ts'

const GROUPS = new Map<string, Zone>([
  ['a', 'east'],
  ['b', 'east'],
  ['c', 'east'],
  ['d', 'west'],
  ['e', null],
  ['f', null],
])
const NAMED = ['quorum', 'all', 'local-quorum', 'each-quorum'] as const

test('what each level asks, of which groups', () => {
  const all = [...GROUPS.keys()]
  const asks = (reach: Reach, zone: Zone) => quorumsOf(reach, GROUPS, zone)
  deepEqual(asks(2, 'east'), [{ zone: undefined, of: all, count: 2 }])
  deepEqual(asks('quorum', 'east'), [{ zone: undefined, of: all, count: 4 }])
  deepEqual(asks('all', 'east'), [{ zone: undefined, of: all, count: 6 }])
  deepEqual(asks('local-quorum', 'east'), [{ zone: 'east', of: ['a', 'b', 'c'], count: 2 }])
  deepEqual(asks('local-quorum', null), [{ zone: null, of: ['e', 'f'], count: 2 }])
  deepEqual(asks('each-quorum', 'west'), [
    { zone: 'east', of: ['a', 'b', 'c'], count: 2 },
    { zone: 'west', of: ['d'], count: 1 },
    { zone: null, of: ['e', 'f'], count: 2 },
  ])
})

test('all of its quorums must be met, and nobody meets that of a zone without groups', () => {
  const each = quorumsOf('each-quorum', GROUPS, 'east')
  const holds = (names: string) => areMet(each, (origin) => names.includes(origin))
  ok(holds('abdef'))
  ok(!holds('abde') && !holds('abef') && !holds('adef'))
  const nowhere = quorumsOf('local-quorum', GROUPS, 'north')
  equal(
    areMet(nowhere, () => true),
    false,
  )
})

const zones = fc.array(fc.constantFrom<Zone>('east', 'west', null), { minLength: 1, maxLength: 7 })
const reach = fc.oneof(fc.integer({ min: 1, max: 7 }), fc.constantFrom(...NAMED))

function membersOf(zoneOf: readonly Zone[]): ExchangeMembers {
  const standing: Standing = { kind: 'writes', since: 0 }
  return {
    epoch: 0,
    floor: new Map(),
    origins: new Map(zoneOf.map((_, i) => [`g${i}`, standing])),
    zones: new Map(zoneOf.flatMap((zone, i) => (zone === null ? [] : [[`g${i}`, zone]]))),
  }
}

/** As few groups as will do, the others avoided where that can be. */
function fewest(quorums: readonly Quorum[], avoided: ReadonlySet<string>): Set<string> {
  return new Set(
    quorums.flatMap(({ of, count }) => {
      const sorted = [...of].sort((a, b) => Number(avoided.has(a)) - Number(avoided.has(b)))
      return sorted.slice(0, count)
    }),
  )
}

/** Whether any two sets of groups that meet the one and the other have one in common. */
function alwaysMeet(written: readonly Quorum[], read: readonly Quorum[], names: string[]): boolean {
  for (let bits = 0; bits < 2 ** names.length; bits += 1) {
    const holders = new Set(names.filter((_, i) => (bits >> i) % 2 === 1))
    if (!areMet(written, (name) => holders.has(name))) continue
    if (![...fewest(read, holders)].some((name) => holders.has(name))) return false
  }
  return true
}

test('whether a read must meet a write is so for all sets of groups that could be', () => {
  fc.assert(
    fc.property(zones, reach, reach, fc.nat(), fc.nat(), (all, ack, level, writer, reader) => {
      const members = membersOf(all)
      const names = [...members.origins.keys()]
      const at = (i: number): string => names[i % names.length] ?? ''
      const written = askedOf(ack, at(writer), members)
      const read = askedOf(level, at(reader), members)
      const isPossible = [...written.quorums, ...read.quorums].every(({ of, count }) => {
        return count <= of.length
      })
      fc.pre(isPossible)
      equal(mustMeet(written, read), alwaysMeet(written.quorums, read.quorums, names))
    }),
    { numRuns: 500 },
  )
})

test('a read of a zone meets its writes also if one group has come or gone in between', () => {
  fc.assert(
    fc.property(zones, fc.nat(), fc.constantFrom<Zone>('east', 'west', null), (all, which, to) => {
      const moved = which % all.length
      const before = membersOf(all)
      const after = membersOf(all.map((zone, i) => (i === moved ? to : zone)))
      const names = [...before.origins.keys()]
      for (const zone of ['east', 'west', null]) {
        const at = (members: ExchangeMembers) => {
          const groups = names.map((name): [string, Zone] => [
            name,
            members.zones.get(name) ?? null,
          ])
          return quorumsOf('local-quorum', new Map(groups), zone)
        }
        const [old, now] = [at(before), at(after)]
        if ([...old, ...now].some(({ of }) => of.length === 0)) continue
        ok(alwaysMeet(old, now, names) && alwaysMeet(now, old, names))
      }
    }),
  )
})
