/**
 * Who leads which group, as its nodes say themselves: every node tells every linked node of another
 * group whether it leads. An exchange with a group runs over the link to the one that says so with
 * the highest term. A leader that was told to exchange nothing with a group says so too, so that the
 * link is down on both sides and both know why.
 */
import { type NodeId, type Term, toTerm } from '../../base/brand.ts'
import type { OriginMessage } from '../../model/message.ts'
import { LEADS_MS } from './settings.ts'

/** Leaders remind the others twice a second. */
const SILENT_MS = 5 * LEADS_MS

type Leads = Extract<OriginMessage, { readonly kind: 'leads' }>

interface Claim {
  readonly origin: string
  readonly term: Term
  /** It was told not to exchange anything with this group. */
  readonly cut: boolean
  /** When the node was heard last, monotonic ms. */
  heardAt: number
}

interface LinksNeeds {
  now(): number
  send(to: NodeId, message: Leads): void
  /** A fellow node of this group: not told. */
  isFellow(node: NodeId): boolean
  /** Whether this group is to exchange entries with the origin. */
  mayExchange(origin: string): boolean
  /** The exchange's link to an origin broke or came up. */
  changed(origin: string, up: boolean): void
}

export class OriginLinks {
  readonly #self: string
  readonly #needs: LinksNeeds
  readonly #linked = new Set<NodeId>()
  readonly #claims = new Map<NodeId, Claim>()
  /** With whom the exchange talks, by origin. */
  #up = new Map<string, NodeId>()
  readonly #cut = new Set<string>()
  #says: { readonly leads: boolean; readonly term: Term } = { leads: false, term: toTerm(0) }

  constructor(self: string, needs: LinksNeeds) {
    this.#self = self
    this.#needs = needs
  }

  /** Origins that the exchange has a link to. */
  get up(): ReadonlyMap<string, NodeId> {
    return this.#up
  }

  /** Origins that nothing is exchanged with until told otherwise. */
  get cuts(): ReadonlySet<string> {
    return this.#cut
  }

  /** Whether the leader of the origin's group was told to exchange nothing with this one. */
  isCutBy(origin: string): boolean {
    const leader = this.leaderOf(origin)
    return leader !== null && this.#claims.get(leader)?.cut === true
  }

  /** The node that leads the origin's group as far as is known, whether or not it is exchanged with. */
  leaderOf(origin: string): NodeId | null {
    let best: { readonly node: NodeId; readonly term: Term } | null = null
    for (const [node, claim] of this.#claims) {
      if (claim.origin !== origin || !this.#linked.has(node) || this.#isSilent(claim)) continue
      if (best === null || claim.term > best.term) best = { node, term: claim.term }
    }
    return best?.node ?? null
  }

  link(node: NodeId, up: boolean): void {
    if (up) {
      this.#linked.add(node)
      this.#tell(node)
      return
    }
    this.#linked.delete(node)
    if (this.#claims.delete(node)) this.refresh()
  }

  /** A node said whether it leads. */
  told(node: NodeId, { origin, term, leads, cut }: Leads): void {
    const was = this.#claims.get(node)
    if (was !== undefined && was.origin === origin && term < was.term) return
    if (leads) {
      const isCut = cut?.includes(this.#self) === true
      this.#claims.set(node, { origin, term, cut: isCut, heardAt: this.#needs.now() })
    } else this.#claims.delete(node)
    this.refresh()
  }

  /** This node leads its group in a term, or does not. */
  leads(leads: boolean, term: Term): void {
    if (leads === this.#says.leads && (!leads || term === this.#says.term)) return
    this.#says = { leads, term }
    this.#tellAll()
  }

  /** A node that leads said something. */
  heard(node: NodeId): void {
    const claim = this.#claims.get(node)
    if (claim === undefined) return
    const was = this.#isSilent(claim)
    claim.heardAt = this.#needs.now()
    if (was) this.refresh()
  }

  /**
   * A leader says again that it leads: it may have been lost. Who has not said so for long is cut off,
   * though its link seems to be up.
   */
  remind(): void {
    if (this.#says.leads) this.#tellAll()
    for (const node of this.#up.values()) {
      const claim = this.#claims.get(node)
      if (claim !== undefined && this.#isSilent(claim)) {
        this.refresh()
        return
      }
    }
  }

  cut(origin: string, cut: boolean): void {
    if (cut) this.#cut.add(origin)
    else this.#cut.delete(origin)
    if (this.#says.leads) this.#tellAll()
    this.refresh()
  }

  /** Looks again with whom the exchange is to talk. */
  refresh(): void {
    const was = this.#up
    const now = new Map<string, NodeId>()
    for (const { origin } of this.#claims.values()) {
      if (origin === this.#self || this.#cut.has(origin)) continue
      if (!this.#needs.mayExchange(origin)) continue
      const leader = this.leaderOf(origin)
      if (leader !== null && !this.isCutBy(origin)) now.set(origin, leader)
    }
    this.#up = now
    for (const [origin, node] of was) {
      if (now.get(origin) !== node) this.#needs.changed(origin, false)
    }
    for (const [origin, node] of now) {
      if (was.get(origin) !== node) this.#needs.changed(origin, true)
    }
  }

  #isSilent({ heardAt }: Claim): boolean {
    return this.#needs.now() - heardAt > SILENT_MS
  }

  #tellAll(): void {
    for (const node of this.#linked) this.#tell(node)
  }

  #tell(node: NodeId): void {
    if (this.#needs.isFellow(node)) return
    const cut = this.#cut.size > 0 ? { cut: [...this.#cut] } : {}
    this.#needs.send(node, { kind: 'leads', origin: this.#self, ...this.#says, ...cut })
  }
}
