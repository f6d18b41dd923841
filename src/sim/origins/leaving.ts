/**
 * What a removed group had made and sent to nobody: it must be in a file at the node that led it,
 * whoever had acknowledged it. From there people hand it in again, as `quorate lost replay` does.
 */
import { assert } from '../../base/assert.ts'
import { toLogIndex, toTerm } from '../../base/brand.ts'
import type { Entry } from '../../model/entry.ts'
import { decodeOwn } from '../../model/entry-codec.ts'
import { decodeOriginOperations } from '../../model/origin-codec.ts'
import type { OriginEntry } from '../../model/origin-entry.ts'
import { listLostFiles, readLostFile } from '../../store/apply/lost-file.ts'
import {
  columnsIn,
  describeLost,
  type Lost,
  replayPrograms,
  schemaIn,
} from '../../store/apply/lost-replay.ts'
import type { SimGroup } from '../group.ts'
import type { SimNode } from '../node.ts'
import { nameOf } from '../write-book.ts'
import type { Asking } from './admin.ts'

/** The entries of a removed origin that nobody else had, and the writes in them. */
export interface Unshipped {
  readonly lost: Lost
  readonly names: readonly string[]
}

const REPLAY_TIMEOUT_MS = 5_000

/**
 * U: all that was committed and counts for nobody is in a file at the node that led.
 *
 * @param unshipped as the group committed it
 * @returns null: there was nothing
 */
export function keptAt(node: SimNode, unshipped: readonly OriginEntry[]): Unshipped | null {
  const wanted = new Set(unshipped.filter(isWork).map(keyOf))
  if (wanted.size === 0) return null
  const isWanted = ({ body }: Entry): boolean => {
    const own = decodeOwn(body)
    return own !== null && wanted.has(keyOf(own))
  }
  const files = listLostFiles(node.disk.file).map(readLostFile)
  const kept = files.map((lost) => ({ ...lost, entries: lost.entries.filter(isWanted) }))
  const [most] = kept.toSorted((a, b) => b.entries.length - a.entries.length)
  const count = most?.entries.length ?? 0
  assert(count === wanted.size, () => {
    return `U: ${node.name} keeps ${count} of the ${wanted.size} entries that it had not shipped`
  })
  return most === undefined ? null : { lost: most, names: namesIn(most, node) }
}

/** The same in the log of a group that was not told of its removal, for a person to look at. */
export function leftAt({ order, nodes }: SimGroup, unshipped: readonly OriginEntry[]): Unshipped {
  const wanted = new Set(unshipped.filter(isWork).map(keyOf))
  const [node] = nodes
  assert(node !== undefined, () => 'a group without nodes')
  const entries: Entry[] = []
  for (let index = 1; index <= order.commit; index += 1) {
    const entry = order.committedAt(index)
    const isOwn = entry?.kind === 'data' || entry?.kind === 'schema'
    const own = isOwn ? decodeOwn(entry.body) : null
    if (isOwn && own !== null && wanted.has(keyOf(own))) entries.push(entry)
  }
  const none = { term: toTerm(0), index: toLogIndex(0) }
  const head = { cluster: '', node: node.name, at: 0, transactions: 0, first: none, last: none }
  const lost = { head, entries }
  return { lost, names: namesIn(lost, node) }
}

/** Runs all of it again at a node, one entry after the other. */
export function handIn(
  { schedule, life }: Asking,
  { lost }: Unshipped,
  at: SimNode,
  done: () => void,
): void {
  const programs = replayPrograms(lost, schemaIn(at.disk.file))
  const next = (): void => {
    const { value } = programs.next()
    if (value === undefined) {
      done()
      return
    }
    const { program } = value
    const request = { kind: 'write', program, ack: 'majority' } as const
    let isOpen = true
    const end = (goesOn: boolean): void => {
      if (!isOpen) return
      isOpen = false
      // What is in doubt or can't be had now is for a person to look at.
      if (goesOn) next()
      else done()
    }
    at.request({ ...request, timeoutMs: REPLAY_TIMEOUT_MS }, ({ kind }) => end(kind === 'result'))
    schedule.after(2_000 * REPLAY_TIMEOUT_MS, life, () => end(false))
  }
  next()
}

function isWork({ body }: OriginEntry): boolean {
  return decodeOriginOperations(body).some(({ kind }) => kind === 'transaction' || kind === 'ddl')
}

function keyOf({ sequence, time }: Pick<OriginEntry, 'sequence' | 'time'>): string {
  return `${sequence} ${time}`
}

function namesIn(lost: Lost, { disk }: SimNode): readonly string[] {
  const { entries } = describeLost(lost, columnsIn(disk.file))
  return entries.flatMap(({ rows }) =>
    rows.flatMap(({ table, after }) => {
      if (table !== 'ops' || after === null) return []
      return [nameOf({ session: String(after['session']), number: Number(after['number']) })]
    }),
  )
}
