/** The thread that an application's node runs in: requests come in by message, answers go out. */
import { parentPort, workerData } from 'node:worker_threads'
import { present } from '../base/assert.ts'
import { toErrorData } from '../base/errors.ts'
import type { NodeReply } from '../model/request.ts'
import type { NodeOptions } from '../node/options.ts'
import { compactReplies } from './compact-replies.ts'
import { type FromNode, gather, type ToNode } from './node-link.ts'
import { type RunningNode, startNode } from './start-node.ts'

const port = present(parentPort, () => 'the port of the thread that started this one')
const send = (message: FromNode): void => port.postMessage(message)
const answer = gather<readonly [number, NodeReply]>((replies) =>
  send({ kind: 'replies', replies: compactReplies(replies) }),
)

function serve(node: RunningNode): void {
  let unwatch = (): void => {}
  node.onEvent((event) => send({ kind: 'event', event }))
  port.on('message', (message: ToNode) => {
    switch (message.kind) {
      case 'requests':
        node.together(() => {
          for (const [id, request] of message.requests) {
            node.request(request, (reply) => answer([id, reply]))
          }
        })
        return
      case 'status':
        send({ kind: 'status', id: message.id, status: node.status() })
        return
      case 'watch':
        unwatch()
        unwatch = message.on ? node.watch((index) => send({ kind: 'position', index })) : () => {}
        return
      case 'close':
        void node.stop().then(() => send({ kind: 'closed', running: node.running }))
    }
  })
  send({ kind: 'started', url: node.url, levels: node.levels })
}

try {
  serve(await startNode(workerData as NodeOptions))
} catch (error) {
  send({ kind: 'failed', error: toErrorData(error) })
}
