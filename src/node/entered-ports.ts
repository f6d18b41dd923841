/** Ports whose calls back all come in through one door. */
import type { Ports } from './ports.ts'

/** The same ports; every call back from them is run by `enter`. */
export function enteredPorts(ports: Ports, enter: (work: () => void) => void): Ports {
  const through =
    <A extends unknown[]>(callback: (...args: A) => void) =>
    (...args: A): void =>
      enter(() => callback(...args))
  const { store, reader, snapshots, clock } = ports
  return {
    ...ports,
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (ms, callback) => clock.after(ms, through(callback)),
    },
    store: {
      submit: (command, done) => store.submit(command, through(done)),
      onFlushed: (listener) => store.onFlushed(through(listener)),
    },
    reader: {
      reopen: () => reader.reopen(),
      read: (program, timeoutMs, done) => reader.read(program, timeoutMs, through(done)),
      openCursor: (begin, timeoutMs, done) => reader.openCursor(begin, timeoutMs, through(done)),
      fetchCursor: (next, timeoutMs, done) => reader.fetchCursor(next, timeoutMs, through(done)),
      closeCursor: (cursor) => reader.closeCursor(cursor),
      verify: (pinned, done) => reader.verify(through(pinned), through(done)),
    },
    snapshots: {
      create: (done) => snapshots.create(through(done)),
      readChunk: (snapshot, offset, done) => snapshots.readChunk(snapshot, offset, through(done)),
      release: (snapshot) => snapshots.release(snapshot),
      resumeAt: (snapshot, digest, done) => snapshots.resumeAt(snapshot, digest, through(done)),
      writeChunk: (snapshot, offset, data, done) =>
        snapshots.writeChunk(snapshot, offset, data, through(done)),
      finish: (snapshot, bytes, digest, done) =>
        snapshots.finish(snapshot, bytes, digest, through(done)),
    },
  }
}
