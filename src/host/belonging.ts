/**
 * Finds out whose a node's file is, and if it is nobody's, gets it into a cluster: the file is
 * adopted by its own new cluster, by a group that exists, or becomes the first of a new group.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { present } from '../base/assert.ts'
import { type NodeId, toLogIndex, toTerm } from '../base/brand.ts'
import { type ErrorCode, QuorateError } from '../base/errors.ts'
import { isOfGroups } from '../model/levels.ts'
import type { Member, Members } from '../model/members.ts'
import type { Cluster, Strategy } from '../model/origin-entry.ts'
import type { NodeOptions } from '../node/options.ts'
import { loadIdentity, resolveIdentity, saveIdentity } from '../store/files/hard-state.ts'
import type { OpenStore } from '../store/store-port.ts'
import type { StoreCommand, StoreState } from '../store/types.ts'
import { begin, type Promises, type Start } from './founding.ts'
import { foundGroup } from './group-founding.ts'
import { groupOf, zoneOf } from './group-joining.ts'
import { post } from './joining.ts'
import { submit } from './open-store.ts'

/** What belonging needs of the host. */
export interface Surroundings {
  readonly options: NodeOptions
  readonly folder: string
  /** Drawn for a node that has none. */
  readonly id: NodeId
  /** Where others reach this node. */
  readonly url: string
  readonly promises: Promises
  /** The file's only store; it is opened anew after the file has changed hands. */
  readonly files: { open(): Promise<OpenStore>; shut(): Promise<void> }
  /** Is told why the node waits. */
  readonly tell: (reason: string) => void
  readonly signal: AbortSignal
}

/** Whose the file is now. */
export interface Belonging {
  readonly id: NodeId
  readonly state: StoreState
  /** What decides the levels of calls that name none. */
  readonly strategy: Strategy
}

const PAUSE_MS = 500
/** The first entry of a group's log stands for all that was in the file before. */
const FIRST = { term: toTerm(1), index: toLogIndex(1) }
const NOTHING = { term: toTerm(0), index: toLogIndex(0) }
/** What a copy of another node's file may fail with, and work a little later. */
const PASSING: readonly ErrorCode[] = ['NOT_READY', 'UNREACHABLE', 'NO_LEADER', 'OVERLOADED']

/**
 * Opens the store and makes its file part of a cluster if it is of none.
 *
 * @throws QuorateError FILE_IS_COPY, BAD_CONFIG if what the node was told is not what its file says,
 *   and what `begin` throws
 */
export async function belong(around: Surroundings): Promise<Belonging> {
  const { folder, options, files } = around
  const store = await files.open()
  const { state } = store
  const verdict = resolveIdentity(state.identity, loadIdentity(folder))
  if (verdict.kind === 'copy') {
    const detail = `${verdict.reason} The file says it is node ${verdict.was.node}.`
    throw new QuorateError('FILE_IS_COPY', detail)
  }
  if (verdict.kind === 'member') {
    checkOptions(options, state)
    if (loadIdentity(folder)?.cluster == null) saveIdentity(folder, verdict)
    return { id: verdict.id, state, strategy: state.origins?.cluster.strategy ?? 'leader' }
  }
  const id = verdict.id ?? around.id
  // Kept from now on: others may have promised to follow this very id, or wait for it to found.
  saveIdentity(folder, { id, cluster: null })
  const strategy = await enter({ ...around, id }, store)
  // Read again from the file, so that a fresh node and a restarted one begin alike.
  await files.shut()
  const entered = await files.open()
  const identity = present(entered.state.identity, () => 'identity of a file that was founded')
  saveIdentity(folder, { id, cluster: identity.cluster })
  return { id, state: entered.state, strategy }
}

/** Gets a fresh file into a cluster. */
async function enter(around: Surroundings, fresh: OpenStore): Promise<Strategy> {
  const { options, id, url, promises, tell, signal } = around
  let store = fresh
  for (;;) {
    const start = await begin(options, { id, url }, promises, tell, signal)
    if (start.kind !== 'foundGroup') return await found(start, around, store)
    await around.files.shut()
    try {
      await copyGroup(start, around)
      return start.strategy
    } catch (error) {
      if (!(error instanceof QuorateError) || !PASSING.includes(error.code)) {
        if (!signal.aborted) await withdraw(start, around)
        throw error
      }
      tell(error.detail)
    }
    store = await around.files.open()
    await sleep(PAUSE_MS, undefined, { signal })
  }
}

