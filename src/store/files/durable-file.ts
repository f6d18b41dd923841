/** Small files that must survive a power cut whole: either the old content or the new. */
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

/**
 * Replaces a file's content. When it returns, the new content is on the disk; a crash before that
 * leaves the old file. The directory must exist.
 */
export function writeDurably(path: string, content: string): void {
  const temporary = `${path}.tmp`
  const bytes = Buffer.from(content)
  const fd = openSync(temporary, 'w')
  try {
    let written = 0
    while (written < bytes.length) written += writeSync(fd, bytes, written)
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, path)
  syncDirectory(dirname(path))
}

/** Removes a file for good; nothing happens if it is not there. */
export function removeDurably(path: string): void {
  rmSync(path, { force: true })
  syncDirectory(dirname(path))
}

/** The file's text, or null if there is no such file. */
export function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Makes what was written into a file durable. */
export function syncFile(path: string): void {
  sync(path, 'r+')
}

/** Makes creations, renames and removals in a directory durable. */
export function syncDirectory(path: string): void {
  sync(path, 'r')
}

function sync(path: string, flags: 'r' | 'r+'): void {
  const fd = openSync(path, flags)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
