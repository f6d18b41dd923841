/**
 * PRAGMAs that a client set on its stream, such as foreign_keys = off. To the client the stream is a
 * connection; in truth its statements go to whichever node leads, one by one. So the stream keeps
 * them and says them again before each program, also to a leader that came after.
 */
import type { Condition, Program, Step, StepResult } from '../../model/program.ts'
import { firstKeyword, statementTokens } from '../../model/sql-tokens.ts'
import { planPragma, type SettingName, settingDefault } from '../../store/execute/pragmas.ts'

export class SessionSettings {
  /** Those that are not as every connection has them. */
  readonly #changed = new Map<SettingName, boolean>()

  /** How many steps `before` adds. */
  get count(): number {
    return this.#changed.size
  }

  /** The program of one transaction or none, after the settings; only where no transaction is open. */
  before(program: Program): Program {
    const settings = [...this.#changed].map(([name, on]) => ({
      statement: { sql: `pragma ${name} = ${on ? 'on' : 'off'}` },
    }))
    if (settings.length === 0) return program
    const steps = program.steps.map((step) => shifted(step, settings.length))
    // Inside an atomic program foreign_keys would have no effect.
    return { ...program, atomic: false, steps: [...settings, ...steps] }
  }

  /** Looks for settings among what has run. @param inside a transaction was open before */
  saw(program: Program, results: readonly StepResult[], inside: boolean): void {
    let open = inside
    for (const [i, { statement }] of program.steps.entries()) {
      const result = results[i] ?? null
      if (result === null || 'error' in result) continue
      const word = firstKeyword(statement.sql)
      if (BEGINS.has(word)) open = true
      else if (ENDS.has(word) && !/\bto\b/i.test(statement.sql)) open = false
      else if (word === 'PRAGMA') this.#note(statement.sql, open)
    }
  }

  #note(sql: string, open: boolean): void {
    const plan = planPragma(sql, statementTokens(sql)[0] ?? [])
    if (plan.kind !== 'setting') return
    // SQLite ignores this one inside a transaction.
    if (open && plan.name === 'foreign_keys') return
    if (plan.on === settingDefault(plan.name)) this.#changed.delete(plan.name)
    else this.#changed.set(plan.name, plan.on)
  }
}

const BEGINS: ReadonlySet<string> = new Set(['BEGIN', 'SAVEPOINT'])
const ENDS: ReadonlySet<string> = new Set(['COMMIT', 'END', 'ROLLBACK'])

function shifted({ statement, condition }: Step, by: number): Step {
  return condition === undefined
    ? { statement }
    : { statement, condition: shiftedCondition(condition, by) }
}

function shiftedCondition(condition: Condition, by: number): Condition {
  switch (condition.kind) {
    case 'ok':
    case 'error':
      return { ...condition, step: condition.step + by }
    case 'not':
      return { ...condition, condition: shiftedCondition(condition.condition, by) }
    case 'and':
    case 'or':
      return {
        ...condition,
        conditions: condition.conditions.map((inner) => shiftedCondition(inner, by)),
      }
    case 'autocommit':
      return condition
  }
}
