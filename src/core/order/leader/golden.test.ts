/**
 * Behaviour pinned by traces that can be read as stories: each block of golden/*.txt is a few
 * commands, a line of dashes, and what they made the cluster do. If one fails: run it again with
 * REWRITE=1, read the diff, and keep it only if you can say why each line changed. A block that
 * can't be understood fails the run.
 */
import { equal } from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { present } from '../../../base/assert.ts'
import { toLogIndex, toNodeId } from '../../../base/brand.ts'
import type { MemberChange } from '../../../model/members.ts'
import { TestCluster } from './test-cluster.ts'
import { memberOf, showId, showMembers, showPacket } from './test-show.ts'

const RULE = '----'
const STORIES = 22

type Command = (story: Story, args: readonly string[]) => void

class Story {
  #cluster: TestCluster | null = null
  #lines: string[] = []
  #requests = 0

  get cluster(): TestCluster {
    return present(this.#cluster, () => 'a cluster: the first command must found one')
  }

  get freshId(): number {
    this.#requests += 1
    return this.#requests
  }

  found(args: readonly string[]): void {
    const list = (key: string): readonly string[] =>
      option(args, key)
        ?.split(',')
        .filter((name) => name !== '') ?? []
    const priorities = list('priorities').map((pair) => pair.split(':'))
    this.#cluster = new TestCluster({
      voters: list('voters'),
      learners: list('learners'),
      strangers: list('strangers'),
      priorities: Object.fromEntries(priorities.map(([name, n]) => [name, Number(n)])),
      seed: Number(option(args, 'seed') ?? 1),
      report: (line) => this.say(line),
    })
  }

  say(line: string): void {
    this.#lines.push(line)
  }

  hush(): void {
    this.#lines = []
  }

  run(block: string): string {
    this.#lines = []
    for (const line of block.split('\n')) {
      if (line.startsWith('#')) continue
      const [name = '', ...args] = line.split(' ')
      const command = present(COMMANDS[name], () => `command ${line}`)
      command(this, args)
    }
    return this.#lines.length === 0 ? 'ok' : this.#lines.join('\n')
  }
}

const option = (args: readonly string[], key: string): string | undefined =>
  args.find((arg) => arg.startsWith(`${key}=`))?.slice(key.length + 1)

const named = (args: readonly string[], at = 0): string =>
  present(args[at], () => `argument ${at + 1} of [${args.join(' ')}]`)

const COMMANDS: Readonly<Record<string, Command>> = {
  cluster: (story, args) => story.found(args),
  tick: ({ cluster }, args) => {
    for (let i = Number(args[1] ?? 1); i > 0; i -= 1) cluster.tick(named(args))
  },
  /** Ticks a node until it asks for votes. */
  campaign: ({ cluster }, args) => {
    const name = named(args)
    const asks = (): boolean => cluster.packets.some(({ from }) => from === name)
    for (let i = 0; i < 100 && !asks(); i += 1) cluster.tick(name)
  },
  /** Hands over what is on its way: all of it, or from=, to=. `lose` loses it instead. */
  deliver: ({ cluster }, args) => {
    const [from, to] = [option(args, 'from'), option(args, 'to')]
    const chosen = cluster.packets.filter(
      (packet) => packet.from === (from ?? packet.from) && packet.to === (to ?? packet.to),
    )
    for (const packet of chosen) cluster.deliver(cluster.packets.indexOf(packet))
  },
  lose: (story, args) => {
    const [from, to] = [option(args, 'from'), option(args, 'to')]
    const { cluster } = story
    cluster.packets = cluster.packets.filter((packet) => {
      const keep = packet.from !== (from ?? packet.from) || packet.to !== (to ?? packet.to)
      if (!keep) story.say(`lost ${showPacket(packet)}`)
      return keep
    })
  },
  settle: (story, args) => {
    story.cluster.settle()
    if (args[0] === 'quietly') story.hush()
  },
  /** Time passes for everyone, and everything arrives and is done at once. */
  pass: (story, args) => {
    const { cluster } = story
    for (let i = Number(named(args)); i > 0; i -= 1) {
      for (const { name } of cluster.up) cluster.tick(name)
      cluster.settle()
    }
    if (args[1] === 'quietly') story.hush()
  },
  begin: ({ cluster }, args) => cluster.beginWrite(named(args)),
  propose: ({ cluster }, args) => {
    cluster.begin(named(args))
    cluster.end(named(args))
  },
  end: ({ cluster }, args) => cluster.end(named(args)),
  write: ({ cluster }, args) => {
    cluster.beginWrite(named(args), args[1] === 'schema' ? 'schema' : 'data')
    cluster.end(named(args))
  },
  flush: ({ cluster }, args) => cluster.flush(named(args), Number(args[1] ?? 1000)),
  apply: ({ cluster }, args) => cluster.apply(named(args)),
  read: ({ cluster }, args) => void cluster.read(named(args)),
  cut: ({ cluster }, args) => void cluster.cuts.add(`${named(args)}-${named(args, 1)}`),
  heal: ({ cluster }) => cluster.cuts.clear(),
  link: ({ cluster }, args) => {
    const peer = toNodeId(named(args, 1))
    cluster.step(named(args), { kind: 'link', peer, up: named(args, 2) === 'up' })
  },
  crash: ({ cluster }, args) => cluster.crash(named(args)),
  restart: ({ cluster }, args) => cluster.restart(named(args)),
  compact: ({ cluster }, args) => cluster.compact(named(args), toLogIndex(Number(named(args, 1)))),
  snapshot: ({ cluster }, args) => cluster.endSnapshot(named(args) === 'ok'),
  change: (story, args) => {
    const [name, kind, peer] = [named(args), named(args, 1), named(args, 2)]
    const change = changeOf(kind, peer, args[3])
    story.cluster.step(name, { kind: 'changeMembers', id: story.freshId, change })
  },
  transfer: (story, args) => {
    const to = args[1] === undefined ? null : toNodeId(args[1])
    story.cluster.step(named(args), { kind: 'transfer', id: story.freshId, to })
  },
  status: (story) => {
    for (const { name, up, order } of story.cluster.nodes.values()) {
      const { role, term, commit, applied, durable, last, members, mayExecute } = order
      const log = `last ${showId(last)} durable ${durable} commit ${commit} applied ${applied}`
      const may = mayExecute ? ' may execute' : ''
      story.say(`${name} ${up ? role : 'down'} ${term}: ${log}${may};${showMembers(members)}`)
    }
  },
}

function changeOf(kind: string, peer: string, role: string | undefined): MemberChange {
  const id = toNodeId(peer)
  switch (kind) {
    case 'add':
      return { kind, member: memberOf(peer, role === 'voter' ? 'voter' : 'learner') }
    case 'remove':
    case 'promote':
    case 'demote':
      return { kind, id }
    default:
      throw new Error(`no change of members: ${kind}`)
  }
}

const folder = new URL('./golden/', import.meta.url)
const stories = readdirSync(folder)

test('no story has vanished', () => equal(stories.length, STORIES))

for (const name of stories) {
  test(`golden: ${name}`, () => {
    const file = new URL(name, folder)
    const want = readFileSync(file, 'utf8')
    const story = new Story()
    const blocks = want.trimEnd().split('\n\n')
    const told = blocks.map((block) => {
      const command = block.split(`\n${RULE}\n`)[0] ?? ''
      return `${command}\n${RULE}\n${story.run(command)}`
    })
    const got = `${told.join('\n\n')}\n`
    if (process.env['REWRITE'] === '1') writeFileSync(file, got)
    else equal(got, want)
  })
}
