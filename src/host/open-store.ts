/** The store of a node that starts: how it is opened, and commands to it before a driver uses it. */
import { resolve } from 'node:path'
import { fromErrorData } from '../base/errors.ts'
import type { NodeOptions } from '../node/options.ts'
import type { StorePort } from '../node/ports.ts'
import { type OpenStore, openStorePort } from '../store/store-port.ts'
import type { StoreCommand, StoreReply } from '../store/types.ts'

/** Opens a database as a node's options say. Throws what openStorePort throws. */
export function openStore(
  path: string,
  { mergeFunctions }: Pick<NodeOptions, 'mergeFunctions'>,
): Promise<OpenStore> {
  if (mergeFunctions === null) return openStorePort({ path })
  return openStorePort({ path, functionsModule: resolve(mergeFunctions) })
}

/** Gives the store one command; resolves with its reply. Throws what it failed with. */
export function submit(port: StorePort, command: StoreCommand): Promise<StoreReply> {
  return new Promise((done, reject) => {
    port.submit(command, (reply) => {
      if (reply.kind === 'failed') reject(fromErrorData(reply.error))
      else done(reply)
    })
  })
}
