/**
 * What a node must remember beside its database: term and vote, and who it is. Both live in
 * `<database>-quorate/`, not in the database, because a vote must be durable before it is said
 * while the database's writer may be busy for long, and because a copied database must be
 * recognised as a copy: it comes without this folder, or with another node's.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type NodeId, toNodeId, toTerm } from '../../base/brand.ts'
import { QuorateError } from '../../base/errors.ts'
import type { HardState } from '../../core/order/leader/types.ts'
import type { FileIdentity } from '../types.ts'
import { readIfThere, syncDirectory, writeDurably } from './durable-file.ts'

/** Who the folder says this node is. */
export interface FolderIdentity {
  readonly id: NodeId
  /** null until the node has founded or joined one. */
  readonly cluster: string | null
}

/** The folder of what belongs to a database but is not in it. Made if it is not there. */
export function openFolder(databasePath: string): string {
  const folder = `${databasePath}-quorate`
  if (mkdirSync(folder, { recursive: true }) !== undefined) syncDirectory(dirname(databasePath))
  return folder
}

/** Makes term and vote durable before it returns. */
export function saveHardState(folder: string, state: HardState): void {
  save(join(folder, 'vote'), { term: state.term, vote: state.vote })
}

/**
 * Term and vote as last saved; null if there never were any.
 *
 * Throws LOG_CORRUPT if the file is damaged: a node that forgot its vote may not guess one.
 */
export function loadHardState(folder: string): HardState | null {
  return load(join(folder, 'vote'), (content) => {
    const { term, vote } = content
    if (!Number.isSafeInteger(term) || (term as number) < 0) return null
    if (vote !== null && (typeof vote !== 'string' || vote === '')) return null
    return { term: toTerm(term as number), vote: vote === null ? null : toNodeId(vote) }
  })
}

/** Makes the node's identity durable before it returns. */
export function saveIdentity(folder: string, identity: FolderIdentity): void {
  save(join(folder, 'identity.json'), { id: identity.id, cluster: identity.cluster })
}

/** The node's identity as last saved; null if there is none. Throws LOG_CORRUPT if damaged. */
export function loadIdentity(folder: string): FolderIdentity | null {
  return load(join(folder, 'identity.json'), ({ id, cluster }) => {
    if (typeof id !== 'string' || id === '') return null
    if (cluster !== null && typeof cluster !== 'string') return null
    return { id: toNodeId(id), cluster }
  })
}

/** A fresh identity for a node: its name, and eight random digits for this disk. */
export function drawNodeId(name: string): NodeId {
  return toNodeId(`${name}:${randomBytes(4).toString('hex')}`)
}

/** What a database file and its folder together say about the node. */
export type IdentityVerdict =
  /** Nobody yet: draw an id, or go on with the one drawn before a start that was interrupted. */
  | { readonly kind: 'new'; readonly id: NodeId | null }
  /** The member that it was. */
  | { readonly kind: 'member'; readonly id: NodeId; readonly cluster: string }
  /**
   * A copied, restored or replaced file. The member `was` may be alive elsewhere, or may have
   * promised things that this disk does not know: it must not vote, append or acknowledge in that
   * name, but join under a new id.
   */
  | { readonly kind: 'copy'; readonly was: FileIdentity; readonly reason: string }

/**
 * Decides whether a database file may go on as the node that it says it is.
 *
 * @param file what the database file says; null if it belongs to no cluster
 * @param folder what the folder beside it says; null if it says nothing
 */
export function resolveIdentity(
  file: FileIdentity | null,
  folder: FolderIdentity | null,
): IdentityVerdict {
  if (file === null) {
    if (folder === null || folder.cluster === null) return { kind: 'new', id: folder?.id ?? null }
    const was = { cluster: folder.cluster, node: folder.id }
    return { kind: 'copy', was, reason: 'The database was replaced by one without a log.' }
  }
  if (folder === null) {
    return { kind: 'copy', was: file, reason: 'The folder beside the database is missing.' }
  }
  if (folder.id !== file.node) {
    const reason = `The folder beside the database is that of node ${folder.id}.`
    return { kind: 'copy', was: file, reason }
  }
  if (folder.cluster !== null && folder.cluster !== file.cluster) {
    const reason = `The folder beside the database is of cluster ${folder.cluster}.`
    return { kind: 'copy', was: file, reason }
  }
  return { kind: 'member', id: folder.id, cluster: file.cluster }
}

/** One line of JSON, one of its checksum: readable by people, and damage shows. */
function save(path: string, content: object): void {
  const text = JSON.stringify({ version: 1, ...content })
  writeDurably(path, `${text}\n${crc32(text).toString(16)}\n`)
}

function load<T>(
  path: string,
  parse: (content: Readonly<Record<string, unknown>>) => T | null,
): T | null {
  const text = readIfThere(path)
  if (text === null) return null
  const [line = '', checksum] = text.split('\n')
  if (crc32(line).toString(16) === checksum) {
    const content = JSON.parse(line) as Readonly<Record<string, unknown>>
    const value = content['version'] === 1 ? parse(content) : null
    if (value !== null) return value
  }
  throw new QuorateError('LOG_CORRUPT', `The file ${path} is damaged.`)
}
