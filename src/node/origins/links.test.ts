import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { toNodeId, toTerm } from '../../base/brand.ts'
import { OriginLinks } from './links.ts'

const [B1, B2, C1, A2] = ['b1', 'b2', 'c1', 'a2'].map(toNodeId) as [never, never, never, never]

function setUp(allowed: readonly string[] = ['b', 'c']) {
  const sent: string[] = []
  const clock = { now: 0 }
  const changes: string[] = []
  const links = new OriginLinks('a', {
    now: () => clock.now,
    send: (to, { leads, term, cut = [] }) => {
      sent.push(
        [to, leads ? `leads ${term}` : 'no', ...cut.map((origin) => `cut ${origin}`)].join(' '),
      )
    },
    isFellow: (node) => node === A2,
    mayExchange: (origin) => allowed.includes(origin),
    changed: (origin, up) => changes.push(`${origin} ${up ? 'up' : 'down'}`),
  })
  const leads = (node: never, origin: string, term: number, does = true): void => {
    links.told(node, { kind: 'leads', origin, term: toTerm(term), leads: does })
  }
  return { links, sent, changes, leads, clock }
}

test('an exchange runs over the link to who leads with the highest term', () => {
  const { links, changes, leads } = setUp()
  for (const node of [B1, B2, C1]) links.link(node, true)
  leads(B1, 'b', 3)
  equal(links.up.get('b'), B1)
  leads(B2, 'b', 4)
  equal(links.up.get('b'), B2)
  leads(B1, 'b', 3, false)
  equal(links.up.get('b'), B2)
  links.link(B2, false)
  deepEqual(changes, ['b up', 'b down', 'b up', 'b down'])
  equal(links.leaderOf('b'), null)
})

test('what was said earlier does not count after what was said later', () => {
  const { links, leads } = setUp()
  links.link(B1, true)
  leads(B1, 'b', 5)
  leads(B1, 'b', 4, false)
  equal(links.up.get('b'), B1)
})

test('a cut ends an exchange, and its end brings it back', () => {
  const { links, changes, leads } = setUp()
  links.link(C1, true)
  leads(C1, 'c', 1)
  links.cut('c', true)
  links.cut('c', false)
  deepEqual(changes, ['c up', 'c down', 'c up'])
})

test('a leader tells whom it was asked to cut off, and is cut off there too', () => {
  const { links, sent, changes, leads } = setUp()
  links.link(B1, true)
  links.leads(true, toTerm(1))
  links.cut('b', true)
  links.remind()
  links.cut('b', false)
  deepEqual(sent, ['b1 no', 'b1 leads 1', 'b1 leads 1 cut b', 'b1 leads 1 cut b', 'b1 leads 1'])
  const say = (cut?: readonly string[]): void => {
    const says = { kind: 'leads', origin: 'b', term: toTerm(3), leads: true } as const
    links.told(B1, cut === undefined ? says : { ...says, cut })
  }
  for (const [cut, isCut] of [
    [['c'], false],
    [['c', 'a'], true],
    [undefined, false],
  ] as const) {
    say(cut)
    equal(links.isCutBy('b'), isCut)
    equal(links.leaderOf('b'), B1)
  }
  deepEqual(changes, ['b up', 'b down', 'b up'])
  leads(C1, 'c', 1)
  equal(links.isCutBy('c'), false)
})

test('who is not to be exchanged with may still be asked', () => {
  const { links, changes, leads } = setUp(['c'])
  links.link(B1, true)
  leads(B1, 'b', 1)
  deepEqual(changes, [])
  equal(links.leaderOf('b'), B1)
})

test('nodes of other groups are told who leads, fellows are not', () => {
  const { links, sent } = setUp()
  links.link(B1, true)
  links.link(A2, true)
  links.leads(true, toTerm(2))
  links.leads(true, toTerm(2))
  links.remind()
  links.leads(false, toTerm(3))
  links.remind()
  deepEqual(sent, ['b1 no', 'b1 leads 2', 'b1 leads 2', 'b1 no'])
})

test('a leader that is not heard for long is cut off until it is heard', () => {
  const { links, changes, leads, clock } = setUp()
  links.link(B1, true)
  leads(B1, 'b', 1)
  clock.now = 2_000
  links.heard(B1)
  clock.now = 4_000
  links.remind()
  deepEqual(changes, ['b up'])
  clock.now = 5_000
  links.remind()
  equal(links.leaderOf('b'), null)
  clock.now = 6_000
  leads(B1, 'b', 1)
  clock.now = 9_000
  links.remind()
  links.heard(B1)
  deepEqual(changes, ['b up', 'b down', 'b up', 'b down', 'b up'])
})
