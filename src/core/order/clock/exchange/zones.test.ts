/**
 * Zones that change under writes and reads at levels by zone, while links break: random worlds, with
 * the checkers of test-world.ts. As in production the first group orders the changes, and whoever
 * knows of one has in its data what that group had.
 */
import { match } from 'node:assert/strict'
import { test } from 'node:test'
import { assert, present } from '../../../../base/assert.ts'
import { type Prng, prngFromSeed } from '../../../../base/prng.ts'
import { covers, type Frontier } from '../frontier.ts'
import type { Reach } from '../quorums.ts'
import type { Rules } from './rules.ts'
import { graphOf } from './test-graphs.ts'
import { TestWorld } from './test-world.ts'

const RUNS = Number(process.env['RUNS'] ?? 20)
const FIRST_SEED = Number(process.env['SEED'] ?? 1)
const STEPS = 600
const ZONES = ['east', 'west'] as const
const LEVELS: readonly Reach[] = ['local-quorum', 'local-quorum', 'each-quorum', 'quorum']

interface Zoned {
  readonly world: TestWorld
  readonly prng: Prng
  readonly names: readonly string[]
  /** By epoch: what the first group had when it made the change. */
  readonly before: Frontier[]
  /** Whether a change waits until all know of the one before. */
  readonly isPatient: boolean
}

function draw(seed: number, isPatient: boolean, broken: Partial<Rules>): Zoned {
  const prng = prngFromSeed(seed)
  const names = [...'abcdefg'].slice(0, prng.intInclusive(4, 7))
  const zones = new Map(names.map((name) => [name, prng.pick(ZONES)]))
  const world = new TestWorld({ names, edges: graphOf('mesh', names), zones, broken })
  return { world, prng, names, before: [new Map()], isPatient }
}

function act({ world, prng, names, before, isPatient }: Zoned): void {
  const name = prng.pick(names)
  const group = world.group(name)
  if (prng.percent(20)) world.nowMs += prng.intInclusive(1, 50)
  for (let i = prng.intInclusive(0, 40); i > 0 && world.packets.length > 0; i -= 1) world.deliver(0)
  if (prng.percent(50)) world.tick(name)
  if (prng.percent(90)) world.store(name)
  world.served(name)
  if (group.markOrdered && prng.percent(80)) world.mark(name)
  if (prng.percent(8)) world.write(name, 'now')
  if (group.asked.size < 6) ask(world, prng, name)
  else if (prng.percent(5)) giveUp(world, name)
  if (prng.percent(4)) split(world, prng, names)
  if (prng.percent(30)) hear(world, name, before)
  if (prng.percent(10)) move({ world, prng, names, before, isPatient })
}

function ask(world: TestWorld, prng: Prng, name: string): void {
  const sequence = world.group(name).disk.held.get(name) ?? 0
  const level = prng.pick(LEVELS)
  if (prng.percent(40)) world.wait(name, { kind: 'read', consulted: level })
  else if (sequence > 0) world.wait(name, { kind: 'copies', sequence, copies: level })
}

function giveUp(world: TestWorld, name: string): void {
  const { asked } = world.group(name)
  for (const id of asked.keys()) world.step(name, { kind: 'cancel', id })
  asked.clear()
}

/** Some on this side, the others on that one; or all together again. */
function split(world: TestWorld, prng: Prng, names: readonly string[]): void {
  world.cuts.clear()
  for (const name of names) world.relink(name)
  if (prng.percent(40)) return
  const side = new Set(names.filter(() => prng.percent(50)))
  for (const a of names) for (const b of names) if (side.has(a) && !side.has(b)) world.cut(a, b)
}

/** The next change comes to a group, with all that it depends on. */
function hear(world: TestWorld, name: string, before: readonly Frontier[]): void {
  const { disk } = world.group(name)
  const needed = before[disk.epoch + 1]
  if (needed !== undefined && covers(disk.applied, needed)) world.hearOf(name, disk.epoch + 1)
}

function move({ world, prng, names, before, isPatient }: Zoned): void {
  const keeper = world.group(present(names[0], () => 'a group'))
  if (keeper.disk.epoch < world.members.epoch) return
  if (isPatient && keeper.exchange.unaware.length > 0) return
  before.push(keeper.disk.applied)
  world.move(prng.pick(names), prng.pick(ZONES))
  world.hearOf(keeper.name, world.members.epoch)
}

/** @returns how often a level was reached, and how often zones changed */
function run(
  seed: number,
  isPatient: boolean,
  broken: Partial<Rules> = {},
): readonly [number, number] {
  const zoned = draw(seed, isPatient, broken)
  try {
    for (let i = 0; i < STEPS; i += 1) act(zoned)
    return [zoned.world.acknowledged, zoned.world.members.epoch]
  } catch (cause) {
    throw new Error(`SEED=${seed} RUNS=1`, { cause })
  }
}

test('a read by zone sees what was acknowledged by zone, also while zones change', () => {
  let [reached, changes] = [0, 0]
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed += 1) {
    const [more, epoch] = run(seed, true)
    reached += more
    changes += epoch
  }
  // Worlds in which nothing happens prove nothing.
  assert(reached > 10 * RUNS && changes > 3 * RUNS, () => `${reached} reached, ${changes} changes`)
})

function find(isPatient: boolean, broken: Partial<Rules>): void {
  for (let seed = 1; seed < 1_000; seed += 1) {
    try {
      run(seed, isPatient, broken)
    } catch (failure) {
      match(String(failure instanceof Error ? failure.cause : failure), /W11/)
      return
    }
  }
  assert(false, () => '1,000 worlds did not notice it')
}

test('found: changing zones before all know of the change before', () => find(false, {}))

test('found: a zone that begins or ends with a change counts as if all knew of it', () => {
  find(true, { knowsZones: () => true })
})
