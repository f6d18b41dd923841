/** Requests on their way to the node's thread, see model/compact-programs.ts. */
import { assert, present } from '../base/assert.ts'
import { type CompactPrograms, compactPrograms, expandPrograms } from '../model/compact-programs.ts'
import type { Program } from '../model/program.ts'
import type { NodeRequest } from '../model/request.ts'

type Write = Extract<NodeRequest, { kind: 'write' }>
type Read = Extract<NodeRequest, { kind: 'read' }>
type Other = Exclude<NodeRequest, Write | Read>
/** How a program is to be run: mostly the same for request after request. */
type Head = Omit<Write, 'program'> | Omit<Read, 'program'>

export interface CompactRequests {
  /**
   * Of each request its id, and its head or the place of an earlier one among the heads: then
   * the next of `programs` belongs to it. Or the request itself, if it is no read or write.
   */
  readonly requests: readonly (number | Head | Other)[]
  readonly programs: CompactPrograms
}

export function compactRequests(
  numbered: readonly (readonly [id: number, request: NodeRequest])[],
): CompactRequests {
  const requests: (number | Head | Other)[] = []
  const programs: Program[] = []
  const heads: Head[] = []
  for (const [id, request] of numbered) {
    if (request.kind === 'write' || request.kind === 'read') {
      requests.push(id, known(heads, headOf(request)))
      programs.push(request.program)
    } else requests.push(id, request)
  }
  return { requests, programs: compactPrograms(programs) }
}

/** Calls back with each request, as it was before and in order. */
export function eachRequest(
  compact: CompactRequests,
  give: (id: number, request: NodeRequest) => void,
): void {
  const { requests } = compact
  const programs = expandPrograms(compact.programs)
  const heads: Head[] = []
  let taken = 0
  for (let at = 0; at < requests.length; at += 2) {
    const id = requests[at]
    assert(typeof id === 'number', () => `a ${typeof id} for the id of request ${at / 2}`)
    const what = requests[at + 1]
    const request = typeof what === 'number' ? heads[what] : what
    assert(request !== undefined, () => `request ${id} is missing`)
    if (request.kind !== 'write' && request.kind !== 'read') give(id, request)
    else {
      if (typeof what !== 'number') heads.push(request)
      const program = present(programs[taken], () => `program ${taken} of ${programs.length}`)
      taken += 1
      give(id, { ...request, program })
    }
  }
}

function headOf(request: Write | Read): Head {
  const { timeoutMs } = request
  if (request.kind === 'write') return { kind: 'write', ack: request.ack, timeoutMs }
  return { kind: 'read', level: request.level, token: request.token, timeoutMs }
}

/** The place of an equal head among the last two, since reads and writes take turns; or the new head. */
function known(heads: Head[], head: Head): number | Head {
  const last = heads.length - 1
  for (let place = last; place >= 0 && place > last - 2; place -= 1) {
    if (isSame(heads[place], head)) return place
  }
  heads.push(head)
  return head
}

function isSame(one: Head | undefined, other: Head): boolean {
  if (one === undefined || one.timeoutMs !== other.timeoutMs) return false
  if (one.kind === 'write') return other.kind === 'write' && one.ack === other.ack
  return other.kind === 'read' && one.level === other.level && one.token === other.token
}
