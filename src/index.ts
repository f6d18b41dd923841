/** `quorate`: a SQLite database that several machines keep, opened inside an application. */
export { QuorateError } from './base/errors.ts'
export type * from './client/types.ts'
export { type Database, type OpenOptions, open, type SyncOptions } from './host/embedded.ts'
