import type { NodeId } from '../base/brand.ts'

export const MEMBER_ROLES = ['voter', 'learner'] as const
export type MemberRole = (typeof MEMBER_ROLES)[number]

/** One replica of a group, as the group's log knows it. */
export interface Member {
  readonly id: NodeId
  /** What people call it; unique in the group. */
  readonly name: string
  /** Where peers and clients reach it, for example http://127.0.0.1:7001. */
  readonly url: string
  readonly role: MemberRole
  /** A learner that wants to vote is promoted by the leader once it has caught up. */
  readonly wants: MemberRole
  /** Higher is preferred as leader; 0 never becomes leader. Default 1. */
  readonly priority: number
}

/** The group's configuration: complete in every entry of kind `members`, sorted by id. */
export interface Members {
  readonly cluster: string
  readonly members: readonly Member[]
}

/** One change at a time (Ongaro's thesis, 4.1). */
export type MemberChange =
  | { readonly kind: 'add'; readonly member: Member }
  | { readonly kind: 'remove'; readonly id: NodeId }
  | { readonly kind: 'promote'; readonly id: NodeId }
  | { readonly kind: 'demote'; readonly id: NodeId }
  | {
      readonly kind: 'update'
      readonly id: NodeId
      readonly url: string
      readonly priority: number
    }
