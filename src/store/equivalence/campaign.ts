/** Runs seeds, one after the other, and makes of a failure something that can be read and repeated. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Cleanup } from '../store-fixture.ts'
import { Coverage } from './features.ts'
import { Generator } from './generator.ts'
import { type Item, printScript, type Script } from './script.ts'
import { shrink } from './shrink.ts'
import { Difference, runScript, Unclear, World } from './world.ts'

/** Statements of one seed: a new schema every so often, and short enough to shrink quickly. */
const STATEMENTS_PER_SEED = 400
/** Tries to make a failing script shorter. */
const SHRINK_RUNS_MAX = 600

export interface Failure {
  readonly seed: number
  readonly error: unknown
  /** As short as it became. */
  readonly script: Script
}

/** Runs one seed. Returns what failed, or null. */
export function runSeed(seed: number, coverage: Coverage): Failure | null {
  const generator = new Generator(seed)
  const prepare = generator.prepare()
  const items: Item[] = []
  try {
    inFolder((cleanup, folder) => {
      const world = new World(cleanup, folder, prepare, coverage)
      const end = coverage.statements + STATEMENTS_PER_SEED
      while (coverage.statements < end) {
        for (const item of generator.next(world.database, world.forked)) {
          items.push(item)
          world.run(item)
        }
      }
      world.finish()
    })
    coverage.seeds += 1
    return null
  } catch (error) {
    coverage.seeds += 1
    if (error instanceof Unclear) {
      coverage.endedEarly(error.message)
      return null
    }
    const script = shrink({ prepare, items }, failsLike(error), SHRINK_RUNS_MAX)
    return { seed, error: errorOf(script) ?? error, script }
  }
}

/** Runs seeds from one on until so many statements have run or one fails. */
export function runStatements(
  from: number,
  statements: number,
  coverage: Coverage,
): Failure | null {
  for (let seed = from; coverage.statements < statements; seed += 1) {
    const failure = runSeed(seed, coverage)
    if (failure !== null) return failure
  }
  return null
}

/** What a person needs of a failure. */
export function describeFailure({ seed, error, script }: Failure): string {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const text = error instanceof Difference ? error.message : message
  return `${printScript(script)}\n\n${text}\nreplay: npm run equivalence -- --seed ${seed}`
}

/** Runs a script; what it throws, or null. */
export function errorOf(script: Script): unknown {
  try {
    inFolder((cleanup, folder) => runScript(cleanup, folder, script, new Coverage()))
    return null
  } catch (error) {
    return error
  }
}

function failsLike(error: unknown): (script: Script) => boolean {
  const kind = kindOf(error)
  return (script) => kindOf(errorOf(script)) === kind
}

/** Failures of one kind are taken for the same failure. */
function kindOf(error: unknown): string {
  if (error instanceof Difference) return error.what
  // Numbers and paths tell where it happened, which a shorter script changes.
  return error instanceof Error ? error.message.replaceAll(/\/\S+|\d+/g, '…') : String(error)
}

/** A new folder that goes when it is over, after what was open in it. */
function inFolder(run: (cleanup: Cleanup, folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-equivalence-'))
  const last: (() => void)[] = []
  try {
    run({ after: (close) => last.unshift(close) }, join(folder, 'w'))
  } finally {
    for (const close of last) close()
    rmSync(folder, { recursive: true })
  }
}
