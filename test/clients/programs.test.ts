/** Every program's own checks, at the leader's URL and at a follower's. */
import { test } from 'node:test'
import { Cluster } from '../cluster.ts'
import { check, requirePrepared, WORKING } from './program.ts'

const TIMEOUT_MS = 60_000

test('programs for official clients and ORMs run unchanged at any node', async (t) => {
  requirePrepared()
  await using cluster = await Cluster.start()
  const leader = await cluster.leader()
  const [follower = leader] = await cluster.followers()
  for (const node of [leader, follower]) {
    const role = node === leader ? 'leader' : 'follower'
    const webSocket = node.url.replace('http:', 'ws:')
    for (const name of ['libsql-behaviour', ...WORKING]) {
      await t.test(`${name}, http, ${role}`, () => check(name, node.url, TIMEOUT_MS))
    }
    for (const name of ['libsql-behaviour', 'libsql-client', 'drizzle', 'knex']) {
      await t.test(`${name}, ws, ${role}`, () => check(name, webSocket, TIMEOUT_MS))
    }
  }
  await cluster.verify()
})
