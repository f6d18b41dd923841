import { deepEqual, equal, throws } from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { prngFromSeed } from '../base/prng.ts'
import { FlushTracker, WalFlusher } from './flush.ts'

test('a flush covers what was written before it began, and no more', () => {
  const tracker = new FlushTracker()
  equal(tracker.begin(), false)
  tracker.wrote(1)
  tracker.wrote(2)
  equal(tracker.begin(), true)
  tracker.wrote(3)
  equal(tracker.begin(), false, 'one at a time')
  equal(tracker.end(), 2)
  equal(tracker.begin(), true)
  equal(tracker.end(), 3)
  equal(tracker.begin(), false)
  throws(() => tracker.end(), /no flush in flight/)
  throws(() => tracker.wrote(2), /ticket 2 after 3/)
})

test('whatever the order of events, no ticket is durable before its flush', () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const prng = prngFromSeed(seed)
    const tracker = new FlushTracker()
    let written = 0
    let atBegin: number | null = null
    for (let i = 0; i < 100; i += 1) {
      if (prng.percent(50)) {
        written += prng.intInclusive(0, 2)
        tracker.wrote(written)
      } else if (atBegin === null) {
        if (tracker.begin()) atBegin = written
      } else {
        equal(tracker.end(), atBegin, `seed ${seed}`)
        atBegin = null
      }
    }
  }
})

/** A flusher on a real file whose flushes end when the test says so. */
function harness(dir: string) {
  const walPath = join(dir, 'x.db-wal')
  writeFileSync(walPath, '')
  const events: string[] = []
  const pending: { fd: number; end: (error: Error | null) => void }[] = []
  let notify = () => {}
  const note = (text: string) => {
    events.push(text)
    notify()
  }
  const flusher = new WalFlusher(
    {
      walPath,
      onFlushed: (ticket) => note(`flushed ${ticket}`),
      onFatal: (error) => note(`fatal ${error.message}`),
    },
    (fd, end) => pending.push({ fd, end }),
  )
  const settle = async (count: number) => {
    while (events.length < count) await new Promise<void>((done) => (notify = done))
  }
  return { flusher, pending, events, settle, walPath }
}

function inFolder(name: string, run: (dir: string) => Promise<void>): void {
  test(name, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'quorate-flush-'))
    try {
      await run(dir)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
}

inFolder('writes during a flush share the next one', async (dir) => {
  const { flusher, pending, events, settle } = harness(dir)
  for (const ticket of [1, 2, 3]) flusher.wrote(ticket)
  equal(pending.length, 1)
  pending[0]?.end(null)
  await settle(1)
  equal(pending.length, 2)
  flusher.wrote(4)
  equal(pending.length, 2)
  pending[1]?.end(null)
  pending[2]?.end(null)
  deepEqual(events, ['flushed 1', 'flushed 3', 'flushed 4'])
  flusher.close()
})

inFolder('after a failure nothing is flushed or reported any more', async (dir) => {
  const { flusher, pending, events } = harness(dir)
  flusher.wrote(1)
  flusher.wrote(2)
  pending[0]?.end(new Error('EIO'))
  flusher.wrote(3)
  equal(pending.length, 1)
  deepEqual(events, ['fatal EIO'])
  flusher.close()
})

inFolder('after reopening it flushes the new file', async (dir) => {
  const { flusher, pending, events, settle, walPath } = harness(dir)
  flusher.wrote(1)
  rmSync(walPath)
  flusher.reopen()
  flusher.wrote(2)
  pending[0]?.end(null)
  await settle(2)
  deepEqual(events, [
    'flushed 1',
    'fatal ENOENT: no such file or directory, open '.concat(`'${walPath}'`),
  ])
  flusher.close()
})

inFolder('a real file is flushed for real', async (dir) => {
  const walPath = join(dir, 'x.db-wal')
  writeFileSync(walPath, '')
  let flushed = 0
  await new Promise<void>((done, fail) => {
    const flusher: WalFlusher = new WalFlusher({
      walPath,
      onFatal: fail,
      onFlushed: (ticket) => {
        flushed = ticket
        if (ticket === 20) {
          flusher.close()
          done()
        }
      },
    })
    for (let ticket = 1; ticket <= 20; ticket += 1) {
      appendFileSync(walPath, 'x')
      flusher.wrote(ticket)
    }
  })
  equal(flushed, 20)
})
