/** After the load: are all replicas equal, and is each acknowledged write there exactly once? */

import { hasApplied, madeBy } from '../../bench/levelling.ts'
import { connect, type RemoteDb } from '../../client/index.ts'
import type { NodeStatus } from '../../model/status.ts'
import type { VerifyReport } from '../../node/verifier.ts'
import type { Verified } from '../../store/types.ts'
import type { DemoCluster } from './cluster.ts'
import { type Audit, audit, type ClientRecord, type ReplicaContent, worst } from './ledger.ts'

const SETTLE_MS = 60_000
const VERIFY_MS = 120_000
const PAGE_ROWS = 20_000

export interface CheckResult extends Audit {
  readonly identical: boolean
  /** Rows of the conflict table. */
  readonly conflicts: number
  /** Why replicas are not identical, or problems that a replica's own checks found. */
  readonly problems: readonly string[]
}

/** Waits until the replicas are level, then reads all of them and compares. */
export async function checkCluster(
  cluster: DemoCluster,
  records: readonly ClientRecord[],
): Promise<CheckResult> {
  await cluster.until('all replicas have applied the same', SETTLE_MS, () => isLevel(cluster))
  const reports = await Promise.all(
    cluster.groups.map((group) =>
      cluster.post<VerifyReport>('/admin/verify', {}, { group, timeoutMs: VERIFY_MS }),
    ),
  )
  const nodes = Object.assign({}, ...reports.map((report) => report.nodes)) as VerifyReport['nodes']
  const { hasOrigins } = cluster
  const contents = await Promise.all(cluster.urls.map((url) => readReplica(url, hasOrigins)))
  const names = cluster.names
  const different = differences(nodes)
  return {
    ...worst(contents.map((content) => audit(records, content))),
    identical: reports.every((report) => report.identical) && different.length === 0,
    conflicts: Math.max(...contents.map(({ conflicts }) => conflicts)),
    problems: [
      ...different.map((table) => `table ${table} is not the same in all groups`),
      ...Object.entries(nodes).flatMap(([name, result]) => problemsOf(name, result)),
      ...contents.flatMap(({ derived }, at) => derived.map((text) => `${names[at]}: ${text}`)),
    ],
  }
}

/** What AUTOINCREMENT goes on from is each group's own. */
const OWN_OF_GROUP = 'sqlite_sequence'

/** Tables whose checksums are not the same everywhere; each group has been compared by itself. */
function differences(nodes: VerifyReport['nodes']): string[] {
  const all = Object.values(nodes).flatMap((result) => ('code' in result ? [] : [result.tables]))
  const tables = new Set(all.flatMap((each) => Object.keys(each)))
  tables.delete(OWN_OF_GROUP)
  return [...tables].filter((table) => new Set(all.map((each) => each[table])).size > 1)
}

/** What triggers keep up to date must fit the rows, as if each had fired once: [what, query]. */
const DERIVED: readonly (readonly [string, string])[] = [
  [
    'countries whose counts are not those of their cities',
    `SELECT count(*) AS n FROM country WHERE (cities, population) IS NOT
      (SELECT count(*), coalesce(sum(population), 0) FROM city WHERE city.country = country.code)`,
  ],
  [
    'cities that the full-text index does not find',
    `SELECT abs((SELECT count(*) FROM city_search WHERE city_search MATCH 'favourite') -
      (SELECT count(*) FROM city WHERE name LIKE '%favourite%')) AS n`,
  ],
]

/** Each group by itself, and between groups nothing that one has and another has not. */
function isLevel(cluster: DemoCluster): boolean {
  return cluster.groups.every((group) => isGroupLevel(cluster, group)) && isExchanged(cluster)
}

function isGroupLevel(cluster: DemoCluster, group: string): boolean {
  const statuses = cluster.samplesOf(group).map(({ status }) => status)
  const positions = statuses.map((status) => status?.log.applied ?? -1)
  const leads = statuses.some((status) => status?.role === 'leader')
  const [first] = positions
  return (
    leads &&
    first !== -1 &&
    positions.every((position) => position === first) &&
    statuses.every((status) => status?.log.last === first)
  )
}

