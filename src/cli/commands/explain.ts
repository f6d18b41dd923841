/** `quorate explain`: what this cluster promises, survives and stops at, in sentences. */
import { type Command, Option } from 'commander'
import { QuorateError } from '../../base/errors.ts'
import type { Strategy } from '../../model/origin-entry.ts'
import type { NodeStatus } from '../../model/status.ts'
import { levelsOf } from '../../node/options.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import {
  explainGroups,
  explainShape,
  type GroupsExplanation,
  groupsHead,
  mayFail,
} from '../explain-groups.ts'
import { getJson, statusOf, type Target } from '../node-client.ts'
import { mergeOptions, type ServeOptions } from '../options.ts'
import { print, printJson } from '../output.ts'
import { counted, type Paint, paintFor } from '../terminal.ts'
import { readConfig } from './serve.ts'

const HELP = `
With --config it reads the configuration file of a node and asks nobody.

Examples:
  quorate explain --url http://10.0.0.1:7001
  quorate explain --config quorate.yaml`

const ANSWER_MS = 1_500

export interface LeaderExplanation {
  readonly strategy: 'leader'
  readonly voters: readonly string[]
  readonly learners: readonly string[]
  readonly majority: number
  /** Voters that may fail at once with service going on, when all are up. */
  readonly survives: number
  /** Voters that may fail from now on, as the answering node sees the links. */
  readonly survivesNow: number
  readonly promises: readonly string[]
  readonly stops: readonly string[]
  readonly advice: readonly string[]
}

export type Explanation = LeaderExplanation | GroupsExplanation

export function registerExplain(root: Command): void {
  const command = root
    .command('explain')
    .summary('what this cluster promises and survives')
    .description('Says what this cluster promises, what it survives and what stops it.')
  withJson(withTarget(command))
    .addOption(new Option('--config <path>', 'explain this configuration file instead'))
    .addHelpText('after', HELP)
    .action(async (flags: CommonFlags & { readonly config?: string }) => {
      const explanation =
        flags.config === undefined
          ? explain(await statusOfLeader(targetOf(flags)))
          : explainConfig(readOptions(flags.config))
      if (flags.json) printJson(explanation)
      else print(...explanationLines(explanation, paintFor(process.stdout)))
    })
}

/** With several groups only a group's leader knows which others it reaches. */
async function statusOfLeader(target: Target): Promise<NodeStatus> {
  const asked = await getJson<NodeStatus>(target, '/status')
  const { leader, origins, role } = asked
  if (origins === null || leader === null || role === 'leader') return asked
  return (await statusOf(leader.url, target.token, ANSWER_MS)) ?? asked
}

/** Reads the promises off the members, or off the groups where there are several leaders. */
export function explain(status: NodeStatus): Explanation {
  if (status.origins !== null) return explainGroups(status, status.origins)
  const voters = status.members.filter(({ role }) => role === 'voter')
  const learners = status.members.filter(({ role }) => role === 'learner')
  const majority = Math.floor(voters.length / 2) + 1
  const survives = voters.length - majority
  const up = voters.filter((member) => member.connected || member.id === status.id).length
  return {
    strategy: 'leader',
    voters: voters.map(({ name }) => name),
    learners: learners.map(({ name }) => name),
    majority,
    survives,
    survivesNow: up - majority,
    promises: promises(majority, voters.length),
    stops: stops(majority, voters.length, learners.length),
    advice: advice(voters.length, up, majority),
  }
}

/**
 * Reads the promises off a node's configuration, as the cluster that it founds will keep them.
 * Throws BAD_CONFIG if what it joins can't be told from the file.
 */
export function explainConfig(options: ServeOptions): Explanation {
  const { name, join, expect } = options
  if (join.length > 0 && expect === null) {
    const detail =
      `The node joins a cluster that exists: ask one of its nodes, with --url ${join.join(',')}. ` +
      'A file tells the whole only with expect, or without join.'
    throw new QuorateError('BAD_CONFIG', detail)
  }
  const count = expect ?? 1
  const strategy = options.strategy ?? 'leader'
  if (strategy !== 'leader') return explainFounding(strategy, options, count)
  const levels = levelsOf(strategy, options)
  const voters = join.length === count ? join : [name, ...join].slice(0, count)
  const majority = Math.floor(count / 2) + 1
  return {
    strategy: 'leader',
    voters,
    learners: [],
    majority,
    survives: count - majority,
    survivesNow: count - majority,
    promises: [
      ...promises(majority, count),
      `A write that names no level is answered at ack ${levels.ack}, a read at ${levels.read}.`,
    ],
    stops: stops(majority, count, 0),
    advice: advice(count, count, majority),
  }
}

