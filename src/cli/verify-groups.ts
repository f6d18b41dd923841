/**
 * Compares groups with each other. Each verifies its own replicas at a position of its own log; that
 * two groups hold the same rows can be asked only while both have applied the same entries and stay
 * so. Whether that was the case is looked at before and after.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type ErrorData, toErrorData } from '../base/errors.ts'
import type { NodeStatus, OriginsStatus } from '../model/status.ts'
import type { VerifyReport } from '../node/verifier.ts'
import { postJson, statusOf, type Target } from './node-client.ts'
import { ShellConnection } from './shell/connection.ts'
import { counted, type Paint, printable } from './terminal.ts'
import { isVerified, verifyLines } from './verify-view.ts'

/** What `quorate verify` finds in a cluster of several groups. */
export interface GroupsReport {
  /** No replica differs from its group, none has a problem, and no group is known to differ. */
  readonly identical: boolean
  /** Nothing was written meanwhile, so the groups could be compared. */
  readonly compared: boolean
  /** Tables that differ between groups that had applied the same; `schema` is the schema. */
  readonly different: readonly string[]
  /** By name: what the group's own replicas are like, or why that is not known. */
  readonly groups: Readonly<Record<string, VerifyReport | ErrorData>>
}

/** For one group, which may be large. */
export const VERIFY_TIMEOUT_MS = 10 * 60_000
/** What groups keep each by itself. */
const OWN_TABLES = ['sqlite_sequence', 'quorate_conflicts']
/** A moment without writes is waited for so long; a large database is verified once only. */
const PATIENCE_MS = 5_000
const PAUSE_MS = 500
const ANSWER_MS = 3_000

/** Verifies every group, and again for a while if something was written meanwhile. */
export async function verifyGroups(target: Target, origins: OriginsStatus): Promise<GroupsReport> {
  const groups = placesOf(target, origins)
  const own = new Set([...OWN_TABLES, ...(await shadowTables(target))])
  const end = performance.now() + PATIENCE_MS
  for (;;) {
    const before = await appliedBy(groups)
    const reports = await Promise.all([...groups].map(([name, at]) => verifyGroup(name, at)))
    const after = await appliedBy(groups)
    const compared = before !== null && before === after
    if (compared || performance.now() > end) return toReport(new Map(reports), compared, own)
    await sleep(PAUSE_MS)
  }
}

/** Puts together what the groups said. */
export function toReport(
  groups: ReadonlyMap<string, VerifyReport | ErrorData>,
  compared: boolean,
  own: ReadonlySet<string>,
): GroupsReport {
  const different = compared ? differences([...groups.values()], own) : []
  const good = [...groups.values()].every((group) => 'identical' in group && group.identical)
  const identical = good && different.length === 0
  return { identical, compared, different, groups: Object.fromEntries(groups) }
}

/** Each group's report, and the verdict on all. */
export function groupsLines(report: GroupsReport, paint: Paint): string[] {
  const { groups, compared, different, identical } = report
  const lines = Object.entries(groups).flatMap(([name, group]) => [
    paint('bold', `group ${printable(name)}`),
    ...('code' in group
      ? [paint('red', `! ${group.code}: ${printable(group.detail)}`)]
      : verifyLines(group, paint)),
    '',
  ])
  const count = counted(Object.keys(groups).length, 'group')
  if (!compared) {
    const why = 'They were written to meanwhile, or not all have everything, so that tells nothing.'
    lines.push(paint('yellow', `! The groups were not compared with each other. ${why}`))
  }
  for (const table of different) {
    lines.push(paint('red', `! ${printable(table)} differs between groups`))
  }
  if (identical)
    lines.push(
      paint('green', compared ? `identical: ${count}` : `identical inside each of ${count}`),
    )
  else lines.push(paint('red', `NOT identical: ${count}`))
  return lines
}

/** Tables that are not alike in all groups that could be asked. */
function differences(
  groups: readonly (VerifyReport | ErrorData)[],
  own: ReadonlySet<string>,
): string[] {
  const all = groups.flatMap((group) => {
    const first = 'nodes' in group ? Object.values(group.nodes).find(isVerified) : undefined
    return first === undefined ? [] : [first.tables]
  })
  const names = new Set(all.flatMap((tables) => Object.keys(tables)))
  return [...names]
    .filter((name) => !own.has(name) && new Set(all.map((tables) => tables[name])).size > 1)
    .toSorted()
}

/** Nodes of each group that writes and has been founded, by its name. */
function placesOf(target: Target, origins: OriginsStatus): ReadonlyMap<string, Target> {
  const groups = origins.groups.filter(({ standing, nodes }) => {
    return standing === 'writes' && nodes.length > 0
  })
  return new Map(
    groups.map(({ name, nodes }) => [name, { ...target, urls: nodes.map(({ url }) => url) }]),
  )
}

async function verifyGroup(
  name: string,
  target: Target,
): Promise<readonly [string, VerifyReport | ErrorData]> {
  try {
    const timeoutMs = VERIFY_TIMEOUT_MS
    return [name, await postJson<VerifyReport>(target, '/admin/verify', {}, timeoutMs)]
  } catch (error) {
    return [name, toErrorData(error)]
  }
}

/** What all groups have applied, if it is the same everywhere; null otherwise. */
async function appliedBy(groups: ReadonlyMap<string, Target>): Promise<string | null> {
  const said = await Promise.all([...groups.values()].map((target) => leaderOf(target)))
  const applied = said.map((status) => JSON.stringify(appliedIn(status)))
  return said.includes(null) || new Set(applied).size !== 1 ? null : (applied[0] ?? null)
}

function appliedIn(status: NodeStatus | null): unknown {
  const groups = status?.origins?.groups ?? []
  return groups.map(({ origin, applied }) => [origin, applied]).toSorted()
}

/** A group's leader as it sees itself; null if it can't be asked. */
async function leaderOf({ urls, token }: Target): Promise<NodeStatus | null> {
  for (const url of urls) {
    const status = await statusOf(url, token, ANSWER_MS)
    if (status?.role === 'leader') return status
    if (status?.leader) return await statusOf(status.leader.url, token, ANSWER_MS)
  }
  return null
}

/** Where full-text and R*Tree tables keep what they are made of: each group orders that its own way. */
async function shadowTables(target: Target): Promise<string[]> {
  const connection = new ShellConnection(target, { timeoutMs: ANSWER_MS * 10 })
  try {
    const sql = "select name from pragma_table_list where schema = 'main' and type = 'shadow'"
    const { rows } = await connection.run({ sql })
    return rows.map(([name]) => String(name))
  } finally {
    connection.close()
  }
}
