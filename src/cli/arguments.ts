/** Parsers for flags of commands other than `serve`, whose table has its own. */
import { InvalidArgumentError } from 'commander'
import type { AckLevel } from '../model/request.ts'
import { ackLevel } from './options.ts'

/** A whole number in [min, max]. */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

/** local, majority, all or a number of voters. */
export function toAck(text: string): AckLevel {
  const parsed = ackLevel().safeParse(text)
  if (parsed.success) return parsed.data
  throw new InvalidArgumentError(`It ${parsed.error.issues[0]?.message}.`)
}
