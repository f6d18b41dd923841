/**
 * Model's messages between origins are core's: core may not import how entries travel, and model
 * may not import core. What would differ does not compile.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { ExchangeEntry, ExchangeMessage } from '../core/order/clock/exchange/types.ts'
import type { OriginExchange } from '../model/message.ts'
import type { OriginEntry } from '../model/origin-entry.ts'

type Equal<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false
/** Core tells the size of a body beside it, since elsewhere it has heads alone. */
type Travelling<Message> = Message extends { readonly kind: 'entries' }
  ? Omit<Message, 'entries'> & { readonly entries: readonly OriginEntry[] }
  : Message
type Content<Message> = { readonly [K in keyof Message]: Message[K] }

test("model's OriginExchange is core's ExchangeMessage", () => {
  const messages: Equal<Content<OriginExchange>, Content<Travelling<ExchangeMessage>>> = true
  const entries: Equal<OriginEntry, Omit<ExchangeEntry, 'bytes'>> = true
  assert.ok(messages && entries)
})
