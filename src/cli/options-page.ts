/** docs/options.md, made from the table of options; a test compares the two. */
import { envOf, flagOf, OPTION_KEYS, OPTIONS } from './options.ts'

const HEAD = `# Options of \`quorate serve\`

Each option can be set in a YAML file given by \`--config\` (or \`QUORATE_CONFIG\`), by a flag and by an environment
variable, in rising priority: the environment wins over the flag, the flag over the file. An empty variable says nothing.
A value that can't be used is refused with \`BAD_CONFIG\` and the name of the key.

This page is made from the table in \`src/cli/options.ts\`: \`REWRITE=1 node --test src/cli/options.test.ts\`.
`

/** The whole page. */
export function optionsPage(): string {
  const sections = OPTION_KEYS.map((key) => {
    const { value, doc, fallback } = OPTIONS[key]
    const flag = value === '' ? flagOf(key) : `${flagOf(key)} ${value}`
    const ways = [key === 'file' ? value : flag, envOf(key)].map((way) => `\`${way}\``)
    return `## ${key}\n\n${ways.join(' · ')} · ${defaultText(fallback)}\n\n${doc.join(' ')}\n`
  })
  return [HEAD, ...sections].join('\n')
}

function defaultText(fallback: unknown): string {
  if (fallback === undefined) return 'must be given'
  if (fallback === null || (Array.isArray(fallback) && fallback.length === 0))
    return 'default: none'
  return `default: \`${String(fallback)}\``
}