/** Whether every replica has applied what the groups had made when they were asked just now. */
function isExchanged(cluster: DemoCluster): boolean {
  const statuses = statusesOf(cluster)
  const made = madeBy(statuses)
  return statuses.every((status) => hasApplied(status, made))
}

/** Waits until everything that had been made is everywhere; under load, so not for what comes after. */
export async function untilExchanged(cluster: DemoCluster): Promise<boolean> {
  await cluster.poll()
  const made = madeBy(statusesOf(cluster))
  const isLevel = () => statusesOf(cluster).every((status) => hasApplied(status, made))
  return await cluster.until('all groups are level', SETTLE_MS, isLevel).then(
    () => true,
    () => false,
  )
}

function statusesOf(cluster: DemoCluster): readonly (NodeStatus | null)[] {
  return cluster.samples.map(({ status }) => status)
}

function problemsOf(name: string, result: VerifyReport['nodes'][string]): string[] {
  if ('code' in result) return [`${name}: ${result.code}: ${result.detail}`]
  const verified: Verified = result
  return verified.problems.map((problem) => `${name}: ${problem}`)
}

/** Everything the load wrote, as this very replica holds it. */
async function readReplica(
  url: string,
  hasOrigins: boolean,
): Promise<ReplicaContent & { readonly derived: readonly string[]; readonly conflicts: number }> {
  const db = connect(url, { fetch: onlyAt(url), read: 'local', timeoutMs: 30_000 })
  try {
    const visits: { client: string; number: number }[] = []
    for (let last = 0; ; ) {
      const page = await visitsAfter(db, last)
      for (const { client, number } of page) visits.push({ client, number })
      const end = page.at(-1)
      if (end === undefined || page.length < PAGE_ROWS) break
      last = end.id
    }
    const counters = await db.query('SELECT name, visits FROM client')
    const derived: string[] = []
    for (const [what, sql] of DERIVED) {
      const n = Number((await db.query(sql))[0]?.['n'])
      if (n !== 0) derived.push(`${n} ${what}`)
    }
    const seats = await db.query('SELECT client, number FROM seat')
    const kept = hasOrigins ? await conflictsOf(db) : []
    return {
      visits,
      derived,
      claims: new Set(seats.map(({ client, number }) => `${client} ${number}`)),
      lostClaims: new Set(kept.map(({ claim }) => claim).filter((claim) => claim !== null)),
      conflicts: kept.length,
      counters: new Map(counters.map((row) => [String(row['name']), Number(row['visits'])])),
    }
  } finally {
    db.close()
  }
}

/** What the conflict table keeps; `claim` of those that lost a seat. */
async function conflictsOf(db: RemoteDb): Promise<{ readonly claim: string | null }[]> {
  const rows = await db.query('SELECT name, lost FROM quorate_conflicts')
  return rows.map(({ name, lost }) => ({
    claim: name === 'seat' && lost !== null ? claimOf(String(lost)) : null,
  }))
}

/** Of a row of `seat` as the conflict table keeps it. */
function claimOf(lost: string): string | null {
  const [, , client, number] = JSON.parse(lost) as [unknown, unknown, string?, number?]
  return client === undefined || number === undefined ? null : `${client} ${number}`
}

async function visitsAfter(
  db: RemoteDb,
  id: number,
): Promise<{ readonly id: number; readonly client: string; readonly number: number }[]> {
  const sql = `SELECT id, client, number FROM visit WHERE id > ? ORDER BY id LIMIT ${PAGE_ROWS}`
  const rows = await db.query(sql, [id])
  return rows.map((row) => ({
    id: Number(row['id']),
    client: String(row['client']),
    number: Number(row['number']),
  }))
}

/** The client would ask another node where this one doesn't answer, which would check nothing. */
function onlyAt(url: string): typeof fetch {
  return async (input, init) => {
    if (!String(input).startsWith(`${url}/`)) throw new TypeError('only this replica counts')
    return await fetch(input, init)
  }
}
