/**
 * Programs on their way between threads, as one flat list: copying the objects of a small program
 * one by one, and its text again for each that runs it, would cost five times as much.
 */
import { assert, present } from '../base/assert.ts'
import type { Program, Statement, Step, Value, WriteId } from './program.ts'

/**
 * Of each program: how many steps, PROGRAM flags, if it has an id session, number and since; of each
 * step text, STATEMENT flags, if it has arguments how many and each, if it has named ones how many
 * and name and value of each. Or 0 and the program itself: it is more than statements in a row. A
 * text, name or session that came before is its number among them.
 */
export type CompactPrograms = readonly (Value | Program)[]

const PROGRAM = { atomic: 1, id: 2 } as const
const STATEMENT = { args: 1, named: 2, rows: 4, noRows: 8 } as const

export function compactPrograms(programs: readonly Program[]): CompactPrograms {
  const list = new List()
  for (const program of programs) {
    if (isPlain(program)) list.addProgram(program)
    else list.items.push(0, program)
  }
  return list.items
}

/** The inverse of compactPrograms. */
export function expandPrograms(compact: CompactPrograms): readonly Program[] {
  return new Expansion(compact).programs()
}

function isPlain({ steps, resultBytesMax, describe }: Program): boolean {
  if (steps.length === 0 || resultBytesMax !== undefined || describe !== undefined) return false
  return steps.every(({ condition }) => condition === undefined)
}

class List {
  readonly items: (Value | Program)[] = []
  readonly #places = new Map<string, number>()

  addProgram({ atomic, steps, id }: Program): void {
    const flags = (atomic ? PROGRAM.atomic : 0) | (id === undefined ? 0 : PROGRAM.id)
    this.items.push(steps.length, flags)
    if (id !== undefined) this.items.push(this.#text(id.session), id.number, id.since)
    for (const { statement } of steps) this.#addStatement(statement)
  }

  #addStatement({ sql, args, named, wantRows }: Statement): void {
    const { items } = this
    let flags = wantRows === undefined ? 0 : wantRows ? STATEMENT.rows : STATEMENT.noRows
    if (args !== undefined) flags |= STATEMENT.args
    if (named !== undefined) flags |= STATEMENT.named
    items.push(this.#text(sql), flags)
    if (args !== undefined) {
      items.push(args.length)
      for (const arg of args) items.push(arg)
    }
    if (named !== undefined) {
      const entries = Object.entries(named)
      items.push(entries.length)
      for (const [name, arg] of entries) items.push(this.#text(name), arg)
    }
  }

  #text(text: string): string | number {
    const place = this.#places.get(text)
    if (place === undefined) this.#places.set(text, this.#places.size)
    return place ?? text
  }
}

class Expansion {
  readonly #items: CompactPrograms
  readonly #texts: string[] = []
  #at = 0

  constructor(items: CompactPrograms) {
    this.#items = items
  }

  programs(): readonly Program[] {
    const programs: Program[] = []
    while (this.#at < this.#items.length) {
      const count = this.#number()
      programs.push(count === 0 ? this.#whole() : this.#program(count))
    }
    return programs
  }

  #whole(): Program {
    const item = this.#item()
    assert(isProgram(item), () => `a ${typeof item} before item ${this.#at}, no program`)
    return item
  }

  #program(count: number): Program {
    const flags = this.#number()
    const atomic = (flags & PROGRAM.atomic) !== 0
    const id = (flags & PROGRAM.id) === 0 ? null : this.#id()
    const steps: Step[] = []
    for (let i = 0; i < count; i += 1) steps.push({ statement: this.#statement() })
    return id === null ? { atomic, steps } : { atomic, steps, id }
  }

  #id(): WriteId {
    return { session: this.#text(), number: this.#number(), since: this.#number() }
  }

  #statement(): Statement {
    const sql = this.#text()
    const flags = this.#number()
    if (flags === STATEMENT.args) return { sql, args: this.#args() }
    return {
      sql,
      ...((flags & STATEMENT.args) === 0 ? {} : { args: this.#args() }),
      ...((flags & STATEMENT.named) === 0 ? {} : { named: this.#named() }),
      ...((flags & STATEMENT.rows) === 0 ? {} : { wantRows: true }),
      ...((flags & STATEMENT.noRows) === 0 ? {} : { wantRows: false }),
    }
  }

  #args(): readonly Value[] {
    const args: Value[] = []
    for (let left = this.#number(); left > 0; left -= 1) args.push(this.#value())
    return args
  }

  #named(): Readonly<Record<string, Value>> {
    const entries: [string, Value][] = []
    for (let left = this.#number(); left > 0; left -= 1) entries.push([this.#text(), this.#value()])
    return Object.fromEntries(entries)
  }

  #value(): Value {
    const item = this.#item()
    assert(!isProgram(item), () => `a program before item ${this.#at}, no value`)
    return item
  }

  #text(): string {
    const item = this.#item()
    if (typeof item === 'number') return present(this.#texts[item], () => `text ${item}`)
    assert(typeof item === 'string', () => `a ${typeof item} before item ${this.#at}, no text`)
    this.#texts.push(item)
    return item
  }

  #number(): number {
    const item = this.#item()
    assert(typeof item === 'number', () => `a ${typeof item} before item ${this.#at}, no number`)
    return item
  }

  #item(): Value | Program {
    const item = this.#items[this.#at]
    assert(item !== undefined, () => `item ${this.#at} of ${this.#items.length}`)
    this.#at += 1
    return item
  }
}

function isProgram(item: Value | Program): item is Program {
  return typeof item === 'object' && item !== null && !(item instanceof Uint8Array)
}
