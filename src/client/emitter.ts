/**
 * Listeners by the name of their event. Not Node's EventEmitter, because the remote client runs in
 * browsers, and because change events wait for their listeners.
 */
import type { Listener } from './types.ts'

export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>()
  /** Told when a name gets its first listener or loses its last one. */
  readonly #wanted: (name: keyof Events, wanted: boolean) => void

  constructor(wanted: (name: keyof Events, wanted: boolean) => void) {
    this.#wanted = wanted
  }

  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const known = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, known)
    known.add(listener)
    if (known.size === 1) this.#wanted(name, true)
    return () => this.off(name, listener)
  }

  off<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): void {
    const known = this.#listeners.get(name)
    if (known?.delete(listener) === true && known.size === 0) this.#wanted(name, false)
  }

  has(name: keyof Events): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0
  }

  /**
   * Calls the listeners and resolves when all are done. What one throws reaches nobody here: it ends
   * up where an error of a timer's callback would.
   */
  async emit<Name extends keyof Events>(name: Name, event: Events[Name]): Promise<void> {
    const listeners = [...(this.#listeners.get(name) ?? [])] as Listener<Events[Name]>[]
    await Promise.all(listeners.map((listener) => give(listener, event)))
  }
}

async function give<Event>(listener: Listener<Event>, event: Event): Promise<void> {
  try {
    await listener(event)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
