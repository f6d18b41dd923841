/** What the server needs from the node that it is the face of; a fake of it is in testing/. */
import type { Readable } from 'node:stream'
import type { Registry } from 'prom-client'
import type { NodeReply, NodeRequest } from '../model/request.ts'
import type { NodeStatus } from '../model/status.ts'
import type { NodeEvent } from '../node/ports.ts'

export interface NodeService {
  /** Never rejects for what a caller did: that is a reply of kind `error`. */
  request(request: NodeRequest): Promise<NodeReply>
  status(): NodeStatus
  /** @returns a function that ends the subscription */
  events(listener: (event: NodeEvent) => void): () => void
  /** Calls back with how far the database has come, now and whenever it moves. */
  watch(listener: (index: number) => void): () => void
  /** The whole file with Quorate's own tables: others may begin with it. Rejects with QuorateError. */
  snapshotStream(): Promise<Readable>
  /** Answers a node that starts: who this one is, and whether it promises to join that one. */
  meet(promise: string | null): unknown
  readonly lost: LostTransactions
  /** Breaks something on purpose; absent unless the node was started with faults allowed. */
  readonly fault?: (command: FaultCommand) => void
  /** More metrics than the server makes itself. */
  readonly registry?: Registry
}

/** Tails that were taken back, kept in files. All reject with QuorateError. */
export interface LostTransactions {
  list(): Promise<readonly unknown[]>
  show(file: string): Promise<unknown>
  replay(file: string): Promise<unknown>
}

export interface FaultCommand {
  /** Drop every message to and from these members, by name; an empty list heals. */
  readonly cut: readonly string[]
}
