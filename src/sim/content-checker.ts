/**
 * The invariants of the databases' content.
 *
 * R1 replicas that have applied the same entry have the same rows (D2)
 * R2 content is what running the log from the beginning gives, also after a part was taken back:
 *    the twin, a fresh replica that has never taken anything back, says what that is (D2)
 * R3 what was taken back is in a file, complete and readable (D6)
 * R4 constraints of the schema and of SQLite hold (D3)
 */
import { existsSync, rmSync } from 'node:fs'
import { assert, present } from '../base/assert.ts'
import { toLogIndex } from '../base/brand.ts'
import type { Prng } from '../base/prng.ts'
import type { Entry, EntryId } from '../model/entry.ts'
import { decodeBatch } from '../model/entry-codec.ts'
import { readLostFile } from '../store/apply/lost-file.ts'
import type { OpenOptions } from '../store/connections.ts'
import { Store } from '../store/store.ts'
import type { LostTail, StoreReply } from '../store/types.ts'
import type { OrderChecker } from './checkers.ts'
import type { Content } from './content.ts'
import { ContentReader, differences } from './content.ts'
import type { SimNode } from './node.ts'
import { BASE } from './templates.ts'

/** Where the twin is, and what puts the file there with which the group's history begins. */
export interface Twin {
  readonly file: string
  readonly shadows: boolean
  /** What its store is opened with. */
  readonly options?: OpenOptions
  readonly found: (path: string) => void
}

interface Seen {
  readonly by: string
  readonly content: Content
}

export class ContentChecker {
  readonly #order: OrderChecker
  readonly #prng: Prng
  readonly #twinAt: Twin
  /** By index and term of the last entry applied: by S5 there is one content for each. */
  readonly #seen = new Map<string, Seen>()

  constructor(order: OrderChecker, prng: Prng, twin: Twin) {
    this.#order = order
    this.#prng = prng
    this.#twinAt = twin
  }

  /** A node's store did something that may have changed its content. */
  ran(node: SimNode, reply: StoreReply): void {
    if (reply.kind === 'executed' && reply.entries.length > 0) {
      if (this.#prng.percent(15)) this.#check(node)
    } else if (reply.kind === 'applied') {
      const known = this.#seen.has(keyOf(appliedOf(node)))
      if (this.#prng.percent(known ? 50 : 5)) this.#check(node)
    } else if (reply.kind === 'installed') {
      this.#check(node)
    } else if (reply.kind === 'truncated') {
      const id = appliedOf(node)
      if (!this.#seen.has(keyOf(id)) && this.#prng.percent(50)) this.#twin(id)
      this.#check(node)
    }
  }

  /** R3, for one taking back. */
  checkLost(node: SimNode, removed: readonly Entry[], lost: LostTail | null): void {
    const writes = removed.filter(isWrite)
    assert(
      (lost === null) === (writes.length === 0),
      () =>
        `R3: ${node.name} took back ${writes.length} entries with writes, kept in ${lost?.file}`,
    )
    if (lost === null) return
    assert(existsSync(lost.file), () => `R3: there is no ${lost.file}`)
    const { entries } = readLostFile(lost.file)
    const kept = entries.map(({ index, term, checksum }) => `${index} ${term} ${checksum}`)
    const gone = writes.map(({ index, term, checksum }) => `${index} ${term} ${checksum}`)
    assert(
      kept.join() === gone.join(),
      () => `R3: ${node.name} took back [${gone}] and kept [${kept}]`,
    )
  }

  /** R1 and R4 at the end, when all have applied everything. */
  checkEnd(node: SimNode, leader: SimNode): void {
    const mine = node.content.read().tables
    const differ = differences(mine, leader.content.read().tables)
    assert(differ.length === 0, () => `R1: ${node.name} and ${leader.name} differ in ${differ}`)
    const [check] = node.content.query('pragma integrity_check')
    assert(check?.[0] === 'ok', () => `R4: ${node.name}: ${check?.[0]}`)
    const [orphan] = node.content.query('pragma foreign_key_check')
    assert(orphan === undefined, () => `R4: ${node.name}: row ${orphan} refers to nothing`)
  }

  /** R2 at a node's present position. */
  checkTwin(node: SimNode): void {
    this.#twin(appliedOf(node))
    this.#check(node)
  }

  #check(node: SimNode): void {
    const id = appliedOf(node)
    const { applied, tables } = node.content.read()
    assert(
      applied === id.index,
      () => `R1: ${node.name} says it has applied ${applied}, it was told to apply ${id.index}`,
    )
    this.#compare(id, node.name, tables)
  }

  #compare(id: EntryId, by: string, content: Content): void {
    const seen = this.#seen.get(keyOf(id))
    if (seen === undefined) {
      this.#seen.set(keyOf(id), { by, content })
      return
    }
    const differ = differences(seen.content, content)
    assert(
      differ.length === 0,
      () => `R1: ${by} and ${seen.by} differ in ${differ} after entry ${id.index} of ${id.term}`,
    )
  }

  /** Runs the history that leads to an entry on a replica that knows nothing else. */
  #twin(id: EntryId): void {
    if (id.index < BASE.index) return
    const entries = this.#order.historyOf(id)
    const { file, found, shadows, options } = this.#twinAt
    for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true })
    found(file)
    const store = Store.open(file, options)
    const reader = new ContentReader(file, shadows)
    try {
      if (entries.length > 0) store.run({ kind: 'append', ticket: 1, entries })
      for (let at = BASE.index; at < id.index; ) {
        const reply = store.run({ kind: 'apply', to: toLogIndex(id.index) })
        assert(reply.kind === 'applied', () => `R2: the twin answered ${JSON.stringify(reply)}`)
        at = reply.index
      }
      this.#compare(id, 'twin', reader.read().tables)
    } finally {
      reader.close()
      store.close()
    }
  }
}

/** What origins only tell each other, or hand on, is nobody's loss. */
function isWrite({ kind, body }: Entry): boolean {
  if (kind !== 'data' && kind !== 'schema') return false
  const { own, transactions, operations } = decodeBatch(body)
  return transactions > 0 || (own === undefined && operations.length > 0)
}

function appliedOf(node: SimNode): EntryId {
  const { applied } = node.ledger
  const term = present(node.ledger.termAt(applied), () => `${node.name}: term of ${applied}`)
  return { index: applied, term } as EntryId
}

function keyOf({ index, term }: EntryId): string {
  return `${index} ${term}`
}
