/** The writes that clients asked for, and what became of each. */
import { assert } from '../base/assert.ts'
import type { AckLevel } from '../model/request.ts'

export type Status = 'pending' | 'ok' | 'failed' | 'unknown'

export interface Write {
  readonly session: string
  readonly number: number
  readonly kind: string
  readonly ack: AckLevel
  /** The one that was asked. */
  readonly group: string
  status: Status
  /** An attempt may have run although it was not answered. */
  doubtful: boolean
}

/** What one session must find again. */
export class SessionView {
  readonly name: string
  readonly must = new Set<string>()

  constructor(name: string) {
    this.name = name
  }
}

export function nameOf(write: { readonly session: string; readonly number: number }): string {
  return `${write.session}/${write.number}`
}

export class WriteBook {
  readonly writes: Write[] = []
  readonly counts = {
    ok: 0,
    failed: 0,
    unknown: 0,
    reads: 0,
    strong: 0,
    quorum: 0,
    aborted: 0,
    unshipped: 0,
  }
  protected readonly byName = new Map<string, Write>()
  readonly #answers = new Map<string, string>()

  begin(
    { name: session }: SessionView,
    number: number,
    kind: string,
    ack: AckLevel,
    group: string,
  ): Write {
    const given = { session, number, kind, ack, group }
    const write: Write = { ...given, status: 'pending', doubtful: false }
    this.writes.push(write)
    this.byName.set(nameOf(write), write)
    return write
  }

  failed(write: Write): void {
    write.status = write.doubtful ? 'unknown' : 'failed'
    this.counts[write.status] += 1
  }

  unknown(write: Write): void {
    write.status = 'unknown'
    this.counts.unknown += 1
  }

  /**
   * H7: an answer belongs to one write.
   *
   * @param answer what it was told that nobody else may be told, if anything
   */
  protected told(name: string, answer: string | null): void {
    if (answer === null) return
    const other = this.#answers.get(answer) ?? name
    assert(other === name, () => `H7: ${name} and ${other} were both told ${answer}`)
    this.#answers.set(answer, name)
  }

  /** H1: what is there was asked for. H5: what was refused left nothing. */
  protected checkAsked(seen: ReadonlySet<string>, aborted: ReadonlySet<string> = new Set()): void {
    for (const write of this.writes) {
      const name = nameOf(write)
      assert(
        write.status !== 'failed' || !(seen.has(name) || aborted.has(name)),
        () => `H5: ${name} (${write.kind}) was refused and is there`,
      )
    }
    for (const name of seen) assert(this.byName.has(name), () => `H1: nobody asked for ${name}`)
  }
}
