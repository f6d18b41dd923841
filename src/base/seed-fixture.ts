/** Where the seeds of random tests come from. */

/**
 * What CI begins with. Always the same, so that it says of a commit tomorrow what it says today; a
 * seed is another run after each change of what it runs. New ones are for the long forms.
 */
export const CI_SEED = 20_261_121

/** A seed from a command line. Throws if it is none. */
export function parseSeed(text: string): number {
  const seed = Number(text)
  if (!Number.isSafeInteger(seed) || seed < 0 || text === '') throw new Error(`not a seed: ${text}`)
  return seed % 2 ** 32
}
