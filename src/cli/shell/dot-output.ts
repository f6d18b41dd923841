/** Dot commands about how results look and where they go. */
import { usageError } from '../output.ts'
import { type DotCommand, toSwitch } from './dot-command.ts'
import { MODES, type RenderMode } from './render.ts'
import type { ShellSettings } from './settings.ts'
import type { Shell } from './shell.ts'
import { nearest } from './words.ts'

type SwitchName = 'timer' | 'changes' | 'bail' | 'echo' | 'eqp'

function onOff(name: SwitchName, help: string): DotCommand {
  return {
    name,
    args: 'on|off',
    help,
    takes: [1, 1],
    run: (shell, [value = '']) => {
      shell.settings[name] = toSwitch(value)
    },
  }
}

/** Sets the mode of output by its name. Throws BAD_USAGE. */
export function toMode(text: string): RenderMode {
  const mode = MODES.find((name) => name === text || (text.length > 1 && name.startsWith(text)))
  if (mode !== undefined) return mode
  const near = nearest(text, MODES)
  const hint = near === null ? MODES.join(', ') : `Did you mean ${near}?`
  throw usageError(`There is no mode ${text}. ${hint}`)
}

function setMode(shell: Shell, args: readonly string[]): void {
  const { settings } = shell
  const [name, table] = args
  if (name === undefined) {
    shell.print(`current output mode: ${settings.mode}`)
    return
  }
  settings.mode = toMode(name)
  settings.separator = null
  if (settings.mode === 'insert') settings.table = table ?? 'table'
}

function settingLines(shell: Shell): string[] {
  const { settings: s, connection, output } = shell
  const word = (value: boolean | null, none: string): string =>
    value === null ? none : value ? 'on' : 'off'
  const facts: readonly (readonly [string, string])[] = [
    ['mode', s.mode],
    ['headers', word(s.headers, 'as the mode has them')],
    ['nullvalue', s.nullText === null ? 'as the mode has it' : JSON.stringify(s.nullText)],
    ['separator', s.separator === null ? 'as the mode has it' : JSON.stringify(s.separator)],
    ['width', s.widths.join(' ') || '0'],
    ['output', output.path ?? 'stdout'],
    ...(['timer', 'changes', 'bail', 'echo', 'eqp'] as const).map(
      (name) => [name, word(s[name], '')] as const,
    ),
    ['level read', String(connection.levels.read ?? 'session')],
    ['level ack', String(connection.levels.ack ?? 'majority')],
    ['nodes', shell.target.urls.join(', ')],
  ]
  const width = Math.max(...facts.map(([name]) => name.length))
  return facts.map(([name, value]) => `${name.padStart(width)}: ${value}`)
}

function setExplain(settings: ShellSettings, [value = 'on']: readonly string[]): void {
  if (value === 'auto') settings.eqp = false
  else settings.eqp = toSwitch(value)
}

export const OUTPUT_COMMANDS: readonly DotCommand[] = [
  {
    name: 'mode',
    args: '[MODE [TABLE]]',
    help: `set how rows look: ${MODES.join(', ')} (TABLE is for insert)`,
    takes: [0, 2],
    run: setMode,
  },
  {
    name: 'headers',
    args: 'on|off',
    help: 'show the names of columns, or not',
    takes: [1, 1],
    run: ({ settings }, [value = '']) => {
      settings.headers = toSwitch(value)
    },
  },
  {
    name: 'nullvalue',
    args: 'TEXT',
    help: 'show TEXT for NULL',
    takes: [1, 1],
    run: ({ settings }, [text = '']) => {
      settings.nullText = text
    },
  },
  {
    name: 'separator',
    args: 'TEXT',
    help: 'put TEXT between columns in modes list, quote and csv',
    takes: [1, 1],
    run: ({ settings }, [text = '']) => {
      settings.separator = text
    },
  },
  {
    name: 'width',
    args: '[NUM…]',
    help: 'set the widths of columns; 0 as wide as needed, negative aligned to the right',
    takes: [0, 100],
    run: ({ settings }, args) => {
      settings.widths = args.map((text) => {
        if (/^-?\d{1,4}$/.test(text)) return Number(text)
        throw usageError(`"${text}" is not a width.`)
      })
    },
  },
  onOff('timer', 'show how long each statement takes'),
  onOff('changes', 'show how many rows each statement changed'),
  onOff('bail', 'end a script at its first error'),
  onOff('echo', 'show each statement before it runs'),
  onOff('eqp', 'show the query plan of each statement before its rows'),
  {
    name: 'explain',
    args: '[on|off|auto]',
    help: 'the same as .eqp; EXPLAIN QUERY PLAN is always drawn as a tree',
    takes: [0, 1],
    run: ({ settings }, args) => setExplain(settings, args),
  },
  {
    name: 'output',
    args: '[FILE]',
    help: 'send output to FILE; without FILE, to the terminal again',
    takes: [0, 1],
    run: ({ output }, [path]) => {
      if (path === undefined || path === 'stdout') output.toStandard()
      else output.toFile(path, false)
    },
  },
  {
    name: 'once',
    args: 'FILE',
    help: 'send the output of the next statement to FILE',
    takes: [1, 1],
    run: ({ output }, [path = '']) => output.toFile(path, true),
  },
  {
    name: 'print',
    args: '[TEXT…]',
    help: 'print TEXT',
    takes: [0, 1000],
    run: (shell, args) => shell.print(args.join(' ')),
  },
  {
    name: 'show',
    args: '',
    help: 'show what is set',
    takes: [0, 0],
    run: (shell) => shell.print(...settingLines(shell)),
  },
]
