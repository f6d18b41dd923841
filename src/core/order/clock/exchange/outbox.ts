/** Collects what one step wants done, and hands it over as one `Effects`. */
import type { ClockTime, Origin } from '../stamp.ts'
import type { Alarm, Effects, EntryHead, ExchangeEntry, Outgoing, StoreOrder } from './types.ts'

export class Outbox {
  #store: StoreOrder[] = []
  #send: Effects['send'][number][] = []
  #mark = false
  #done: number[] = []
  #alarms: Effects['alarms'][number][] = []

  take(entry: ExchangeEntry, apply: boolean): void {
    this.#store.push({ kind: 'take', entry, apply })
  }

  apply({ origin, sequence }: EntryHead): void {
    this.#store.push({ kind: 'apply', origin, sequence })
  }

  send(to: Origin, message: Outgoing): void {
    this.#send.push({ to, message })
  }

  mark(): void {
    this.#mark = true
  }

  done(id: number): void {
    this.#done.push(id)
  }

  alarm(alarm: Alarm, on: boolean): void {
    this.#alarms.push({ alarm, on })
  }

  drain(stable: ClockTime | null): Effects {
    const effects: Effects = {
      store: this.#store,
      send: this.#send,
      mark: this.#mark,
      stable,
      done: this.#done,
      alarms: this.#alarms,
    }
    this.#store = []
    this.#send = []
    this.#mark = false
    this.#done = []
    this.#alarms = []
    return effects
  }
}
