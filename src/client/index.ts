/** `quorate/client`: the database on other machines. No SQLite in it; runs in browsers too. */
import { type ConnectOptions, RemoteDb } from './remote.ts'

export { QuorateError } from '../base/errors.ts'
export type { ConnectOptions, RemoteDb } from './remote.ts'
export type { HttpReply, HttpRequest, HttpStream, Transport } from './transport.ts'
export type * from './types.ts'

/**
 * Makes a client of the cluster that these nodes belong to. Connects with the first call; one URL is
 * enough, more help when that node is down then.
 *
 * @example
 * const db = connect(['http://127.0.0.1:7001', 'http://127.0.0.1:7002'])
 * await db.execute('insert into orders (id, total) values (?, ?)', [1, 42], { ack: 'majority' })
 * const rows = await db.query('select * from orders where id = ?', [1], { read: 'strong' })
 */
export function connect(urls: string | readonly string[], options: ConnectOptions = {}): RemoteDb {
  return new RemoteDb(typeof urls === 'string' ? [urls] : urls, options)
}
