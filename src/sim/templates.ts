/**
 * Database files that worlds begin with, made once in a process and copied, because making one
 * takes longer than many a world's step.
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { assert } from '../base/assert.ts'
import { toLogIndex, toTerm } from '../base/brand.ts'
import type { EntryId } from '../model/entry.ts'
import type { Members } from '../model/members.ts'
import { Store } from '../store/store.ts'
import type { FileIdentity } from '../store/types.ts'
import { checkpointFile } from './database-file.ts'
import { SCHEMA } from './tables.ts'

/** Where the log of every founded world begins. */
export const BASE: EntryId = { term: toTerm(1), index: toLogIndex(1) }

export class Templates {
  readonly #directory: string
  readonly #made = new Map<string, string>()

  /** @param directory where the files are kept */
  constructor(directory: string) {
    this.#directory = directory
    mkdirSync(directory, { recursive: true })
  }

  /** Copies the file of this name to `path`; the first time, `make` makes it. */
  copy(name: string, path: string, make: (path: string) => void): void {
    let template = this.#made.get(name)
    if (template === undefined) {
      template = join(this.#directory, `${this.#made.size}.db`)
      make(template)
      checkpointFile(template)
      this.#made.set(name, template)
    }
    mkdirSync(dirname(path), { recursive: true })
    copyFileSync(template, path)
  }

  /** Removes all of them. */
  close(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** Puts a founder's file at `path`: the application's tables, the log based at BASE. */
export function foundFile(
  templates: Templates,
  path: string,
  identity: FileIdentity,
  members: Members,
): void {
  templates.copy(`founder ${JSON.stringify([identity, members])}`, path, (template) => {
    const db = new DatabaseSync(template)
    db.exec(SCHEMA)
    db.close()
    found(template, identity, BASE, members)
  })
}

/** Puts a file at `path` that holds nothing but its identity. */
export function joinerFile(templates: Templates, path: string, identity: FileIdentity): void {
  templates.copy(`joiner ${JSON.stringify(identity)}`, path, (template) => {
    const base = { term: toTerm(0), index: toLogIndex(0) }
    found(template, identity, base, { cluster: identity.cluster, members: [] })
  })
}

function found(path: string, identity: FileIdentity, base: EntryId, members: Members): void {
  const store = Store.open(path)
  const reply = store.run({ kind: 'found', ticket: 1, identity, base, members })
  assert(reply.kind === 'done', () => `found answered ${JSON.stringify(reply)}`)
  store.close()
}
