#!/usr/bin/env node
// Starts the command line on a Node that is new enough. Plain JavaScript that old Nodes can read,
// because what it starts needs Node 26: a clone brings that as a development dependency, and is run
// on it whatever the machine has.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

const MAJOR_NEEDED = 26
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP']

const inPackage = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))

if (Number.parseInt(process.versions.node, 10) >= MAJOR_NEEDED) await start()
else if (existsSync(inPackage('node_modules/node/bin/node'))) runOnBundledNode()
else refuse()

/** The sources where they are (a clone), what was compiled from them otherwise. */
async function start() {
  const source = inPackage('src/cli/main.ts')
  if (existsSync(source)) keepCompiled()
  const { main } = existsSync(source)
    ? await import('../src/cli/main.ts')
    : await import('../dist/cli/main.js')
  await main(process.argv.slice(2))
}

/**
 * In a clone every thread would load a TypeScript compiler of its own to strip types: 60 MB and half
 * a second a node. Threads and child processes take the folder from the environment.
 */
function keepCompiled() {
  process.env.NODE_COMPILE_CACHE ??= inPackage('node_modules/.cache/quorate')
  module.enableCompileCache(process.env.NODE_COMPILE_CACHE)
}

function runOnBundledNode() {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)]
  const child = spawn(inPackage('node_modules/node/bin/node'), args, { stdio: 'inherit' })
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`error: OLD_NODE: ${error.message}. Run \`npm ci\` again.\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0))
  })
}

function refuse() {
  process.stderr.write(
    `error: OLD_NODE: This is Node.js ${process.versions.node}, and Quorate needs ` +
      `${MAJOR_NEEDED} or later. Install a Node.js release that is new enough.\n`,
  )
  process.exitCode = 1
}
