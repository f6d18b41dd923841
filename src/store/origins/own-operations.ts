/** What of a transaction's effects the other origins get, and what is the group's own affair. */
import { assert } from '../../base/assert.ts'
import { QuorateError } from '../../base/errors.ts'
import type { Operation } from '../../model/entry.ts'
import { type OriginOperation, TRANSACTIONS_MAX } from '../../model/origin-entry.ts'

interface Parted {
  readonly own: readonly OriginOperation[]
  readonly rest: readonly Operation[]
}

/**
 * Parts operations, of which each changeset is one transaction, in their order.
 *
 * @param time gives the time of the next transaction
 *
 * Throws TOO_LARGE if these are more transactions than one entry may hold.
 */
export function partOperations(operations: readonly Operation[], time: () => number): Parted {
  const own: OriginOperation[] = []
  const rest: Operation[] = []
  let transactions = 0
  for (const operation of operations) {
    switch (operation.kind) {
      case 'changeset':
        own.push({ kind: 'transaction', time: time(), changes: operation.bytes })
        transactions += 1
        break
      case 'ddl':
        own.push(operation)
        break
      case 'pragma':
        own.push({ kind: 'pragma', name: operation.name, value: operation.after })
        break
      case 'sequence':
        rest.push(operation)
        break
      default:
        assert(false, () => `operation ${operation.kind} among several origins`)
    }
  }
  if (transactions <= TRANSACTIONS_MAX) return { own, rest }
  const detail = `The program has ${transactions} transactions beside its DDL; at most ${TRANSACTIONS_MAX} fit into one entry.`
  throw new QuorateError('TOO_LARGE', detail)
}
