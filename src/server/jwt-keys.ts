/**
 * The public keys that JSON Web Tokens are checked with, as an option gives them: in PEM or as the
 * 32 bytes of Ed25519 in base64 (both as libSQL's server takes them), or a file that holds either.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { QuorateError } from '../base/errors.ts'

const RAW = /^[\w+/-]{43}=?$/
const PEM = /-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/g
const FILE_BYTES_MAX = 1_000_000

/**
 * @param given a key in base64, a PEM text, or the path of a file; a file may hold several in PEM
 * @throws QuorateError BAD_CONFIG
 */
export function loadJwtKeys(given: string): readonly KeyObject[] {
  const text = RAW.test(given) || given.includes('-----BEGIN') ? given : contentOf(given)
  const raw = text.trim()
  if (RAW.test(raw)) return [toKey(() => fromBytes(raw))]
  const blocks = [...text.matchAll(PEM)]
  if (blocks.length === 0) throw wrong('it holds neither PEM nor 32 bytes in base64')
  return blocks.map(([pem, label]) => {
    if (label !== 'PUBLIC KEY') throw wrong(`it holds a ${label?.toLowerCase()}, not a public key`)
    return toKey(() => createPublicKey(pem))
  })
}

function contentOf(path: string): string {
  try {
    const content = readFileSync(path)
    if (content.length <= FILE_BYTES_MAX) return content.toString()
  } catch (cause) {
    const detail = `authJwtKey is no key, and ${path} can't be read.`
    throw new QuorateError('BAD_CONFIG', detail, {}, { cause })
  }
  throw wrong(`${path} is too large for a key`)
}

function fromBytes(base64: string): KeyObject {
  const x = Buffer.from(base64, 'base64').toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

function toKey(make: () => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = make()
  } catch {
    throw wrong('it is damaged')
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  throw wrong(`it is of type ${key.asymmetricKeyType}, not Ed25519`)
}

function wrong(why: string): QuorateError {
  return new QuorateError('BAD_CONFIG', `authJwtKey can't be used: ${why}.`)
}