/** A cluster of several groups when it has just been founded: by one, or by so many peers. */
function explainFounding(
  strategy: Exclude<Strategy, 'leader'>,
  { name, group, zone, join }: ServeOptions,
  count: number,
): Explanation {
  const own = group ?? name
  const peers = join.length === count ? join : [own, ...join].slice(0, count)
  const groups = strategy === 'peer' ? peers : [own]
  const voters = [name]
  const zones = zone === null ? {} : { [own]: zone }
  const shape = { strategy, groups, zones, group: own, voters, learners: [], majority: 1 }
  const alone = { survives: 0, survivesNow: 0 }
  return explainShape({ ...shape, ...alone, keeper: own }, [])
}

/** File and name say nothing about promises: a file that is shared by all nodes leaves them out. */
export function readOptions(config: string): ServeOptions {
  const unsaid = { file: { value: config, source: '' }, name: { value: 'this node', source: '' } }
  return mergeOptions(unsaid, readConfig(config))
}

function promises(majority: number, voters: number): string[] {
  const disks = `on the disks of ${majority} of ${voters} voters`
  return [
    `A write answered at ack majority is ${disks} and is never taken back.`,
    "A write answered at ack local is on the leader's disk only: a failover may take it back, " +
      'into `quorate lost`.',
    'A retried write runs once. A write without an answer is reported as unknown, never as failed.',
    'A read at level session sees at least what its session wrote or read before, on any node.',
    'A read at level strong sees every write that was acknowledged before it began.',
    'All replicas hold the same rows at the same position; `quorate verify` checks it.',
  ]
}

function stops(majority: number, voters: number, learners: number): string[] {
  const list = [
    `Fewer than ${counted(majority, 'voter')} up and connected: writes and strong reads wait, ` +
      'then fail with NO_LEADER; local reads go on.',
    `One of the ${counted(voters, 'voter')} down: writes at ack all wait and are then unknown.`,
  ]
  if (learners > 0) list.push('Learners stop nothing and count for no majority.')
  return list
}

function advice(voters: number, up: number, majority: number): string[] {
  const list: string[] = []
  if (up < majority) list.push(`Only ${counted(up, 'voter')} can be seen from here: no majority.`)
  else if (up < voters) list.push(`${counted(voters - up, 'voter')} can't be seen from here.`)
  if (voters === 1) list.push('One voter is no copy: join two more nodes.')
  else if (voters % 2 === 0) {
    list.push(`${voters} voters survive no more than ${voters - 1}; use an odd number.`)
  }
  return list
}

/** An explanation for people. */
export function explanationLines(explanation: Explanation, paint: Paint): string[] {
  const bullets = (list: readonly string[]): string[] => list.map((line) => `  - ${line}`)
  return [
    ...(explanation.strategy === 'leader' ? leaderHead(explanation) : groupsHead(explanation)),
    '',
    paint('bold', 'It promises'),
    ...bullets(explanation.promises),
    '',
    paint('bold', 'It stops at'),
    ...bullets(explanation.stops),
    ...(explanation.advice.length > 0
      ? ['', ...explanation.advice.map((line) => paint('yellow', `! ${line}`))]
      : []),
  ]
}

function leaderHead(explanation: LeaderExplanation): string[] {
  const { voters, learners, survives, survivesNow, majority } = explanation
  return [
    `One leader, ${counted(voters.length, 'voter')} (${voters.join(', ')})` +
      (learners.length > 0
        ? `, ${counted(learners.length, 'learner')} (${learners.join(', ')})`
        : ''),
    `Majority: ${majority}. May fail at once: ${mayFail(survives)}. ` +
      `From now on: ${mayFail(survivesNow)}.`,
  ]
}
