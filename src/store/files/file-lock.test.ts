import { equal, throws } from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { QuorateError } from '../../base/errors.ts'
import { lockFolder } from './file-lock.ts'

const inUse = (error: unknown) => error instanceof QuorateError && error.code === 'FILE_IN_USE'

test('a folder has one owner at a time, in this process and in others, until it ends', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-lock-'))
  const first = lockFolder(folder)
  throws(() => lockFolder(folder), inUse)
  first.release()
  lockFolder(folder).release()
  const script = join(folder, 'owner.ts')
  const source = new URL('./file-lock.ts', import.meta.url).href
  writeFileSync(
    script,
    `import { lockFolder } from ${JSON.stringify(source)}
     globalThis.lock = lockFolder(${JSON.stringify(folder)}) // what nobody holds is collected
     process.send('locked')
     process.on('message', () => {})`,
  )
  const owner = fork(script, [], { stdio: 'inherit' })
  const ended = once(owner, 'exit')
  try {
    equal((await once(owner, 'message'))[0], 'locked')
    throws(() => lockFolder(folder), inUse)
  } finally {
    owner.kill('SIGKILL')
  }
  await ended
  lockFolder(folder).release()
  rmSync(folder, { recursive: true })
})
