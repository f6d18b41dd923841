/** After the load: are all replicas equal, and is each acknowledged write there exactly once? */

import { connect, type RemoteDb } from '../../client/index.ts'
import type { Verified } from '../../store/types.ts'
import type { VerifyReport } from '../commands/verify.ts'
import type { DemoCluster } from './cluster.ts'
import { type Audit, audit, type ClientRecord, type ReplicaContent, worst } from './ledger.ts'

const SETTLE_MS = 60_000
const VERIFY_MS = 120_000
const PAGE_ROWS = 20_000

export interface CheckResult extends Audit {
  readonly identical: boolean
  /** Why replicas are not identical, or problems that a replica's own checks found. */
  readonly problems: readonly string[]
}

/** Waits until the replicas are level, then reads all of them and compares. */
export async function checkCluster(
  cluster: DemoCluster,
  records: readonly ClientRecord[],
): Promise<CheckResult> {
  await cluster.until('all replicas have applied the same', SETTLE_MS, () => isLevel(cluster))
  const report = await cluster.post<VerifyReport>('/admin/verify', {}, VERIFY_MS)
  const contents = await Promise.all(cluster.urls.map(readReplica))
  const names = cluster.names
  return {
    ...worst(contents.map((content) => audit(records, content))),
    identical: report.identical,
    problems: [
      ...Object.entries(report.nodes).flatMap(([name, result]) => problemsOf(name, result)),
      ...contents.flatMap(({ derived }, at) => derived.map((text) => `${names[at]}: ${text}`)),
    ],
  }
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

function isLevel(cluster: DemoCluster): boolean {
  const statuses = cluster.samples.map(({ status }) => status)
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

function problemsOf(name: string, result: VerifyReport['nodes'][string]): string[] {
  if ('code' in result) return [`${name}: ${result.code}: ${result.detail}`]
  const verified: Verified = result
  return verified.problems.map((problem) => `${name}: ${problem}`)
}

/** Everything the load wrote, as this very replica holds it. */
async function readReplica(
  url: string,
): Promise<ReplicaContent & { readonly derived: readonly string[] }> {
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
    return {
      visits,
      derived,
      counters: new Map(counters.map((row) => [String(row['name']), Number(row['visits'])])),
    }
  } finally {
    db.close()
  }
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
