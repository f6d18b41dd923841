/**
 * Hrana's replication index: how far a client has seen, as a number of 64 bits that it hands back
 * without knowing what it means. Ours is the session token's term and position in one number, which
 * grows with the position; the cluster's name has no room in it. Nor has what was seen of several
 * origins: with those there is no replication index.
 *
 * Not the token's own text: libSQL's Rust driver reads the field as a number and would fail.
 */
import type { SessionToken } from '../../model/request.ts'

const INDEX_BITS = 42n
const INDEX_MAX = 2 ** Number(INDEX_BITS)
const TERM_MAX = 2 ** (63 - Number(INDEX_BITS))

/** Null: there is no token, it has origins, or it does not fit (two million elections, four trillion entries). */
export function toReplicationIndex(token: SessionToken | null): bigint | null {
  if (token === null || token.origins !== undefined) return null
  if (token.term >= TERM_MAX || token.index >= INDEX_MAX) return null
  return (BigInt(token.term) << INDEX_BITS) | BigInt(token.index)
}

/** The inverse, for a client that is taken to have seen it in this cluster. */
export function fromReplicationIndex(index: bigint, cluster: string): SessionToken {
  return {
    cluster,
    term: Number(index >> INDEX_BITS),
    index: Number(BigInt.asUintN(Number(INDEX_BITS), index)),
  }
}
