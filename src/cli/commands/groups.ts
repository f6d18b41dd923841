/** `quorate groups`: the groups of a cluster with several leaders, and changes to that. */
import type { Command } from 'commander'
import { QuorateError } from '../../base/errors.ts'
import type { GroupStatus, NodeStatus, OriginsStatus } from '../../model/status.ts'
import { cutSentences } from '../../node/origins/origins-status.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { getJson, postJson, statusOf, type Target } from '../node-client.ts'
import { print, printJson, usageError } from '../output.ts'
import {
  type Cell,
  count,
  duration,
  type Paint,
  paintFor,
  printable,
  tableLines,
} from '../terminal.ts'

const HELP = `
A group comes in by itself: start its first node with \`quorate serve … --join URL --group NAME\`.
Remove one that is gone for good; until then it holds back what is final.

zone tells where a group is, for the levels local-quorum and each-quorum; with --none it is in no
zone. Groups without a zone are one together. Every group must hear of one such change before the next.

cut and heal are for trying out what happens: the group that is asked neither gives anything to the
other one nor takes anything from it. What others hand on still comes.

keeper has another group order changes of schema, rules and groups. With --force a group takes that
over from one that is gone for good, which is removed; most groups must be in reach and must not hear
the one that is gone. With --alone they need not: what that group had not handed on is lost to the
others, even if it was alive.

Examples:
  quorate groups
  quorate groups cut west --url http://10.0.0.1:7001
  quorate groups heal west --url http://10.0.0.1:7001
  quorate groups remove west
  quorate groups zone west eu
  quorate groups keeper west --force --url http://10.0.0.2:7001`

/** Agreeing with all groups takes as long as the slowest answers. */
const AGREE_TIMEOUT_MS = 120_000
const ANSWER_MS = 1_500

export function registerGroups(root: Command): void {
  const groups = root
    .command('groups')
    .summary('list or change the groups of the cluster')
    .description('Lists the groups of the cluster, or changes them.')
  withJson(withTarget(groups))
    .addHelpText('after', HELP)
    .action(async (flags: CommonFlags) => await list(flags))
  groups
    .command('list')
    .description('Lists the groups.')
    .action(async (_flags: unknown, command: Command) => {
      await list(command.optsWithGlobals<CommonFlags>())
    })
  groups
    .command('remove <name>')
    .description('Removes a group for good; the others agree on what of its writes counts.')
    .action(async (group: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<CommonFlags>()
      const path = '/admin/group-remove'
      const answer = await postJson(targetOf(flags), path, { group }, AGREE_TIMEOUT_MS)
      if (flags.json) printJson(answer)
      else print(`${printable(group)} is no longer a group of this cluster.`)
    })
  groups
    .command('zone <name> [zone]')
    .description('Tells in which zone a group is, for levels that count by zone.')
    .option('--none', 'it is in none')
    .action(async (group: string, zone: string | undefined, _flags: unknown, command: Command) => {
      await setZone(
        group,
        zone,
        command.optsWithGlobals<CommonFlags & { readonly none?: boolean }>(),
      )
    })
  groups
    .command('keeper <name>')
    .description('Has another group order changes of schema, rules and groups.')
    .option('--force', 'take over from the one that does, because it is gone for good')
    .option('--alone', 'with --force: though most groups are out of reach')
    .action(async (group: string, _flags: unknown, command: Command) => {
      await moveKeeper(group, command.optsWithGlobals<CommonFlags & KeeperFlags>())
    })
  link(groups, 'cut', 'Stops exchanging writes with a group.', 'Nothing is exchanged with')
  link(groups, 'heal', 'Exchanges writes with a group again.', 'Writes are exchanged again with')
}

async function setZone(
  group: string,
  zone: string | undefined,
  flags: CommonFlags & { readonly none?: boolean },
): Promise<void> {
  if ((zone === undefined) !== (flags.none === true) || zone === '') {
    throw usageError('Give either the name of a zone or --none.')
  }
  const body = { group, zone: zone ?? null }
  const answer = await postJson(targetOf(flags), '/admin/group-zone', body, AGREE_TIMEOUT_MS)
  if (flags.json) printJson(answer)
  else if (zone === undefined) print(`${printable(group)} is in no zone now.`)
  else print(`${printable(group)} is in zone ${printable(zone)} now.`)
}

interface KeeperFlags {
  readonly force?: boolean
  readonly alone?: boolean
}

async function moveKeeper(group: string, flags: CommonFlags & KeeperFlags): Promise<void> {
  const { force = false, alone = false } = flags
  if (alone && !force) throw usageError('--alone goes with --force only.')
  const target = targetOf(flags)
  const { keeper } = await originsOf(target)
  const body = { group, force, alone }
  const answer = await postJson(target, '/admin/group-keeper', body, AGREE_TIMEOUT_MS)
  const since = keeper === group ? 'already' : 'now'
  if (flags.json) printJson(answer)
  else print(`${printable(group)} orders changes of schema, rules and groups ${since}.`)
}

