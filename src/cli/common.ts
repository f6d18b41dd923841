/** Options that most commands share, and how they become what a command works with. */
import { type Command, Option } from 'commander'
import type { Target } from './node-client.ts'
import { usageError } from './output.ts'

export interface CommonFlags {
  readonly url: string
  readonly token?: string
  readonly json?: true
}

const URL_DEFAULT = 'http://127.0.0.1:7001'

/** --url and --token. */
export function withTarget(command: Command): Command {
  return command
    .addOption(
      new Option('--url <url,url…>', 'any nodes of the cluster')
        .env('QUORATE_URL')
        .default(URL_DEFAULT),
    )
    .addOption(new Option('--token <secret>', "the cluster's token").env('QUORATE_TOKEN'))
}

/** --json. */
export function withJson(command: Command): Command {
  return command.option('--json', 'print JSON')
}

/** Which nodes to ask. Throws BAD_USAGE for what is no URL. */
export function targetOf(flags: CommonFlags): Target {
  const urls = flags.url.split(',').map((url) => url.trim())
  for (const url of urls) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw usageError(`--url: "${url}" is not an http or https URL.`)
    }
  }
  return { urls, token: flags.token ?? null }
}
