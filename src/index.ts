/** `quorate`: a SQLite database that several machines keep, opened inside an application. */
export { QuorateError } from './base/errors.ts'
export type {
  Arg,
  Args,
  BatchItem,
  BatchOptions,
  CallOptions,
  Cell,
  ExecuteResult,
  Row,
  Transaction,
} from './client/types.ts'
export { type Database, type OpenOptions, open } from './host/embedded.ts'
export type { AckLevel, ReadLevel } from './model/request.ts'
export type { NodeStatus } from './model/status.ts'
