import { assert } from './assert.ts'

/** A stream of reproducible numbers. Passed in wherever chance is needed, never drawn from a global. */
export interface Prng {
  /** A whole number in [min, max]. */
  intInclusive(min: number, max: number): number
  /** True with the given probability in percent (0 to 100). */
  percent(chance: number): boolean
  /** One member of a list that is not empty. */
  pick<T>(list: readonly T[]): T
  /** An independent stream, so that one consumer's draws don't shift another's. */
  fork(): Prng
}

/** sfc32 (Chris Doty-Humphrey, PractRand): small, fast, passes BigCrush; 32-bit seed. */
export function prngFromSeed(seed: number): Prng {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = seed | 0
  let counter = 1
  const draw = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    c |= 0
    return sum >>> 0
  }
  for (let i = 0; i < 12; i += 1) draw()
  const intInclusive = (min: number, max: number): number => {
    assert(
      Number.isSafeInteger(min) && Number.isSafeInteger(max) && min <= max,
      () => `[${min}, ${max}]`,
    )
    return min + Math.floor((draw() / 2 ** 32) * (max - min + 1))
  }
  return {
    intInclusive,
    percent: (chance) => (draw() / 2 ** 32) * 100 < chance,
    pick: (list) => {
      const member = list[intInclusive(0, list.length - 1)]
      assert(list.length > 0, () => 'pick from an empty list')
      return member as (typeof list)[number]
    },
    fork: () => prngFromSeed(draw()),
  }
}
