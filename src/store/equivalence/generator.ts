/**
 * Writes scripts: it looks at the schema as it is on plain SQLite and draws what comes next, so
 * that most statements are about something that is there.
 */
import type { DatabaseSync } from 'node:sqlite'
import { type Prng, prngFromSeed } from '../../base/prng.ts'
import { Draft } from './draft.ts'
import { change, firstTable, rebuild, setting } from './make-changes.ts'
import {
  insert,
  remove,
  select,
  sequenceRows,
  update,
  varyingRows,
  virtualRows,
} from './make-rows.ts'
import { Plain } from './plain.ts'
import { readSchema, type SchemaView } from './schema-view.ts'
import type { Item, ScriptProgram, Sql } from './script.ts'
import { template } from './templates.ts'

type Make = (draft: Draft) => Sql | null

const ROWS: readonly (readonly [number, Make])[] = [
  [34, insert],
  [22, update],
  [10, remove],
  [8, select],
  [10, virtualRows],
  [4, varyingRows],
  [1, sequenceRows],
  [3, setting],
]
const WEIGHTS = ROWS.flatMap(([weight, make]) => new Array<Make>(weight).fill(make))
const EMPTY: SchemaView = { tables: [], indexes: [], triggers: [], parents: new Set() }
/** Items between two times that the schema and the tables' sizes are looked at. */
const LOOK_EVERY = 6

export class Generator {
  readonly #prng: Prng
  #schema: SchemaView = EMPTY
  #items = 0

  constructor(seed: number) {
    this.#prng = prngFromSeed(seed)
  }

  /** What the file holds before it is adopted, which may be next to nothing. */
  prepare(): readonly Sql[] {
    const plain = new Plain()
    const all: Sql[] = []
    const run = (list: readonly Sql[]) => {
      all.push(...list)
      for (const one of list) plain.program({ atomic: false, statements: [one] })
      this.#look(plain.db)
    }
    run([control('create table vary (id integer primary key, r, at default current_timestamp)')])
    for (let i = this.#prng.intInclusive(0, 8); i > 0; i -= 1) run(firstTable(this.#draft()))
    run(this.#list(0, 15))
    plain.close()
    return all
  }

  /** The next item, for the database as it is. */
  next(database: DatabaseSync, forked: boolean): readonly Item[] {
    if (this.#items % LOOK_EVERY === 0) this.#look(database)
    this.#items += 1
    const prng = this.#prng
    const kind = prng.intInclusive(1, 100)
    if (kind <= 52) return [this.#batch()]
    if (kind <= 67) return [this.#schemaBatch(), this.#lookLater()]
    if (kind <= 75) return [this.#stream()]
    if (kind <= 90) return [{ kind: 'check', oneByOne: prng.percent(40) }]
    if (kind <= 92) return [{ kind: 'restart', replica: prng.intInclusive(0, 2) }]
    if (kind <= 93) return [{ kind: 'snapshot' }]
    if (kind <= 94) return [{ kind: 'compact' }]
    if (!forked) return prng.percent(50) ? [{ kind: 'fork' }] : []
    this.#items = 0
    return [{ kind: 'takeBack', heldByOther: prng.percent(50) }]
  }

  #look(database: DatabaseSync): void {
    this.#schema = readSchema(database)
  }

  #draft(): Draft {
    return new Draft(this.#prng, this.#schema)
  }

  #rows(): Sql {
    for (;;) {
      const made = this.#prng.pick(WEIGHTS)(this.#draft())
      if (made !== null) return made
    }
  }

  #list(min: number, max: number): readonly Sql[] {
    return Array.from({ length: this.#prng.intInclusive(min, max) }, () => this.#rows())
  }

  #batch(): Item {
    const programs = Array.from({ length: this.#prng.intInclusive(1, 8) }, () => this.#program())
    return { kind: 'batch', programs }
  }

  #program(): ScriptProgram {
    const kind = this.#prng.intInclusive(1, 11)
    if (kind <= 6) return { atomic: false, statements: [this.#rows()] }
    if (kind <= 7) return { atomic: false, statements: this.#list(2, 4) }
    if (kind <= 8) return { atomic: true, statements: this.#list(2, 4).map(inAtomic) }
    if (kind <= 9) return { atomic: false, statements: this.#transaction(this.#list(1, 5)) }
    return { atomic: false, statements: template(this.#draft()) ?? [this.#rows()] }
  }

  /** Statements between BEGIN and its end, with savepoints among them. */
  #transaction(list: readonly Sql[]): readonly Sql[] {
    const prng = this.#prng
    const inside = list.flatMap((one) => (prng.percent(40) ? [this.#savepoint(), one] : [one]))
    const end = prng.percent(70)
      ? control('commit', 'transaction: committed')
      : control('rollback', 'transaction: rolled back')
    const begin = control(prng.pick(['begin', 'begin', 'begin immediate', 'begin exclusive']))
    return prng.percent(95) ? [begin, ...inside, end] : [begin, ...inside]
  }

  #savepoint(): Sql {
    const name = this.#prng.pick(['s', 'S', '"two words"'])
    const kind = this.#prng.intInclusive(1, 4)
    if (kind <= 2) return control(`savepoint ${name}`)
    if (kind === 3) return control(`rollback to ${name}`, 'savepoint: rolled back to')
    return control(`release ${name}`, 'savepoint: released')
  }

  #schemaBatch(): Item {
    const prng = this.#prng
    const list = this.#schemaList()
    const kind = prng.intInclusive(1, 4)
    if (kind === 1) return batch({ atomic: true, statements: list })
    if (kind === 2) return batch({ atomic: false, statements: this.#transaction(list) })
    return batch({ atomic: false, statements: list })
  }

  #schemaList(): readonly Sql[] {
    const count = this.#prng.percent(60) ? 1 : this.#prng.intInclusive(2, 4)
    return Array.from({ length: count }, () => {
      return (this.#prng.percent(75) ? change(this.#draft()) : null) ?? this.#rows()
    })
  }

  #lookLater(): Item {
    this.#items = 0
    return { kind: 'check', oneByOne: false }
  }

  #stream(): Item {
    const statements = this.#prng.percent(20) ? this.#migration() : null
    const list = statements ?? this.#transaction(this.#list(2, 6))
    const tagged = list.map((one) => ({
      ...one,
      features: [...one.features, 'stream: interactive' as const],
    }))
    return { kind: 'stream', rounds: this.#rounds(tagged) }
  }

  #migration(): readonly Sql[] | null {
    this.#items = 0
    const draft = this.#draft()
    const list = this.#prng.percent(50) ? rebuild(draft) : this.#transaction(this.#schemaList())
    if (list === null) return null
    return list.map((one, i) =>
      i + 1 < list.length ? one : { ...one, features: [...one.features, 'migration: in a stream'] },
    )
  }

  /** Cuts a list into rounds, mostly of one statement. */
  #rounds(list: readonly Sql[]): readonly (readonly Sql[])[] {
    const rounds: Sql[][] = [[]]
    for (const one of list) {
      rounds.at(-1)?.push(one)
      // A setting ends with its round, unless that leaves a transaction open.
      if (!one.sql.startsWith('pragma') && this.#prng.percent(70)) rounds.push([])
    }
    return rounds.filter((round) => round.length > 0)
  }
}

function batch(program: ScriptProgram): Item {
  return { kind: 'batch', programs: [program] }
}

function control(sql: string, ...features: Sql['features']): Sql {
  return { sql, args: [], verb: 'other', features, effects: [] }
}

function inAtomic(one: Sql): Sql {
  return { ...one, features: [...one.features, 'program: atomic'] }
}
