/** The writer's view of the schema: its facts and its statements, for as long as it stays as it is. */
import { Statements } from './classify.ts'
import type { Connection } from './connections.ts'
import { dropNullGuards, readFacts, type SchemaFacts, setNullGuards } from './schema-guard.ts'

export class Schema {
  readonly statements: Statements
  readonly #writer: Connection
  #facts: SchemaFacts | null = null
  #version = -1

  constructor(writer: Connection) {
    this.#writer = writer
    this.statements = new Statements(writer.db, () => this.facts)
  }

  /** Read when first asked for; sets the guards against NULL keys along with it. */
  get facts(): SchemaFacts {
    if (this.#facts === null) {
      this.#facts = readFacts(this.#writer)
      setNullGuards(this.#writer, this.#facts)
      this.#version = this.#writer.schemaVersion()
    }
    return this.#facts
  }

  /** Forgets what another connection's DDL made wrong. Outside a transaction. */
  refresh(): void {
    if (this.#writer.schemaVersion() !== this.#version) this.forget()
    this.facts
  }

  /** The schema may have changed, also back by a rollback. */
  forget(): void {
    this.#facts = null
    this.#version = -1
    this.statements.clear()
  }

  /** Another connection is about to run DDL: its tables must not have guards then. */
  release(): void {
    this.forget()
    dropNullGuards(this.#writer)
  }
}
