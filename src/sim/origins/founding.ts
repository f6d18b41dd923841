/**
 * The files with which the groups of a world begin: the same tables and rules, each with an origin
 * of its own that has told the others where its nodes are. They are what founding and joining leave
 * behind, made by the store's own commands; how that is reached over the network is the host's.
 */
import { DatabaseSync } from 'node:sqlite'
import { assert, present } from '../../base/assert.ts'
import type { Members } from '../../model/members.ts'
import type {
  Cluster,
  ClusterOrigin,
  OriginEntry,
  OriginOperation,
} from '../../model/origin-entry.ts'
import { Store } from '../../store/store.ts'
import type { FileIdentity, StoreCommand, StoreReply } from '../../store/types.ts'
import { BASE, joinerFile, type Templates } from '../templates.ts'
import type { OriginsProfile } from './profile.ts'
import { RULES, SCHEMA } from './tables.ts'

/** Wall clocks show the 1st of January 2026 when a world begins; all this was a day before. */
const AT = Date.UTC(2025, 11, 31)

/** A group as it is before it has a node. */
export interface GroupPlan {
  readonly name: string
  readonly origin: string
  readonly zone: string | null
  readonly nodes: readonly { readonly id: string; readonly name: string; readonly url: string }[]
}

export class Founding {
  readonly plans: readonly GroupPlan[]
  readonly #templates: Templates
  readonly cluster: Cluster
  /** Makes the names of templates differ that differ. */
  readonly #key: string
  #first: readonly OriginEntry[] | null = null

  /** @param idOf gives the id of a node by its name */
  constructor(
    { strategy, groups }: OriginsProfile,
    templates: Templates,
    idOf: (name: string) => string,
  ) {
    this.#templates = templates
    this.#key = JSON.stringify([strategy, groups])
    this.plans = groups.map(({ voters, learners, zone = null }, i) => {
      const name = String.fromCharCode('a'.charCodeAt(0) + i)
      const names = Array.from({ length: voters + learners }, (_, k) => `${name}${k + 1}`)
      const nodes = names.map((node) => ({ id: idOf(node), name: node, url: `sim://${node}` }))
      return { name, origin: `${name}-00000${i}`, zone, nodes }
    })
    const standing: ClusterOrigin['standing'] = { kind: 'writes', since: 1 }
    this.cluster = {
      strategy,
      epoch: 1,
      keeper: present(this.plans[0], () => 'a group').origin,
      origins: this.plans.map(({ name, origin, zone, nodes }, slot) => {
        const founder = present(nodes[0], () => name).id
        return { origin, name, slot, standing, founder, ...(zone === null ? {} : { zone }) }
      }),
      floor: new Map(),
    }
  }

  /** Puts the file of a founder of a group at `path`. */
  file(plan: GroupPlan, path: string, identity: FileIdentity, members: Members): void {
    const name = JSON.stringify(['founder', this.#key, plan.name, identity, members])
    this.#templates.copy(name, path, (template) => {
      // All of them have all first entries, so that nobody has to be found first.
      const greetings = this.#greetings(template)
      this.#make(plan, template, identity, members, (store) => {
        this.#greet(store, plan)
        const others = greetings.filter(({ origin }) => origin !== plan.origin)
        const operations = others.map((entry) => ({ kind: 'take', entry, apply: true }) as const)
        if (operations.length > 0) {
          log(store, { kind: 'merge', ticket: 3, term: BASE.term, at: AT, operations })
        }
      })
    })
  }

  /** Puts a file at `path` that is as a group's before its log's first entry. */
  twin(plan: GroupPlan, path: string, identity: FileIdentity): void {
    const members = { cluster: identity.cluster, members: [] }
    const name = JSON.stringify(['twin', this.#key, plan.name, identity])
    this.#templates.copy(name, path, (template) => {
      this.#make(plan, template, identity, members, () => {})
    })
  }

  /** Puts a file at `path` that holds nothing but its identity. */
  joiner(path: string, identity: FileIdentity): void {
    joinerFile(this.#templates, path, identity)
  }

  /** What each group tells the others first. */
  #greetings(path: string): readonly OriginEntry[] {
    const identity = { cluster: 'greeting', node: 'greeting:00000000' }
    const members = { cluster: identity.cluster, members: [] }
    this.#first ??= this.plans.map((plan) => {
      return this.#make(plan, `${path}.${plan.name}`, identity, members, (store) => {
        return this.#greet(store, plan)
      })
    })
    return this.#first
  }

  #greet(store: Store, { origin, nodes }: GroupPlan): OriginEntry {
    const rules = RULES.map((rule) => ({ kind: 'rule', rule }) as const)
    const operations: readonly OriginOperation[] = [
      { kind: 'nodes', nodes },
      ...(origin === this.cluster.keeper ? rules : []),
    ]
    const fixed = { ticket: 2, term: BASE.term, at: AT, answer: 'none' } as const
    log(store, { kind: 'originate', ...fixed, operations })
    const ranges = [{ origin, first: 1, last: 1 }]
    const limits = { bytesMax: 1_000_000, entriesMax: 1 }
    const reply = run(store, { kind: 'readOrigins', ranges, ...limits })
    assert(reply.kind === 'originEntries', () => reply.kind)
    return present(reply.entries[0], () => `the first entry of ${origin}`)
  }

  #make<T>(
    { origin }: GroupPlan,
    path: string,
    identity: FileIdentity,
    members: Members,
    then: (store: Store) => T,
  ): T {
    const db = new DatabaseSync(path)
    db.exec(SCHEMA)
    db.close()
    const store = Store.open(path)
    try {
      const self = { self: origin, cluster: this.cluster }
      run(store, { kind: 'found', ticket: 1, identity, base: BASE, members, origin: self })
      return then(store)
    } finally {
      store.close()
    }
  }
}

/** Runs a command that logs one entry, and applies it. */
function log(store: Store, command: StoreCommand): void {
  const reply = run(store, command)
  assert(reply.kind === 'executed', () => reply.kind)
  const last = present(reply.entries.at(-1), () => `an entry of ${command.kind}`)
  run(store, { kind: 'apply', to: last.index })
}

function run(store: Store, command: StoreCommand): StoreReply {
  const reply = store.run(command)
  assert(reply.kind !== 'failed', () => `${command.kind}: ${JSON.stringify(reply)}`)
  return reply
}
