import { assert } from './assert.ts'

declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

/** Position of an entry in its group's log, from 1; 0 means "before the first". Not a count. */
export type LogIndex = Branded<number, 'LogIndex'>
/** Raft term, from 1; 0 means "before the first election". */
export type Term = Branded<number, 'Term'>
/** A replica's identity in its cluster: name, a colon, eight hex digits drawn for this disk. */
export type NodeId = Branded<string, 'NodeId'>

/** Brands a number as a log index after checking that it can be one. */
export function toLogIndex(n: number): LogIndex {
  assert(Number.isSafeInteger(n) && n >= 0, () => `not a log index: ${n}`)
  return n as LogIndex
}

/** Brands a number as a term after checking that it can be one. */
export function toTerm(n: number): Term {
  assert(Number.isSafeInteger(n) && n >= 0, () => `not a term: ${n}`)
  return n as Term
}

/** Brands a text as a node id. */
export function toNodeId(text: string): NodeId {
  assert(text.length > 0, () => 'empty node id')
  return text as NodeId
}

/** The index after this one. */
export function next(index: LogIndex): LogIndex {
  return toLogIndex(index + 1)
}

/** The index before this one; fails on 0. */
export function previous(index: LogIndex): LogIndex {
  return toLogIndex(index - 1)
}
