/**
 * The cluster of several origins as JSON: in entries of the keeper, in stores, and in answers to
 * `joinGroup`. Apart from origin-codec.ts, because this runs wherever JSON does. What it reads is
 * another machine's, so everything is checked; what is wrong is BAD_REQUEST.
 */
import { bad, fields, known, list, oneOf, originName, text, whole } from './fields.ts'
import {
  type Cluster,
  type ClusterOrigin,
  type GroupNode,
  ID_SLOTS,
  type RuleChange,
} from './origin-entry.ts'
import type { GroupAdmission } from './request.ts'

const STRATEGIES_OF_SEVERAL = ['multi-leader', 'peer'] as const
/** Nodes of one group: members, above what LIMITS.membersMax allows. */
const NODES_MAX = 256

/** For JSON.stringify, which writes nothing of a map: as pairs, and so decodeCluster reads it. */
export function mapsAsPairs(_key: string, value: unknown): unknown {
  return value instanceof Map ? [...value] : value
}

/** The text that decodeCluster reads, once it is parsed. */
export function clusterToJson(cluster: Cluster): string {
  return JSON.stringify(cluster, mapsAsPairs)
}

/**
 * Checks what clusterToJson wrote: that keeper and slots fit too. Throws BAD_REQUEST.
 *
 * @param value parsed JSON
 */
export function decodeCluster(value: unknown): Cluster {
  const json = fields(value, 'cluster')
  const origins = list(json['origins'], 'cluster.origins').map(clusterOrigin)
  const keeper = originName(json['keeper'], 'cluster.keeper')
  for (const field of ['origin', 'slot'] as const) {
    if (new Set(origins.map((each) => each[field])).size < origins.length) {
      throw bad('cluster.origins', `a list with every ${field} once`, origins)
    }
  }
  if (!origins.some(({ origin }) => origin === keeper)) {
    throw bad('cluster.keeper', 'one of its origins', keeper)
  }
  return {
    strategy: oneOf(json['strategy'], 'cluster.strategy', STRATEGIES_OF_SEVERAL),
    epoch: whole(json['epoch'], 'cluster.epoch'),
    keeper,
    origins,
    floor: known(json['floor'], 'cluster.floor'),
    ...(json['takenFrom'] === undefined ? {} : { takenFrom: takenFrom(json['takenFrom']) }),
    ...(json['agreeing'] === undefined ? {} : { agreeing: whole(json['agreeing'], 'agreeing') }),
    ...(json['moved'] === undefined ? {} : { moved: moved(json['moved']) }),
  }
}

function moved(value: unknown): NonNullable<Cluster['moved']> {
  const json = fields(value, 'cluster.moved')
  return {
    origin: originName(json['origin'], 'moved.origin'),
    ...(json['zone'] === undefined ? {} : { zone: text(json['zone'], 'moved.zone') }),
    since: whole(json['since'], 'moved.since'),
  }
}

function takenFrom(value: unknown): readonly string[] {
  return list(value, 'cluster.takenFrom').map((each) => originName(each, 'cluster.takenFrom'))
}

function clusterOrigin(value: unknown): ClusterOrigin {
  const json = fields(value, 'origin')
  const slot = whole(json['slot'], 'origin.slot')
  if (slot >= ID_SLOTS) throw bad('origin.slot', `below ${ID_SLOTS}`, slot)
  return {
    origin: originName(json['origin'], 'origin.origin'),
    name: text(json['name'], 'origin.name'),
    founder: text(json['founder'], 'origin.founder'),
    slot,
    ...(json['zone'] === undefined ? {} : { zone: text(json['zone'], 'origin.zone') }),
    standing: standing(json['standing']),
  }
}

function standing(value: unknown): ClusterOrigin['standing'] {
  const json = fields(value, 'origin.standing')
  const kind = oneOf(json['kind'], 'standing.kind', ['writes', 'frozen', 'removed'] as const)
  switch (kind) {
    case 'writes':
      return { kind, since: whole(json['since'], 'standing.since') }
    case 'frozen':
      return { kind }
    case 'removed':
      return { kind, last: whole(json['last'], 'standing.last') }
  }
}

/** Where the nodes of a group are. Throws BAD_REQUEST. */
export function decodeGroupNodes(value: unknown): readonly GroupNode[] {
  const nodes = list(value, 'nodes')
  if (nodes.length > NODES_MAX) throw bad('nodes', `at most ${NODES_MAX}`, nodes)
  return nodes.map((each) => {
    const json = fields(each, 'node')
    return {
      id: text(json['id'], 'node.id'),
      name: text(json['name'], 'node.name'),
      url: text(json['url'], 'node.url'),
    }
  })
}

/** A rule as the keeper tells it; whether it fits the schema is the store's to say. Throws BAD_REQUEST. */
export function decodeRule(value: unknown): RuleChange {
  const json = fields(value, 'rule')
  return {
    table: text(json['table'], 'rule.table'),
    column: text(json['column'], 'rule.column'),
    rule: text(json['rule'], 'rule.rule'),
  }
}

/** The answer to `joinGroup`, which travels with mapsAsPairs. Throws BAD_REQUEST for anything else. */
export function decodeAdmission(value: unknown): GroupAdmission {
  const json = fields(value, 'admission')
  return {
    origin: originName(json['origin'], 'admission.origin'),
    cluster: decodeCluster(json['cluster']),
    nodes: decodeGroupNodes(json['nodes']),
  }
}
