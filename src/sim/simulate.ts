/** Runs the worlds of seeds, and says of a failed one how to see it again. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Parts } from './node.ts'
import type { Profile } from './profile.ts'
import { Templates } from './templates.ts'
import type { Outcome } from './world.ts'
import { World } from './world.ts'

export interface SimulateOptions {
  readonly parts?: Parts
  readonly adjust?: (profile: Profile) => Profile
  readonly print?: (line: string) => void
}

/** A violated invariant, with the seed that shows it. */
export class SimulationError extends Error {
  override readonly name = 'SimulationError'
  readonly seed: number

  constructor(seed: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    super(`seed ${seed}: ${reason}\n  rerun: npm run sim -- --seed=${seed}`, { cause })
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
    this.#runs += 1
    const directory = join(this.#directory, `world${this.#runs}`)
    let world: World | null = null
    try {
      world = new World({ ...options, seed, directory, templates: this.#templates })
      return world.run()
    } catch (error) {
      throw new SimulationError(seed, error)
    } finally {
      world?.close()
    }
  }

  /** A world for a test that directs it by hand; the test closes it. */
  world(seed: number, options: SimulateOptions = {}): World {
    this.#runs += 1
    const directory = join(this.#directory, `world${this.#runs}`)
    return new World({ ...options, seed, directory, templates: this.#templates })
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
