/** What a shell's dot commands set, and where its output goes. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { usageError } from '../output.ts'
import type { RenderMode } from './render.ts'

export interface ShellSettings {
  mode: RenderMode
  /** null: as the mode has it. */
  headers: boolean | null
  nullText: string | null
  separator: string | null
  widths: number[]
  /** What mode insert inserts into. */
  table: string
  timer: boolean
  changes: boolean
  /** End a script at its first error. */
  bail: boolean
  echo: boolean
  /** Show the query plan before each statement's rows. */
  eqp: boolean
}

/** @param terminal a person looks at it */
export function defaultSettings(terminal: boolean): ShellSettings {
  return {
    mode: terminal ? 'box' : 'list',
    headers: null,
    nullText: null,
    separator: null,
    widths: [],
    table: 'table',
    timer: false,
    changes: terminal,
    bail: !terminal,
    echo: false,
    eqp: false,
  }
}

/** Standard output, or a file for a while (.output, .once). */
export class Output {
  readonly #standard: (text: string) => void
  /** `left`: statements and dot commands until output goes back by itself. */
  #file: { readonly fd: number; readonly path: string; left: number } | null = null

  constructor(standard: (text: string) => void) {
    this.#standard = standard
  }

  /** Path of the file that output goes to; null for standard output. */
  get path(): string | null {
    return this.#file?.path ?? null
  }

  write(text: string): void {
    if (this.#file === null) this.#standard(text)
    else writeSync(this.#file.fd, text)
  }

  /** Sends output to a file. Throws BAD_USAGE if it can't be made. */
  toFile(path: string, once: boolean): void {
    this.toStandard()
    try {
      // The command that says so is the first.
      const left = once ? 2 : Number.POSITIVE_INFINITY
      this.#file = { fd: openSync(path, 'w'), path: resolve(path), left }
    } catch (error) {
      throw usageError(`${path} can't be written: ${reasonOf(error)}.`)
    }
  }

  toStandard(): void {
    if (this.#file !== null) closeSync(this.#file.fd)
    this.#file = null
  }

  /** A statement or dot command has ended: after the one that .once was for, output goes back. */
  ended(): void {
    if (this.#file === null) return
    this.#file.left -= 1
    if (this.#file.left === 0) this.toStandard()
  }
}

/** The system's reason, without its numbers. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return REASONS[code] ?? (error instanceof Error ? error.message : String(error))
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'that is not allowed',
  EPERM: 'that is not allowed',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is no folder',
  ENOSPC: 'the disk is full',
  EROFS: 'the disk is read-only',
}
