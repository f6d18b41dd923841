/** A broken promise of our own code. Never caught to go on: the state behind it is not trustworthy. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/**
 * Checks an invariant of our own code, always on. What a peer, a disk or a user can get wrong is
 * an error from the table in errors.ts instead.
 *
 * @param message built only on failure; carries the values that broke the rule
 */
export function assert(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new AssertionError(message())
}

/** For the default branch of an exhaustive switch: a new member of the union fails to compile. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}

/** Returns the value, or fails if it is missing: for look-ups that our own bookkeeping guarantees. */
export function present<T>(value: T | null | undefined, what: () => string): T {
  if (value === null || value === undefined) throw new AssertionError(`missing: ${what()}`)
  return value
}