/** Founds the cluster, or begins with nothing and gets all from the group's leader. */
async function found(
  start: Exclude<Start, { kind: 'foundGroup' }>,
  around: Surroundings,
  store: OpenStore,
): Promise<Strategy> {
  const { options, id } = around
  const joins = start.kind === 'join'
  const strategy = joins ? start.strategy : (options.strategy ?? 'leader')
  const members = joins ? start.members : aloneIn(randomBytes(8).toString('hex'), around)
  checkLevels(options, strategy)
  const origin = joins ? null : foundingOrigin(strategy, options, id)
  const command: StoreCommand = {
    kind: 'found',
    ticket: 0,
    identity: { cluster: members.cluster, node: id },
    base: joins ? NOTHING : FIRST,
    members,
    ...(origin === null ? {} : { origin }),
  }
  await submit(store.port, command)
  return strategy
}

/** The first of the cluster's origins; null: it has none. */
function foundingOrigin(
  strategy: Strategy,
  options: NodeOptions,
  id: NodeId,
): { readonly self: string; readonly cluster: Cluster } | null {
  if (strategy === 'leader') {
    const given = options.group !== null ? 'group' : options.zone !== null ? 'zone' : null
    if (given === null) return null
    throw new QuorateError('BAD_CONFIG', `${given} needs strategy multi-leader or peer.`)
  }
  const name = groupOf(strategy, options)
  const self = `${name}-${randomBytes(3).toString('hex')}`
  const standing = { kind: 'writes', since: 1 } as const
  const zone = zoneOf(options)
  const origins = [{ origin: self, name, founder: id, slot: 0, standing, ...zone }]
  return { self, cluster: { strategy, epoch: 1, keeper: self, origins, floor: new Map() } }
}

async function copyGroup(
  { origin, url }: Extract<Start, { kind: 'foundGroup' }>,
  around: Surroundings,
): Promise<void> {
  const { folder, id, options, signal } = around
  const { file, token, mergeFunctions } = options
  const first = memberOf(around)
  const about = { file, folder, url, token, node: id, origin, first, mergeFunctions }
  await foundGroup(about, signal)
}

/**
 * A group that this node can't found, and nobody else may, would keep the others waiting for what it
 * has to say. Should this fail too, a person removes it.
 */
async function withdraw(
  { url, group }: Extract<Start, { kind: 'foundGroup' }>,
  { options, signal }: Surroundings,
): Promise<void> {
  await post(url, '/admin/group-remove', { group }, options.token, signal).catch(() => {})
}

function aloneIn(cluster: string, around: Surroundings): Members {
  return { cluster, members: [memberOf(around)] }
}

function memberOf({ id, url, options: { name, priority } }: Surroundings): Member {
  return { id, name, url, role: 'voter', wants: 'voter', priority }
}

/** Throws BAD_CONFIG if a node that is a member was told something else than it is. */
function checkOptions(options: NodeOptions, { origins, log }: StoreState): void {
  const { strategy, group, zone } = options
  // A joiner that was stopped before the first snapshot came does not know.
  if (origins === null && log.last.index === 0) return
  const actual = origins?.cluster.strategy ?? 'leader'
  checkLevels(options, actual)
  if (strategy !== null && strategy !== actual) {
    const detail = `strategy: the node was told ${strategy}, and its cluster has ${actual}.`
    throw new QuorateError('BAD_CONFIG', detail)
  }
  if (zone !== null && origins === null) {
    const detail = `zone: the node was told ${zone}, and its cluster has no groups.`
    throw new QuorateError('BAD_CONFIG', detail)
  }
  const own = origins?.cluster.origins.find(({ origin }) => origin === origins.self)?.name ?? null
  if (group === null || group === own) return
  const is = own === null ? 'its cluster has no groups' : `it is of ${own}`
  throw new QuorateError('BAD_CONFIG', `group: the node was told ${group}, and ${is}.`)
}

/** Throws BAD_CONFIG for levels that every write, or every read, would be refused at. */
function checkLevels({ ack, read }: NodeOptions, strategy: Strategy): void {
  if (strategy !== 'leader') return
  for (const [key, level] of Object.entries({ ack, read })) {
    if (level === null || !isOfGroups(level)) continue
    throw new QuorateError('BAD_CONFIG', `${key} ${level} needs strategy multi-leader or peer.`)
  }
}
