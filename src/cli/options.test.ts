import { deepEqual, equal, throws } from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { QuorateError } from '../base/errors.ts'
import {
  envOf,
  flagOf,
  type Layer,
  layerFromEnv,
  layerFromFile,
  layerFromFlags,
  mergeOptions,
  OPTION_KEYS,
} from './options.ts'
import { optionsPage } from './options-page.ts'

const NEEDED: Layer = layerFromFlags({ file: 'shop.db', name: 'a' })

/** Asserts a BAD_CONFIG whose sentence begins so. */
function refused(run: () => unknown, beginning: string): void {
  throws(run, (error: unknown) => {
    if (!(error instanceof QuorateError)) throw error
    equal(error.code, 'BAD_CONFIG')
    equal(error.detail.slice(0, beginning.length), beginning)
    return true
  })
}

test('defaults fill what nobody says', () => {
  const options = mergeOptions(NEEDED)
  equal(options.listen, '127.0.0.1:7001')
  equal(options.ack, null)
  equal(options.strategy, null)
  equal(options.electionTimeoutMs, 500)
  deepEqual(options.join, [])
  deepEqual(Object.keys(options), OPTION_KEYS)
})

test('a later layer wins over an earlier one, key by key', () => {
  const file = layerFromFile({ heartbeatMs: 20, priority: 2, role: 'learner' }, 'quorate.yaml')
  const flags = layerFromFlags({ priority: '3', role: 'voter' })
  const env = layerFromEnv({ QUORATE_PRIORITY: '4', QUORATE_ROLE: '', OTHER: 'x' })
  const { heartbeatMs, priority, role } = mergeOptions(NEEDED, file, flags, env)
  deepEqual({ heartbeatMs, priority, role }, { heartbeatMs: 20, priority: 4, role: 'voter' })
})

test('a file may hold lists and numbers where flags and environment have texts', () => {
  const urls = ['http://127.0.0.1:1', 'http://127.0.0.1:2']
  const fromFile = mergeOptions(NEEDED, layerFromFile({ join: urls, expect: 3, ack: 2 }, 'f'))
  const fromEnv = mergeOptions(
    NEEDED,
    layerFromEnv({ QUORATE_JOIN: urls.join(', '), QUORATE_EXPECT: '3', QUORATE_ACK: '2' }),
  )
  deepEqual(fromFile, fromEnv)
  deepEqual(fromFile.join, urls)
  equal(fromFile.ack, 2)
})

test('errors name the key and where the value came from', () => {
  refused(() => mergeOptions(layerFromFlags({ name: 'a' })), 'file is missing: give FILE, QUORATE_')
  refused(() => mergeOptions(layerFromFlags({ file: 'f' })), 'name is missing: give --name NAME')
  const flag = layerFromFlags({ electionTimeoutMs: 'soon' })
  refused(() => mergeOptions(NEEDED, flag), '--election-timeout-ms must be a whole number')
  const env = layerFromEnv({ QUORATE_ACK: 'most' })
  refused(() => mergeOptions(NEEDED, env), 'QUORATE_ACK: ack must be local, majority, quorum, ')
  const file = layerFromFile({ listen: 7001 }, 'q.yaml')
  refused(() => mergeOptions(NEEDED, file), 'q.yaml: listen must be HOST:PORT')
  refused(() => layerFromFile({ prioritty: 1 }, 'q.yaml'), 'q.yaml: prioritty is not an option')
  refused(() => layerFromFile(['a'], 'q.yaml'), 'q.yaml: the file must hold')
})

test('values that fit each alone must also fit together', () => {
  const tight = layerFromFlags({ electionTimeoutMs: '100', heartbeatMs: '50' })
  refused(() => mergeOptions(NEEDED, tight), 'electionTimeoutMs (100) must be at least three times')
  refused(() => mergeOptions(NEEDED, layerFromFlags({ expect: '3' })), 'expect needs join')
  refused(() => mergeOptions(NEEDED, layerFromFlags({ authJwtKey: 'k' })), 'authJwtKey needs token')
  const alone = layerFromFlags({ strategy: 'leader', group: 'east' })
  refused(() => mergeOptions(NEEDED, alone), 'group needs strategy multi-leader or peer')
  const zoned = layerFromFlags({ strategy: 'leader', zone: 'eu' })
  refused(() => mergeOptions(NEEDED, zoned), 'zone needs strategy multi-leader or peer')
})

for (const [key, values] of Object.entries({
  listen: ['7001', 'localhost', '127.0.0.1:70000', 'http://127.0.0.1:1'],
  advertise: ['127.0.0.1:7001', 'ftp://host', ''],
  join: ['b', 'http://a,b', ''],
  priority: ['-1', '1.5', '101', ' 1'],
  ack: ['0', '1025', 'none', 'Majority'],
  read: ['0', 'all', 'Session'],
  strategy: ['raft', 'Peer'],
  group: ['', 'a b', 'ä', '-x', 'x'.repeat(51)],
  zone: ['', 'a b', 'ä', '-x', 'x'.repeat(51)],
  exchangeWith: ['', 'a,,b'],
  allowClockDrift: ['0', '-5'],
  allowFaults: ['yes', '2'],
  logLevel: ['trace', 'INFO'],
})) {
  test(`${key} refuses ${values.map((value) => `"${value}"`).join(', ')}`, () => {
    for (const value of values) {
      refused(() => mergeOptions(NEEDED, layerFromFlags({ [key]: value })), '--')
    }
  })
}

test('flags and variables follow from the key', () => {
  equal(flagOf('electionTimeoutMs'), '--election-timeout-ms')
  equal(envOf('electionTimeoutMs'), 'QUORATE_ELECTION_TIMEOUT_MS')
  equal(envOf('allowFaults'), 'QUORATE_FAULTS')
})

// If this fails: REWRITE=1 node --test src/cli/options.test.ts, and read the diff.
test('docs/options.md says what the table says', () => {
  const path = new URL('../../docs/options.md', import.meta.url)
  if (process.env['REWRITE'] === '1') writeFileSync(path, optionsPage())
  equal(readFileSync(path, 'utf8'), optionsPage())
})
