/** Parsers for flags of commands other than `serve`, whose table has its own. */
import { InvalidArgumentError } from 'commander'
import { ACK_FORM, READ_FORM, toAckLevel, toReadLevel } from '../model/levels.ts'
import type { AckLevel, ReadLevel } from '../model/request.ts'

/** A whole number in [min, max]. */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

/** How far a write must have come. */
export function toAck(text: string): AckLevel {
  return level(toAckLevel, ACK_FORM, text)
}

/** What a read may miss. */
export function toRead(text: string): ReadLevel {
  return level(toReadLevel, READ_FORM, text)
}

function level<T>(parse: (text: string) => T, form: string, text: string): T {
  try {
    return parse(text)
  } catch {
    throw new InvalidArgumentError(`It must be ${form}.`)
  }
}
