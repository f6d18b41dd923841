/** Where the seeds of random tests come from; in CI from the commit, so that each tries new ones. */
import { execFileSync } from 'node:child_process'

/** A decimal seed, or a commit hash: each commit tries new seeds, which anyone can run again. */
export function parseSeed(text: string): number {
  const seed = /^[0-9a-f]{40}$/.test(text) ? Number.parseInt(text.slice(-8), 16) : Number(text)
  if (!Number.isSafeInteger(seed) || seed < 0 || text === '') throw new Error(`not a seed: ${text}`)
  return seed % 2 ** 32
}

/** The seed of the checked-out commit; outside a repository it is always the same. */
export function commitSeed(): number {
  try {
    return parseSeed(execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim())
  } catch {
    return 0
  }
}
