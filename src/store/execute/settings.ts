/**
 * The PRAGMAs of the writer's connection that a client may change for its own program. The writer
 * serves everybody, so whatever was changed is changed back when the program, or the transaction
 * that it left open, has ended.
 */
import type { Connection } from '../connections.ts'
import { type ChangedSettings, type SettingName, settingDefault } from './pragmas.ts'

export class Settings {
  readonly #writer: Connection
  readonly #changed = new Set<SettingName>()

  constructor(writer: Connection) {
    this.#writer = writer
  }

  isOn(name: SettingName): boolean {
    if (!this.#changed.has(name)) return settingDefault(name)
    return Number(this.#writer.internal(`pragma ${name}`).row()?.[0]) === 1
  }

  /** What `set` has changed. */
  get changed(): ChangedSettings {
    return [...this.#changed].map((name) => [name, this.isOn(name)])
  }

  /** Inside a transaction SQLite ignores foreign_keys, and so does this. */
  set(name: SettingName, on: boolean): void {
    this.#changed.add(name)
    this.#writer.db.exec(`pragma ${name} = ${on ? 'on' : 'off'}`)
  }

  /** Everything as it was, outside a transaction. True: something had been changed. */
  reset(): boolean {
    if (this.#changed.size === 0) return false
    for (const name of this.#changed) {
      this.#writer.db.exec(`pragma ${name} = ${settingDefault(name) ? 'on' : 'off'}`)
    }
    this.#changed.clear()
    return true
  }
}
