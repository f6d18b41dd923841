/** `quorate verify`: whether all replicas hold the same rows at one position, and all groups do. */
import type { Command } from 'commander'
import type { NodeStatus, OriginsStatus } from '../../model/status.ts'
import type { VerifyReport } from '../../node/verifier.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { getJson, postJson, type Target } from '../node-client.ts'
import { EXIT_FAILURE, print, printJson } from '../output.ts'
import { paintFor } from '../terminal.ts'
import { groupsLines, VERIFY_TIMEOUT_MS, verifyGroups } from '../verify-groups.ts'
import { verifyLines } from '../verify-view.ts'

const HELP = `
Every replica computes a checksum of each table at the same position in the log, and runs SQLite's
integrity and foreign-key checks. It may go on for a while on a large database; nothing stops.

With several groups each is checked so, and then they are compared with each other. They have no
position in common, so that tells something only if nothing was written meanwhile; it is said if it
was. What each group keeps by itself is not compared: sqlite_sequence, the inside of full-text and
R*Tree tables, and quorate_conflicts, which groups forget at times of their own.

Exit code 1 if any replica or group differs, has a problem, or could not be asked.`

export function registerVerify(root: Command): void {
  const command = root
    .command('verify')
    .summary('compare all replicas')
    .description('Compares the content of all replicas, table by table, at one position.')
  withJson(withTarget(command))
    .addHelpText('after', HELP)
    .action(async (flags: CommonFlags) => {
      const target = targetOf(flags)
      const { origins } = await getJson<NodeStatus>(target, '/status')
      if (origins === null) await verifyOne(target, flags.json === true)
      else await verifyAll(target, origins, flags.json === true)
    })
}

async function verifyOne(target: Target, json: boolean): Promise<void> {
  const timeoutMs = VERIFY_TIMEOUT_MS
  const report = await postJson<VerifyReport>(target, '/admin/verify', {}, timeoutMs)
  if (json) printJson(report)
  else print(...verifyLines(report, paintFor(process.stdout)))
  if (!report.identical) process.exitCode = EXIT_FAILURE
}

async function verifyAll(target: Target, origins: OriginsStatus, json: boolean): Promise<void> {
  const report = await verifyGroups(target, origins)
  if (json) printJson(report)
  else print(...groupsLines(report, paintFor(process.stdout)))
  if (!report.identical) process.exitCode = EXIT_FAILURE
}
