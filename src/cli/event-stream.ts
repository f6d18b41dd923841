/** Reads a node's server-sent events (HTML standard, section 9.2) for the demo's event list. */
import type { NodeEvent } from '../node/ports.ts'
import { getStream, type Target } from './node-client.ts'

/** Calls back for each event until the stream ends; rejects where it can't be had. */
export async function followEvents(
  target: Target,
  signal: AbortSignal,
  onEvent: (event: NodeEvent) => void,
): Promise<void> {
  const response = await getStream(target, '/events', signal)
  if (response.body === null) return
  const decoder = new TextDecoder()
  let rest = ''
  for await (const part of response.body) {
    rest += decoder.decode(part, { stream: true })
    const blocks = rest.split(/\r?\n\r?\n/)
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const event = parseEvent(block)
      if (event !== null) onEvent(event)
    }
  }
}

/** One block of the stream; null for comments and for what is no event of ours. */
export function parseEvent(block: string): NodeEvent | null {
  const data = block
    .split(/\r?\n/)
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trimStart())
    .join('\n')
  if (data === '') return null
  try {
    const event = JSON.parse(data) as Partial<NodeEvent>
    if (typeof event.name !== 'string') return null
    return { name: event.name, level: event.level ?? 'info', facts: event.facts ?? {} }
  } catch {
    return null
  }
}
