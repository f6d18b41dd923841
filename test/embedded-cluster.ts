/** Three nodes inside one process, as an application opens them, for tests. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../src/bench/child-node.ts'
import { type Database, open } from '../src/index.ts'

/** @param after is given what must be done at the end, in the order in which to do it */
export async function openThree(
  after: (close: () => Promise<void> | void) => void,
): Promise<[Database, Database, Database]> {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  const opened: Database[] = []
  after(async () => {
    for (const db of opened) await db.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const start = async (name: string, peers: readonly string[]): Promise<Database> => {
    const db = await open(join(dir, `${name}.db`), { name, join: peers })
    opened.push(db)
    return db
  }
  const a = await start('a', [])
  const b = await start('b', [a.url])
  const c = await start('c', [a.url, b.url])
  await until('all vote', 10_000, async () => {
    const { members } = await a.status()
    return members.filter(({ role }) => role === 'voter').length === 3
  })
  return [a, b, c]
}
