/** Administration of a simulated group: somebody asks one of its nodes, and waits so long and no longer. */
import type { AdminCommand, NodeReply } from '../../model/request.ts'
import type { SimGroup } from '../group.ts'
import type { SimNode } from '../node.ts'
import type { Lifetime, Schedule } from '../schedule.ts'

export interface Asking {
  readonly schedule: Schedule
  readonly life: Lifetime
  readonly note: (who: string, what: string) => void
}

/** How much longer than it was told somebody waits for an answer. */
const PATIENCE_US = 2_000_000

/** The node of a group that one asks: who leads it, if that is known; null: none is up. */
export function doorOf({ nodes }: SimGroup): SimNode | null {
  const up = nodes.filter((node) => node.up)
  return up.find((node) => node.driver?.order.role === 'leader') ?? up[0] ?? null
}

/**
 * Asks a node.
 *
 * @param done gets null if no answer came in time
 */
export function ask(
  { schedule, life, note }: Asking,
  via: SimNode | null,
  command: AdminCommand,
  timeoutMs: number,
  done: (reply: NodeReply | null) => void,
): void {
  let open = true
  const end = (reply: NodeReply | null): void => {
    if (!open) return
    open = false
    const what = reply?.kind === 'error' ? reply.error.code : (reply?.kind ?? 'no answer')
    note('people', `${command.kind} at ${via?.name ?? 'nobody'}: ${what}`)
    done(reply)
  }
  via?.request({ kind: 'admin', command, timeoutMs }, end)
  schedule.after(timeoutMs * 1_000 + PATIENCE_US, life, () => end(null))
}
