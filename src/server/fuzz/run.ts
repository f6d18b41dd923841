/**
 * `npm run fuzz -- [--messages N] [--seed S] [--transports http,ws]`: throws malformed and senseless
 * messages at a server until N were sent; the seed is that of CI unless given. Ends with 1 and the command that repeats the run if the
 * server broke, leaked, or gave the next client a wrong answer.
 */
import { parseArgs } from 'node:util'
import { CI_SEED, parseSeed } from '../../base/seed-fixture.ts'
import { fuzz, TRANSPORTS, type Transport } from './fuzz.ts'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '20000' },
    seed: { type: 'string' },
    transports: { type: 'string', default: TRANSPORTS.join(',') },
  },
})
const messages = Number(values.messages)
const seed = values.seed === undefined ? CI_SEED : parseSeed(values.seed)
const transports = TRANSPORTS.filter((each): each is Transport =>
  values.transports.split(',').includes(each),
)

const started = performance.now()
try {
  const report = await fuzz({ messages, seed, transports })
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(`fuzz: ${JSON.stringify({ seed, seconds, ...report })}`)
} catch (error) {
  console.error(error)
  const command = `npm run fuzz -- --messages ${messages} --seed ${seed}`
  console.error(`fuzz failed; rerun: ${command} --transports ${transports.join(',')}`)
  process.exitCode = 1
}
