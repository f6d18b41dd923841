/**
 * docs/groups.md says what really happens: its commands are run in order, and what they print is
 * compared with what the page shows, but for what is different each time: ids, times, checksums.
 */
import { equal, ok } from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../src/bench/child-node.ts'

const BIN = fileURLToPath(new URL('../../bin/quorate.js', import.meta.url))
const WITHIN_MS = 20_000

interface Command {
  readonly words: readonly string[]
  readonly output: string
}

/** The commands in the page's blocks, each with the output shown below it. */
function commandsOf(page: string): Command[] {
  const blocks = [...page.matchAll(/^```\n(.*?)^```$/gms)].map(([, block = '']) => block)
  return blocks.flatMap((block) =>
    block
      .split(/^\$ quorate /m)
      .slice(1)
      .map((part) => {
        const [line = '', ...output] = part.split('\n')
        const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? '')
        return { words, output: output.join('\n').trimEnd() }
      }),
  )
}

const VARYING: readonly (readonly [RegExp, string])[] = [
  [/\b\d{16}\.\d+@/g, 'TIME@'],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'DATE'],
  [/\b(east|west|north)-[0-9a-z]{6}\b/g, '$1-ORIGIN'],
  [/\b[0-9a-f]{12}\b/g, 'CHECKSUM'],
  [/cluster [0-9a-f]{16}/g, 'cluster ID'],
  [/position \d+/g, 'position N'],
  [/http:\/\/127\.0\.0\.1:\d+/g, 'URL'],
  [/final up to [\d.:]+ (?:m?s )?ago/g, 'final up to TIME ago'],
  // Counts of entries, and memory.
  [/(writes|ready) .*(?=URL|\b\w+-ORIGIN)/g, '$1 … '],
  [/^(group|id) .*$/gm, '$1 …'],
]

function alike(output: string): string {
  const lines = VARYING.reduce((left, [what, by]) => left.replaceAll(what, by), output)
  return lines.replaceAll(/ +/g, ' ').trimEnd()
}

/** What changes nothing may be asked until all have got there. */
function reads([command = '', second = '']: readonly string[], words: readonly string[]): boolean {
  if (command === 'sql') return words.some((word) => word.startsWith('select'))
  return (
    command === 'status' ||
    command === 'verify' ||
    !/^(set|cut|heal|remove|replay|close)$/.test(second)
  )
}

test('docs/groups.md tells what happens', { timeout: 180_000 }, async (t) => {
  const page = readFileSync(new URL('../../docs/groups.md', import.meta.url), 'utf8')
  const dir = mkdtempSync(join(tmpdir(), 'quorate-page-'))
  const nodes: ChildProcess[] = []
  t.after(async () => {
    const ended = nodes.map((node) => (node.exitCode === null ? once(node, 'close') : null))
    for (const node of nodes) node.kill('SIGKILL')
    await Promise.all(ended)
    rmSync(dir, { recursive: true })
  })
  /** What stands for what on the page: ports, and ids once they were seen. */
  const real = new Map<string, string>()
  for (const [port] of page.matchAll(/\b71\d\d\b/g)) {
    if (!real.has(port)) real.set(port, String(await freePort()))
  }
  const toReal = (word: string): string =>
    [...real].reduce((left, [shown, actual]) => left.replaceAll(shown, actual), word)
  const start = (words: readonly string[]): ChildProcess => {
    const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1' }
    for (const name of Object.keys(env)) if (name.startsWith('QUORATE_')) delete env[name]
    return spawn(process.execPath, [BIN, ...words.map(toReal)], { env, cwd: dir })
  }
  const run = async (words: readonly string[]): Promise<string> => {
    const child = start(words)
    const [stdout, stderr] = await Promise.all([childText(child.stdout), childText(child.stderr)])
    return `${stdout}${stderr}`.trimEnd()
  }
  const commands = commandsOf(page)
  ok(commands.length > 20, `${commands.length} commands`)
  for (const { words, output } of commands) {
    if (words.at(-1) === '&') {
      const url = `http://${words[words.indexOf('--listen') + 1]}`
      const node = start(words.slice(0, -1))
      nodes.push(node)
      const said: string[] = []
      for (const stream of [node.stdout, node.stderr]) {
        stream?.on('data', (data: Buffer) => said.push(data.toString()))
      }
      await ready(toReal(url), () => `${words.join(' ')}\n${said.join('')}`)
      continue
    }
    const end = performance.now() + WITHIN_MS
    let printed = await run(words)
    while (alike(printed) !== alike(output) && reads(words, words) && performance.now() < end) {
      await sleep(100)
      printed = await run(words)
    }
    equal(alike(printed), alike(output), `quorate ${words.join(' ')}\n${printed}`)
    learn(output, printed, real)
  }
})

/** Which id of this run stands where the page has its own. */
function learn(shown: string, printed: string, real: Map<string, string>): void {
  const id = /\b\d{16}\.\d+@[\w-]+/
  const [left] = id.exec(shown) ?? []
  const [right] = id.exec(printed) ?? []
  if (left !== undefined && right !== undefined) real.set(left, right)
}

async function ready(url: string, why: () => string): Promise<void> {
  const end = performance.now() + WITHIN_MS
  for (;;) {
    const isReady = await fetch(`${url}/ready`).then(
      ({ ok: isOk }) => isOk,
      () => false,
    )
    if (isReady) return
    ok(performance.now() < end, why())
    await sleep(50)
  }
}

async function childText(stream: ChildProcess['stdout']): Promise<string> {
  return stream === null ? '' : await text(stream)
}
