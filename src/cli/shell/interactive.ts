/** The shell at a terminal: prompt, history, completion, and what Ctrl-C and Ctrl-D do. */
import { createInterface, type Interface } from 'node:readline'
import { Completer } from './completion.ts'
import { History } from './history.ts'
import type { Shell } from './shell.ts'

const PROMPTS = { none: 'quorate> ', open: 'quorate*> ', lost: 'quorate!> ' } as const
const CONTINUED = '    ...> '

/** Resolves when the person is done. */
export async function interact(shell: Shell, greeting: string): Promise<void> {
  const history = new History(process.env)
  const completer = new Completer(shell)
  const lines: string[] = []
  let wake: (() => void) | null = null
  let ended = false
  const rl = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: true,
    history: history.load(),
    historySize: 2_000,
    removeHistoryDuplicates: true,
    completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
      completer.complete(line).then(
        (result) => done(null, result),
        () => done(null, [[], line]),
      )
    },
  })
  const next = (): void => {
    wake?.()
    wake = null
  }
  rl.on('line', (line) => {
    history.add(line)
    lines.push(line)
    next()
  })
  rl.on('close', () => {
    ended = true
    next()
  })
  rl.on('SIGINT', () => {
    lines.length = 0
    interrupt(rl, shell)
  })
  process.stdout.write(`${greeting}\n`)
  while (!ended && shell.exit === null) {
    prompt(rl, shell)
    if (lines.length === 0) await new Promise<void>((done) => (wake = done))
    const line = lines.shift()
    if (line !== undefined) await shell.line(line)
  }
  if (ended) process.stdout.write('\n')
  rl.close()
}

function prompt(rl: Interface, shell: Shell): void {
  rl.setPrompt(shell.pending ? CONTINUED : PROMPTS[shell.connection.state])
  rl.prompt()
}

/** While a statement runs it is given up; otherwise what was typed is forgotten. */
function interrupt(rl: Interface, shell: Shell): void {
  const { busy } = shell
  shell.cancel()
  if (!busy) {
    // Empties the line that is being edited.
    rl.write(null, { ctrl: true, name: 'e' })
    rl.write(null, { ctrl: true, name: 'u' })
  }
  process.stdout.write('^C\n')
  if (!busy) prompt(rl, shell)
}
