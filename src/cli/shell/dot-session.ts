/** Dot commands about the session: levels, parameters, nodes, the end. */
import { ACK_FORM, READ_FORM, toAckLevel, toReadLevel } from '../../model/levels.ts'
import type { NodeStatus } from '../../model/status.ts'
import { statusLines } from '../commands/status.ts'
import { getJson } from '../node-client.ts'
import { usageError } from '../output.ts'
import { sampleCluster } from '../samples.ts'
import { plain } from '../terminal.ts'
import type { DotCommand } from './dot-command.ts'
import type { Shell } from './shell.ts'
import { sqlLiteral } from './values.ts'

function level(shell: Shell, [kind, value]: readonly string[]): void {
  const { connection } = shell
  const { read = 'session', ack = 'majority' } = connection.levels
  if (kind === undefined) {
    shell.print(`read ${read}, ack ${ack}`)
    return
  }
  if (kind === 'read' && value !== undefined) {
    connection.levels = { ...connection.levels, read: parsed(toReadLevel, READ_FORM, value) }
  } else if (kind === 'ack' && value !== undefined) {
    connection.levels = { ...connection.levels, ack: parsed(toAckLevel, ACK_FORM, value) }
  } else {
    throw usageError('It is .level read LEVEL, or .level ack LEVEL.')
  }
}

function parsed<T>(parse: (text: string) => T, form: string, text: string): T {
  try {
    return parse(text)
  } catch {
    throw usageError(`"${text}" is not ${form}.`)
  }
}

async function parameter(shell: Shell, [action, name, ...rest]: readonly string[]): Promise<void> {
  const { parameters } = shell
  if (action === 'list' || action === 'init') {
    const width = Math.max(0, ...[...parameters.keys()].map((key) => key.length))
    for (const [key, value] of parameters) {
      shell.print(`${key.padEnd(width)}  ${sqlLiteral(value)}`)
    }
  } else if (action === 'clear') parameters.clear()
  else if (action === 'unset' && name !== undefined) parameters.delete(name)
  else if (action === 'set' && name !== undefined && rest.length === 1) {
    if (!/^[:@$?]\w+$/.test(name)) {
      throw usageError(`"${name}" is not the name of a parameter, like :id, @id, $id or ?1.`)
    }
    parameters.set(name, await valueIn(shell, rest[0] ?? ''))
  } else {
    throw usageError('It is .parameter set NAME VALUE, list, unset NAME or clear.')
  }
}

/** What an expression of SQL gives; a text that is none is that text, as in the sqlite3 shell. */
async function valueIn(shell: Shell, text: string) {
  if (/^[A-Za-z_ ]+$/.test(text) && !/^null$/i.test(text)) return text
  try {
    return (await shell.query(`select (${text})`)).rows[0]?.[0] ?? null
  } catch {
    return text
  }
}

async function databases(shell: Shell): Promise<void> {
  const status = await getJson<NodeStatus>(shell.target, '/status')
  const leader = status.leader === null ? 'no leader' : `leader ${status.leader.name}`
  shell.print(`main: ${status.url} (node ${status.name}, ${leader})`)
}

export const SESSION_COMMANDS: readonly DotCommand[] = [
  {
    name: 'level',
    args: '[read LEVEL | ack LEVEL]',
    help:
      'set what reads may miss (local, session, quorum, local-quorum, each-quorum, strong, N) and ' +
      'writes wait for (local, majority, quorum, local-quorum, each-quorum, all, stable, N)',
    takes: [0, 2],
    run: level,
  },
  {
    name: 'parameter',
    args: 'set NAME VALUE|list|unset NAME|clear',
    help: 'bind values to :NAME, @NAME, $NAME and ?N in statements',
    takes: [1, 3],
    run: parameter,
  },
  {
    name: 'status',
    args: '',
    help: 'show the nodes of the cluster',
    takes: [0, 0],
    run: async (shell) => {
      shell.print(...statusLines(await sampleCluster(shell.target, null), plain))
    },
  },
  {
    name: 'databases',
    args: '',
    help: 'show where the database is',
    takes: [0, 0],
    run: databases,
  },
  {
    name: 'quit',
    args: '',
    help: 'end the shell',
    takes: [0, 0],
    run: (shell) => {
      shell.exit = shell.failures > 0 && shell.settings.bail ? 1 : 0
    },
  },
  {
    name: 'exit',
    args: '[CODE]',
    help: 'end the shell with an exit code',
    takes: [0, 1],
    run: (shell, [code = '0']) => {
      if (!/^\d{1,3}$/.test(code)) throw usageError(`"${code}" is not an exit code.`)
      shell.exit = Number(code)
    },
  },
]
