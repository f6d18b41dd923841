/**
 * Founds a group on the content of another: fetches a copy of a node's whole file, makes it this
 * node's own beside the live file, and only then puts it in place. So there is never a live file that
 * says it is somebody else, and a node that is stopped anywhere in between begins again.
 */
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { toLogIndex, toTerm } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import type { EntryId } from '../model/entry.ts'
import type { Member } from '../model/members.ts'
import { syncFile } from '../store/files/durable-file.ts'
import { installSnapshot } from '../store/files/snapshot-install.ts'
import type { OpenStore } from '../store/store-port.ts'
import { askStatus, getStream } from './joining.ts'
import { openStore, submit } from './open-store.ts'

/** How often, and how long in between, the giver is asked whether all of the copy is committed. */
const COMMIT_ATTEMPTS = 50
const COMMIT_PAUSE_MS = 100

export interface GroupFounding {
  /** The live file, which nobody has open. */
  readonly file: string
  readonly folder: string
  /** Where the copy comes from. */
  readonly url: string
  readonly token: string | null
  readonly node: string
  readonly origin: string
  /** The group's first member: this node. */
  readonly first: Member
  /** See NodeOptions. */
  readonly mergeFunctions: string | null
}

/**
 * Puts the founded file in place of the live one.
 *
 * @throws QuorateError UNREACHABLE if the copy did not come whole, NOT_READY if it does not know the
 *   group yet or not all of it is committed: ask again later; LOG_CORRUPT, MERGE_FUNCTION_MISSING
 */
export async function foundGroup(founding: GroupFounding, signal: AbortSignal): Promise<void> {
  const copy = join(founding.folder, 'founding.db')
  await removeDatabase(copy)
  try {
    await fetchFile(founding, copy, signal)
    await makeOwn(founding, copy, signal)
    syncFile(copy)
    installSnapshot(founding.file, copy)
  } finally {
    await removeDatabase(copy)
  }
}

async function fetchFile(
  { url, token }: GroupFounding,
  copy: string,
  signal: AbortSignal,
): Promise<void> {
  const content = await getStream(url, '/admin/snapshot', token, signal)
  try {
    await pipeline(Readable.fromWeb(content), createWriteStream(copy), { signal })
  } catch (cause) {
    signal.throwIfAborted()
    const text = cause instanceof Error ? cause.message : String(cause)
    const detail = `The copy of the file of ${url} broke off: ${text}.`
    throw new QuorateError('UNREACHABLE', detail, {}, { cause })
  }
}

async function makeOwn(founding: GroupFounding, copy: string, signal: AbortSignal): Promise<void> {
  const store = await openStore(copy, founding)
  try {
    await awaitCommit(founding, store.state.log.last, signal)
    await found(store, founding)
  } finally {
    await store.close()
  }
}

/**
 * A leader's file runs ahead of what its group has committed. What is taken back there later must
 * not live on here: its number would be that of another entry.
 *
 * @param last entry in the copy
 */
async function awaitCommit(
  { url, token }: GroupFounding,
  last: EntryId,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; attempt < COMMIT_ATTEMPTS; attempt += 1) {
    const { term, log } = await askStatus(url, token, signal)
    // Within a term a node only adds to its log, so this is the entry that the copy has.
    if (term === last.term && log.committed >= last.index) return
    if (term !== last.term) break
    await sleep(COMMIT_PAUSE_MS, undefined, { signal })
  }
  const detail = `The copy of the file of ${url} holds what is not known to be committed there.`
  throw new QuorateError('NOT_READY', detail)
}

async function found(store: OpenStore, founding: GroupFounding): Promise<void> {
  const { node, origin, first, url } = founding
  const { identity, origins } = store.state
  const standing = (name: string | undefined): string | undefined =>
    origins?.cluster.origins.find((each) => each.origin === name)?.standing.kind
  // One that is on its way out may hold what counts for nobody.
  if (identity === null || [origin, origins?.self].some((name) => standing(name) !== 'writes')) {
    const detail = `The node at ${url} is of no group that writes, or has not heard of ${origin} yet.`
    throw new QuorateError('NOT_READY', detail)
  }
  await submit(store.port, {
    kind: 'found',
    ticket: 0,
    identity: { cluster: identity.cluster, node },
    base: { term: toTerm(1), index: toLogIndex(1) },
    members: { cluster: identity.cluster, members: [first] },
    origin: { self: origin, cluster: null },
  })
}

async function removeDatabase(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm', '-journal']) await rm(path + suffix, { force: true })
}
