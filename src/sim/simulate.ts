/** Runs the worlds of seeds, and says of a failed one how to see it again. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { Outcome } from './life.ts'
import type { Parts } from './node.ts'
import type { OriginsProfile } from './origins/profile.ts'
import { OriginsWorld } from './origins/world.ts'
import type { Profile } from './profile.ts'
import { Templates } from './templates.ts'
import { World } from './world.ts'

export interface SimulateOptions<P = Profile> {
  readonly parts?: Parts
  readonly adjust?: (profile: P) => P
  readonly print?: (line: string) => void
}

/** With one leader, or with several. */
export type Kind = 'leader' | 'origins'

/** A violated invariant, with the seed that shows it. */
export class SimulationError extends Error {
  override readonly name = 'SimulationError'
  readonly seed: number

  /** @param isDrawn the world is what the seed drew, nothing of it was changed */
  constructor(kind: Kind, seed: number, isDrawn: boolean, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const drawn = `npm run sim -- ${kind === 'origins' ? '--origins ' : ''}--seed=${seed}`
    super(`seed ${seed}: ${reason}\n  rerun: ${isDrawn ? drawn : thisProgram()}`, { cause })
    this.seed = seed
  }
}

/** Runs worlds one after the other, on files in memory where the machine has such. */
export class Simulator {
  readonly #directory: string
  readonly #templates: Templates
  #runs = 0

  constructor() {
    const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
    this.#directory = mkdtempSync(join(root, 'quorate-sim-'))
    this.#templates = new Templates(join(this.#directory, 'templates'))
  }

  /** Runs the world of a seed to its end. Throws SimulationError. */
  run(seed: number, options: SimulateOptions = {}): Outcome {
    return live('leader', seed, options, () => this.world(seed, options))
  }

  /** The same with several groups. */
  runOrigins(seed: number, options: SimulateOptions<OriginsProfile> = {}): Outcome {
    return live('origins', seed, options, () => this.originsWorld(seed, options))
  }

  /** A world for a test that directs it by hand; the test closes it. */
  world(seed: number, options: SimulateOptions = {}): World {
    return new World({ ...options, ...this.#place(), seed })
  }

  /** The same with several groups. */
  originsWorld(seed: number, options: SimulateOptions<OriginsProfile> = {}): OriginsWorld {
    return new OriginsWorld({ ...options, ...this.#place(), seed })
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }

  #place(): { readonly directory: string; readonly templates: Templates } {
    this.#runs += 1
    const directory = join(this.#directory, `world${this.#runs}`)
    return { directory, templates: this.#templates }
  }
}

/** Only the test that made a world of its own can make it again: it runs the same seeds each time. */
function thisProgram(): string {
  const [, file = '', ...args] = process.argv
  return ['node', relative(process.cwd(), file), ...args].join(' ')
}

function live(
  kind: Kind,
  seed: number,
  { adjust, parts }: { readonly adjust?: unknown; readonly parts?: unknown },
  make: () => World | OriginsWorld,
): Outcome {
  let world: World | OriginsWorld | null = null
  try {
    world = make()
    return world.run()
  } catch (error) {
    const isDrawn = adjust === undefined && parts === undefined
    throw new SimulationError(kind, seed, isDrawn, error)
  } finally {
    world?.close()
  }
}
