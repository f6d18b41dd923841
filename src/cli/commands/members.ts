/** `quorate members`: who belongs to the cluster, and changes to that. */
import type { Command } from 'commander'
import type { MemberStatus, NodeStatus } from '../../model/status.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { getJson, postJson } from '../node-client.ts'
import { print, printJson, usageError } from '../output.ts'
import { count, type Paint, paintFor, tableLines } from '../terminal.ts'

const HELP = `
A node joins by itself: start it with \`quorate serve … --join URL\`. Remove one that is gone for
good; until then it counts when a majority is asked for.

Examples:
  quorate members
  quorate members remove c
  quorate members demote b       it goes on following, without a vote`

const DID: Record<Change, string> = {
  remove: 'is no longer a member',
  promote: 'is to be a voter',
  demote: 'is a learner now',
}

type Change = 'remove' | 'promote' | 'demote'

export function registerMembers(root: Command): void {
  const members = root
    .command('members')
    .summary('list, remove, promote or demote members')
    .description('Lists the members of the cluster, or changes them.')
  withJson(withTarget(members))
    .addHelpText('after', HELP)
    .action(async (flags: CommonFlags) => await list(flags))
  change(members, 'remove', 'take a node out of the cluster')
  change(members, 'promote', 'make a learner a voter')
  change(members, 'demote', 'make a voter a learner')
  members
    .command('add')
    .summary('how to add a node')
    .argument('[name]')
    .action((name: string | undefined, _flags: unknown, command: Command) => {
      const { url } = command.optsWithGlobals<CommonFlags>()
      const serve = `quorate serve FILE --name ${name ?? 'NAME'} --listen HOST:PORT --join ${url}`
      throw usageError(`A node adds itself: run \`${serve}\` on its machine.`)
    })
}

async function list(flags: CommonFlags): Promise<void> {
  const status = await getJson<NodeStatus>(targetOf(flags), '/status')
  if (flags.json) printJson(status.members)
  else print(...memberLines(status.members, paintFor(process.stdout)))
}

function change(members: Command, kind: Change, summary: string): void {
  members
    .command(`${kind} <name>`)
    .summary(summary)
    .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`)
    .action(async (name: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<CommonFlags>()
      const answer = await postJson(targetOf(flags), `/admin/members/${kind}`, { name })
      if (flags.json) printJson(answer)
      else print(`${name} ${DID[kind]}.`)
    })
}

/** The members as the answering node sees them. */
export function memberLines(members: readonly MemberStatus[], paint: Paint): string[] {
  const columns = [
    { title: 'member' },
    { title: 'role' },
    { title: 'link' },
    { title: 'priority', align: 'right' },
    { title: 'holds', align: 'right' },
    { title: 'url' },
  ] as const
  const rows = members.map((member) => [
    member.leader ? ({ text: member.name, style: 'bold' } as const) : member.name,
    roleOf(member),
    member.connected ? 'up' : ({ text: 'down', style: 'red' } as const),
    String(member.priority),
    member.held === null ? '·' : count(member.held),
    { text: member.url, style: 'dim' } as const,
  ])
  return tableLines(columns, rows, paint)
}

function roleOf(member: MemberStatus): string {
  if (member.leader) return 'leader'
  return member.role === member.wants ? member.role : `${member.role}, to be ${member.wants}`
}
