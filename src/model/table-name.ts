/**
 * Names of tables as changesets have them. Small changesets are read by the million, of a few tables:
 * to decode a name each time would take as long as all the rest.
 */

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
/** More than the tables that most databases have. */
const KNOWN_MAX = 64

interface Name {
  readonly bytes: Uint8Array
  readonly text: string
}

/** Those that were read last. */
let known: Name[] = []

/**
 * The name that begins at a place and ends before a zero byte, of which there must be one.
 *
 * @param start offset in `bytes`
 */
export function tableName(bytes: Uint8Array, start: number): string {
  for (const name of known) if (isAt(name.bytes, bytes, start)) return name.text
  const own = bytes.slice(start, bytes.indexOf(0, start))
  const text = utf8.decode(own)
  if (known.length >= KNOWN_MAX) known = []
  known.push({ bytes: own, text })
  return text
}

function isAt(name: Uint8Array, bytes: Uint8Array, start: number): boolean {
  let at = 0
  while (at < name.length && name[at] === bytes[start + at]) at += 1
  return at === name.length && bytes[start + at] === 0
}