function link(groups: Command, kind: 'cut' | 'heal', description: string, did: string): void {
  groups
    .command(`${kind} <name>`)
    .description(description)
    .action(async (group: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<CommonFlags>()
      const body = { group, cut: kind === 'cut' }
      const answer = await postJson(targetOf(flags), '/admin/group-cut', body)
      if (flags.json) printJson(answer)
      else {
        print(`${did} ${printable(group)}.`)
        if (kind === 'heal') return
        const { groups } = await originsOf(targetOf(flags))
        const others = groups.filter(({ standing, cut }) => standing === 'writes' && cut !== true)
        if (others.length > 1) print('What other groups hand on still comes.')
      }
    })
}

async function list(flags: CommonFlags): Promise<void> {
  const origins = await originsOf(targetOf(flags))
  if (flags.json) printJson(origins)
  else print(...groupLines(origins, paintFor(process.stdout)))
}

/** As the leader of the group that is asked sees them, if it can be reached. */
async function originsOf(target: Target): Promise<OriginsStatus> {
  const asked = await getJson<NodeStatus>(target, '/status')
  if (asked.cluster === null) {
    throw new QuorateError('NOT_READY', `${asked.name} does not belong to a cluster yet.`)
  }
  if (asked.origins === null) {
    throw new QuorateError('NO_GROUPS', 'This cluster has one leader for all nodes, and no groups.')
  }
  const { leader } = asked
  if (asked.role === 'leader' || leader === null) return asked.origins
  const leading = await statusOf(leader.url, target.token, ANSWER_MS)
  return leading?.origins ?? asked.origins
}

/** The groups as the answering node sees them. */
export function groupLines(origins: OriginsStatus, paint: Paint): string[] {
  const hasZones = origins.groups.some(({ zone }) => zone !== null)
  const columns = [
    { title: 'group' },
    ...(hasZones ? [{ title: 'zone' }] : []),
    { title: 'nodes' },
    { title: 'state' },
    { title: 'link' },
    { title: 'behind', align: 'right' },
    { title: 'applied', align: 'right' },
    { title: 'origin' },
  ] as const
  const rows = origins.groups.map((group) => {
    const [name = '', ...others] = rowOf(group, origins)
    return hasZones ? [name, group.zone ?? '·', ...others] : [name, ...others]
  })
  const lines = tableLines(columns, rows, paint)
  lines.push('', `${origins.keeper} orders changes of schema, rules and groups.`)
  if (origins.stableLagMs !== null) lines.push(finality(origins.stableLagMs))
  const cuts = origins.groups.flatMap((group) => cutSentences(group, origins.group))
  lines.push(...cuts.map((sentence) => paint('yellow', `! ${sentence}`)))
  for (const { name, unknownTo } of origins.groups) {
    if (unknownTo === null || unknownTo.length === 0) continue
    const others = unknownTo.join(', ')
    lines.push(
      paint(
        'yellow',
        `! ${name} neither writes nor counts for levels before it is known to ${others}.`,
      ),
    )
  }
  if (origins.held) {
    lines.push(paint('yellow', '! Writes wait: the schema or the rules are being changed.'))
  }
  return lines
}

/** How far the order of writes can't change any more, as a sentence. */
function finality(lagMs: number): string {
  if (lagMs === 0) return 'The order of all writes is final.'
  return `The order of writes is final up to ${duration(lagMs)} ago.`
}

function rowOf(group: GroupStatus, { group: own, groups }: OriginsStatus): Cell[] {
  const { name, origin, standing, nodes, applied, behind } = group
  // One that was removed may have joined anew under its name.
  const isOwn = name === own && group === groups.findLast((each) => each.name === own)
  return [
    isOwn ? { text: name, style: 'bold' } : { text: name },
    { text: nodes.map((node) => node.name).join(', ') },
    stateOf(group),
    isOwn ? { text: 'self' } : linkOf(group),
    { text: behind === null || standing === 'removed' ? '·' : count(behind) },
    { text: count(applied) },
    { text: origin, style: 'dim' },
  ]
}

function stateOf({ standing, nodes, linked, unknownTo }: GroupStatus): Cell {
  if (standing === 'removed') return { text: 'removed', style: 'dim' }
  if (standing === 'frozen') return { text: 'being removed', style: 'yellow' }
  if (nodes.length === 0 && linked !== true) return { text: 'to be founded', style: 'yellow' }
  const isKnown = unknownTo === null || unknownTo.length === 0
  return isKnown ? { text: 'writes' } : { text: 'joining', style: 'yellow' }
}

function linkOf({ linked, cut, cutThere, standing }: GroupStatus): Cell {
  if (standing === 'removed') return { text: '·' }
  if (cut === true || cutThere === true) return { text: 'cut', style: 'red' }
  if (linked === null) return { text: '·' }
  return linked ? { text: 'up' } : { text: 'down', style: 'red' }
}
