/**
 * A fresh node that founds a group while the world runs, as the host does it (host/group-joining.ts,
 * host/group-founding.ts) with the store's own commands: it asks a node to be let in, copies that
 * node's file, waits until all of the copy is committed there, and makes it its own. Whatever fails
 * on the way, it begins again.
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { assert } from '../../base/assert.ts'
import type { NodeId } from '../../base/brand.ts'
import type { Prng } from '../../base/prng.ts'
import type { EntryId } from '../../model/entry.ts'
import type { Members } from '../../model/members.ts'
import type { GroupAdmission, NodeReply } from '../../model/request.ts'
import { Store } from '../../store/store.ts'
import type { FileIdentity, StoreCommand, StoreReply } from '../../store/types.ts'
import { copyDatabase } from '../database-file.ts'
import type { SimNode } from '../node.ts'
import type { RunsCommands } from '../store-port.ts'
import { BASE } from '../templates.ts'
import { type Asking, ask } from './admin.ts'
import type { Beginning } from './entries.ts'
import { FUNCTIONS } from './tables.ts'

export interface EnteringNeeds extends Asking {
  readonly prng: Prng
  readonly cluster: string
  /** Where its files may go. */
  readonly directory: string
  readonly label: string
  readonly called: string
  readonly zone: string | null
  /** Of its first node. */
  readonly id: NodeId
  /** See Parts. */
  readonly wrapStore: (store: RunsCommands) => RunsCommands
  /** Some node that may let it in; null: none is up. */
  readonly via: () => SimNode | null
  /** Whether the node is lost for ever now that it is to found this origin. */
  readonly isLost: (origin: string) => boolean
  /** Whether it is on a node to found an origin; `founder`: who is to. */
  readonly mayFound: (founder: string, node: string) => boolean
}

/** Everything that the group begins with. */
export interface Founded {
  readonly origin: string
  readonly beginning: Beginning
  /** Puts the file of its first node at `path`. */
  readonly file: (path: string, identity: FileIdentity, members: Members) => void
}

const ANSWER_MS = 5_000
const COMMIT_ATTEMPTS = 50
const COMMIT_PAUSE_US = 100_000

/** @param done is called once, however long that takes, unless the node is lost */
export function enter(needs: EnteringNeeds, done: (entered: Founded | 'join') => void): void {
  const { schedule, life, prng, called, id, zone, isLost } = needs
  const again = (): void => {
    schedule.after(prng.intInclusive(100_000, 500_000), life, () => enter(needs, done))
  }
  const via = needs.via()
  if (via === null) {
    again()
    return
  }
  const where = zone === null ? {} : { zone }
  const command = { kind: 'joinGroup', group: called, node: id, ...where } as const
  ask(needs, via, command, ANSWER_MS, (reply) => {
    const answer = admitted(reply, needs)
    if (answer === null) again()
    else if (answer === 'join') done(answer)
    else if (!isLost(answer.origin)) copy(needs, via, answer.origin, again, done)
  })
}

/** The origin that this node is to found; `join`: somebody has; null: not yet. */
function admitted(
  reply: NodeReply | null,
  { id, mayFound }: EnteringNeeds,
): { readonly origin: string } | 'join' | null {
  if (reply?.kind !== 'admin') return null
  const { origin, cluster, nodes } = reply.value as GroupAdmission
  if (nodes.length > 0) return 'join'
  const founder = cluster.origins.find((each) => each.origin === origin)?.founder
  return founder !== undefined && mayFound(founder, id) ? { origin } : null
}

function copy(
  needs: EnteringNeeds,
  via: SimNode,
  origin: string,
  again: () => void,
  done: (founded: Founded) => void,
): void {
  const { schedule, life, prng, directory, label, note } = needs
  const snapshot = join(directory, `${label}-begins.db`)
  schedule.after(prng.intInclusive(100, 20_000), life, () => {
    if (!via.up) {
      again()
      return
    }
    remove(snapshot)
    const last = copyDatabase(via.disk.file, snapshot)
    awaitCommit(needs, via, last, COMMIT_ATTEMPTS, (isCommitted) => {
      const founded = isCommitted ? found(needs, snapshot, origin) : null
      note('people', `${label} on a copy of ${via.name}: ${founded === null ? 'not yet' : origin}`)
      if (founded === null) again()
      else done(founded)
    })
  })
}

/** What is taken back at the giver must not live on here. */
function awaitCommit(
  needs: EnteringNeeds,
  via: SimNode,
  last: EntryId,
  left: number,
  done: (isCommitted: boolean) => void,
): void {
  const { schedule, life } = needs
  const order = via.driver?.order
  if (order === undefined || order.term !== last.term || left === 0) done(false)
  else if (order.commit >= last.index) done(true)
  else {
    schedule.after(COMMIT_PAUSE_US, life, () => awaitCommit(needs, via, last, left - 1, done))
  }
}

/** Null: the copy is of nobody who writes, or has not heard of the group yet. */
function found(needs: EnteringNeeds, snapshot: string, origin: string): Founded | null {
  const store = Store.open(snapshot, { functions: FUNCTIONS })
  const { origins } = store
  store.close()
  const isWriter = (name: string | undefined): boolean => {
    const known = origins?.cluster.origins.find((each) => each.origin === name)
    return known?.standing.kind === 'writes'
  }
  if (!isWriter(origin) || !isWriter(origins?.self)) return null
  const file: Founded['file'] = (path, identity, members) => {
    mkdirSync(dirname(path), { recursive: true })
    copyFileSync(snapshot, path)
    make(needs, path, identity, members, origin)
  }
  const look = join(needs.directory, `${needs.label}-look.db`)
  const identity = { cluster: needs.cluster, node: 'look:00000000' }
  file(look, identity, { cluster: needs.cluster, members: [] })
  return { origin, beginning: beginningIn(look), file }
}

function make(
  { wrapStore }: EnteringNeeds,
  path: string,
  identity: FileIdentity,
  members: Members,
  self: string,
): void {
  const store = Store.open(path, { functions: FUNCTIONS })
  const origin = { self, cluster: null }
  run(wrapStore(store), { kind: 'found', ticket: 0, identity, base: BASE, members, origin })
  store.close()
}

function beginningIn(path: string): Beginning {
  const store = Store.open(path, { functions: FUNCTIONS })
  const reply = run(store, { kind: 'exchangeState' })
  store.close()
  assert(reply.kind === 'exchangeState', () => reply.kind)
  const { state, origins } = reply
  const { held, applied, stable } = state
  return { held, applied, stable, cluster: origins.cluster }
}

function run(store: RunsCommands, command: StoreCommand): StoreReply {
  const reply = store.run(command)
  assert(reply.kind !== 'failed', () => `${command.kind}: ${JSON.stringify(reply)}`)
  return reply
}

function remove(path: string): void {
  for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true })
}
