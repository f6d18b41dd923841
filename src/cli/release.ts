/** The release, from the package's own package.json: the same path from src/ and from dist/. */
import { readFileSync } from 'node:fs'

export function release(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}
