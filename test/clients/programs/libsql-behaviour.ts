/** @libsql/client: what its own test suite asks of a server, asked in our words. Only `check`. */
import { runProgram } from './harness.ts'
import { checkTransactions } from './libsql-transactions.ts'
import { checkValues } from './libsql-values.ts'

await runProgram({
  check: async (url) => {
    await checkValues(url)
    await checkTransactions(url)
  },
  open: () => Promise.reject(new Error('this program has nothing to do but its checks')),
})
