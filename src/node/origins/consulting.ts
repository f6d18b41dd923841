/** Has the leader of the group find what a read's level needs, wherever that leader is. */
import { toLogIndex } from '../../base/brand.ts'
import type { ErrorData } from '../../base/errors.ts'
import type { ReadLevel } from '../../model/request.ts'
import type { Context } from '../context.ts'
import type { Router } from '../router.ts'
import { type Consulted, unavailable } from './levels.ts'

/** @param deadline monotonic, ms */
export function consultLeader(
  context: Context,
  router: Router,
  level: ReadLevel,
  deadline: number,
  done: (answer: Consulted | ErrorData) => void,
): void {
  const timeoutMs = Math.max(1, deadline - context.now())
  router.route({ kind: 'admin', command: { kind: 'consult', level }, timeoutMs }, (reply) => {
    if (reply.kind === 'error' && reply.error.code === 'NO_LEADER') {
      done(unavailable('The leader of the group could not be reached in time'))
    } else if (reply.kind === 'error') done(reply.error)
    else {
      const answer = reply.kind === 'admin' ? read(reply.value) : null
      done(answer ?? unavailable('The leader of the group did not say what the read has to see'))
    }
  })
}

/** What came from another node; null: it is not what was asked for. */
function read(value: unknown): Consulted | null {
  const { index, stable } = fields(value)
  if (typeof index !== 'number') return null
  if (stable === null) return { index: toLogIndex(index), stable }
  const { through, since } = fields(stable)
  if (typeof through !== 'number' || typeof since !== 'number') return null
  return { index: toLogIndex(index), stable: { through, since: toLogIndex(since) } }
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
