/** What a dot command is, and how its words are read. */
import { usageError } from '../output.ts'
import type { Shell } from './shell.ts'

/** One dot command. */
export interface DotCommand {
  readonly name: string
  /** Arguments as help shows them. */
  readonly args: string
  /** What it does, as a part of a sentence. */
  readonly help: string
  /** How many arguments it takes. */
  readonly takes: readonly [number, number]
  readonly run: (shell: Shell, args: readonly string[], line: string) => Promise<void> | void
}

/** on, off and what else people type for them. */
export function toSwitch(text: string): boolean {
  if (/^(on|yes|true|1)$/i.test(text)) return true
  if (/^(off|no|false|0)$/i.test(text)) return false
  throw usageError(`"${text}" is neither on nor off.`)
}
