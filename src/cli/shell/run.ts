/** Starts a shell on what there is: a terminal, a script on standard input, or one statement. */
import { RELEASE } from '../../base/release.ts'
import type { Target } from '../node-client.ts'
import { Patience } from '../patience.ts'
import { type Levels, ShellConnection } from './connection.ts'
import { interact } from './interactive.ts'
import type { RenderMode } from './render.ts'
import { defaultSettings } from './settings.ts'
import { Shell } from './shell.ts'

interface Given {
  readonly mode: RenderMode | undefined
  readonly headers: boolean
}

/**
 * Runs a shell to its end; its exit code is left in process.exitCode.
 *
 * @param statement in place of what a person types
 */
export async function runShell(
  target: Target,
  levels: Levels,
  given: Given,
  statement: string | undefined,
): Promise<void> {
  const terminal = process.stdout.isTTY === true
  const person = statement === undefined && process.stdin.isTTY === true
  const settings = defaultSettings(person)
  if (given.mode !== undefined) {
    settings.mode = given.mode
    settings.headers = given.headers
  } else if (!given.headers) settings.headers = false
  const err = (text: string): unknown => process.stderr.write(text)
  const patience = new Patience((text) => {
    if (settings.mode !== 'json') err(text)
  })
  const connection = new ShellConnection(target, levels, patience)
  const shell = new Shell({
    ...{ connection, target, settings, terminal },
    out: (text) => process.stdout.write(text),
    err,
  })
  try {
    if (person) {
      await interact(shell, `Quorate ${RELEASE} at ${target.urls.join(', ')}. .help tells more.`)
    } else if (statement === undefined) await shell.script(process.stdin, 'stdin')
    else await shell.statement(statement)
  } finally {
    shell.output.toStandard()
    connection.close()
  }
  process.exitCode = shell.exit ?? (shell.failures > 0 && !person ? 1 : 0)
}
