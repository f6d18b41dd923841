/**
 * The log and the store's own state, in tables of the user's file, so that data and log can't
 * disagree after a crash. All names begin with _quorate_; dropping the tables gives the plain
 * database back.
 *
 * What the core asks for all the time (where terms begin, which entries change members) is kept in
 * memory too, and follows the file only after COMMIT.
 */
import { assert, present } from '../base/assert.ts'
import { type LogIndex, next, type Term, toLogIndex, toTerm } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import type { LogState } from '../core/order/leader/types.ts'
import { ENTRY_KINDS, type Entry, type EntryId, type EntryKind } from '../model/entry.ts'
import { checkEntry, decodeMembers, encodeMembers } from '../model/entry-codec.ts'
import type { Members } from '../model/members.ts'
import type { Connection, Internal } from './connections.ts'
import type { FileIdentity, LogPart } from './types.ts'

const TABLES = `
  create table _quorate_log (
    idx integer primary key, term integer not null, kind text not null, at integer not null,
    checksum integer not null, body blob not null
  );
  create table _quorate_state (key text primary key not null, value not null) without rowid;`

/**
 * The writer's way into the log. An INSERT there would change what last_insert_rowid() tells the
 * client's next statement; inside a trigger it does not.
 */
const WRITER_VIEW = `
  create temp view if not exists _quorate_new as
    select 0 as idx, 0 as term, '' as kind, 0 as at, 0 as checksum, x'' as body;
  create temp trigger if not exists _quorate_new_entry instead of insert on _quorate_new begin
    insert into _quorate_log (idx, term, kind, at, checksum, body)
      values (new.idx, new.term, new.kind, new.at, new.checksum, new.body);
  end;`

const COLUMNS = '(idx, term, kind, at, checksum, body) values (?, ?, ?, ?, ?, ?)'

const NO_MEMBERS: Members = { cluster: '', members: [] }
const ZERO: EntryId = { term: toTerm(0), index: toLogIndex(0) }

/** As how many parts the size of the log is told. */
const PARTS_MAX = 256

export class Log {
  readonly #applier: Connection
  readonly #insertOnWriter: Internal
  readonly #insertOnApplier: Internal
  readonly #one: Internal
  readonly #bytes: Internal
  readonly #deleteAbove: Internal
  readonly #deleteThrough: Internal
  #state: LogState = {
    base: ZERO,
    last: ZERO,
    terms: [ZERO],
    members: [{ index: ZERO.index, members: NO_MEMBERS }],
    applied: ZERO.index,
    commit: ZERO.index,
  }
  #identity: FileIdentity | null = null

  constructor(writer: Connection, applier: Connection) {
    this.#applier = applier
    this.#insertOnWriter = writer.internal(`insert into _quorate_new ${COLUMNS}`)
    this.#insertOnApplier = applier.internal(`insert into _quorate_log ${COLUMNS}`)
    this.#one = applier.internal(
      'select idx, term, kind, at, checksum, body from _quorate_log where idx = ?',
    )
    this.#bytes = applier.internal(
      'select sum(length(body)) from _quorate_log where idx > ? and idx <= ?',
    )
    this.#deleteAbove = applier.internal('delete from _quorate_log where idx > ?')
    this.#deleteThrough = applier.internal('delete from _quorate_log where idx <= ?')
    writer.db.exec(WRITER_VIEW)
    this.load()
  }

  get state(): LogState {
    return this.#state
  }

  get last(): EntryId {
    return this.#state.last
  }

  get applied(): LogIndex {
    return this.#state.applied
  }

  get base(): EntryId {
    return this.#state.base
  }

  get identity(): FileIdentity | null {
    return this.#identity
  }

  /** Reads everything from the file. Throws LOG_CORRUPT. */
  load(): void {
    const there = "select 1 from sqlite_schema where name = '_quorate_state'"
    if (this.#applier.internal(there).row() === undefined) return
    const rows = this.#applier.internal('select key, value from _quorate_state').rows()
    const values = new Map(rows.map(([key, value]) => [String(key), value]))
    const value = (key: string) => present(values.get(key), () => `_quorate_state ${key}`)
    const base: EntryId = {
      term: toTerm(Number(value('baseTerm'))),
      index: toLogIndex(Number(value('baseIndex'))),
    }
    const baseMembers = { index: base.index, members: decodeMembers(blob(value('baseMembers'))) }
    const terms = this.#readTerms(base)
    this.#identity = { cluster: String(value('cluster')), node: String(value('node')) }
    this.#state = {
      base,
      last: this.#readLast(base),
      terms,
      members: [baseMembers, ...this.#readMembers()],
      applied: toLogIndex(Number(value('applied'))),
      commit: toLogIndex(Number(value('commit'))),
    }
  }

  /** Creates the tables in a transaction of the applier's that is open. */
  create(identity: FileIdentity, base: EntryId, members: Members): void {
    this.#applier.db.exec(TABLES)
    this.#setBase(base, members)
    this.setIdentity(identity)
    this.saveApplied(this.#applier, base.index)
    this.saveCommit(base.index)
  }

  /** Forgets all entries: a log of somebody else's begins with the same rows. */
  restart(identity: FileIdentity, base: EntryId, members: Members): void {
    this.#deleteThrough.run(this.last.index)
    this.#setBase(base, members)
    this.setIdentity(identity)
    this.saveApplied(this.#applier, base.index)
    this.saveCommit(base.index)
  }

  setIdentity(identity: FileIdentity): void {
    this.#applier.setState('cluster', identity.cluster)
    this.#applier.setState('node', identity.node)
  }

  // Within a transaction; `noted…` follows once it has committed.

  /** Adds an entry after the last one. */
  write(connection: Connection, entry: Entry): void {
    const { index, term, kind, at, checksum, body } = entry
    const insert = connection === this.#applier ? this.#insertOnApplier : this.#insertOnWriter
    insert.run(index, term, kind, at, checksum, body)
  }

  saveApplied(connection: Connection, index: LogIndex): void {
    connection.setState('applied', index)
  }

  saveCommit(index: LogIndex): void {
    this.#applier.setState('commit', index)
  }

  deleteAbove(index: LogIndex): void {
    this.#deleteAbove.run(index)
  }

  /** Drops entries through `index` and makes it the base. */
  deleteThrough(index: LogIndex): EntryId {
    const base = { term: this.termAt(index), index }
    this.#setBase(base, this.membersAt(index))
    this.#deleteThrough.run(index)
    return base
  }

  #setBase(base: EntryId, members: Members): void {
    this.#applier.setState('baseIndex', base.index)
    this.#applier.setState('baseTerm', base.term)
    this.#applier.setState('baseMembers', encodeMembers(members))
  }

  // After COMMIT

  /** Entries were logged after the last one. */
  notedEntries(entries: readonly Entry[]): void {
    const terms = [...this.#state.terms]
    const members = [...this.#state.members]
    let { last } = this.#state
    for (const { index, term, kind, body } of entries) {
      assert(index === last.index + 1, () => `entry ${index} after ${last.index}`)
      if (term !== last.term) terms.push({ term, index })
      if (kind === 'members') members.push({ index, members: decodeMembers(body) })
      last = { term, index }
    }
    this.#state = { ...this.#state, terms, members, last }
  }

  notedApplied(applied: LogIndex): void {
    assert(applied <= this.last.index, () => `applied ${applied} above last ${this.last.index}`)
    this.#state = { ...this.#state, applied }
  }

  notedCommit(commit: LogIndex): void {
    this.#state = { ...this.#state, commit }
  }

  /** Everything above `to` is gone. */
  notedTruncated(to: LogIndex): void {
    const { terms, members, applied } = this.#state
    const last = { term: this.termAt(to), index: to }
    this.#state = {
      ...this.#state,
      last,
      terms: terms.filter(({ index }) => index <= to),
      members: members.filter(({ index }) => index <= to),
      applied: applied > to ? to : applied,
    }
  }

  /** Everything through `to` is gone. What is left is known: to read it again would read all of the log. */
  notedDropped(to: LogIndex): void {
    const { terms, members } = this.#state
    const base = { term: this.termAt(to), index: to }
    this.#state = {
      ...this.#state,
      base,
      terms: [base, ...terms.filter(({ index }) => index > to)],
      members: [
        { index: to, members: this.membersAt(to) },
        ...members.filter(({ index }) => index > to),
      ],
    }
  }

  /** The term of an entry that is held, or of the base. */
  termAt(index: LogIndex): Term {
    const { base, last, terms } = this.#state
    assert(
      index >= base.index && index <= last.index,
      () => `term of ${index} outside ${base.index}..${last.index}`,
    )
    return present(
      terms.findLast((start) => start.index <= index),
      () => `term of ${index}`,
    ).term
  }

  membersAt(index: LogIndex): Members {
    const found = this.#state.members.findLast((one) => one.index <= index)
    return present(found, () => `members at ${index}`).members
  }

  /**
   * Entries from..to in order, each checked against its checksum. Each by a query of its own: one
   * that is still being read would keep DDL in between from running. Throws LOG_CORRUPT.
   */
  *entries(from: LogIndex, to: LogIndex): Generator<Entry, void, undefined> {
    for (let index = from; index <= to; index = next(index)) {
      const row = this.#one.row(index)
      if (row === undefined) {
        throw new QuorateError('LOG_CORRUPT', `Entry ${index} is missing from the log.`)
      }
      const entry = toEntry(row)
      checkEntry(entry)
      yield entry
    }
  }

  /**
   * How many bytes of bodies the log holds, part by part. Bodies aren't read for that, only where
   * their rows begin: a tenth of a second for a million entries.
   */
  parts(): readonly LogPart[] {
    const { base, last } = this.#state
    const step = Math.max(1, Math.ceil((last.index - base.index) / PARTS_MAX))
    const parts: LogPart[] = []
    for (let from = base.index; from < last.index; ) {
      const to = toLogIndex(Math.min(from + step, last.index))
      const [bytes] = present(this.#bytes.row(from, to), () => `bytes of ${from}..${to}`)
      parts.push({ last: to, bytes: Number(bytes) })
      from = to
    }
    return parts
  }

  #readTerms(base: EntryId): readonly EntryId[] {
    const starts = this.#applier.internal(
      'select min(idx), term from _quorate_log group by term order by term',
    )
    const terms = [base]
    for (const [index, term] of starts.rows()) {
      if (Number(term) === base.term) continue
      terms.push({ term: toTerm(Number(term)), index: toLogIndex(Number(index)) })
    }
    return terms
  }

  #readLast(base: EntryId): EntryId {
    const row = this.#applier
      .internal('select idx, term from _quorate_log order by idx desc limit 1')
      .row()
    if (row === undefined) return base
    return { index: toLogIndex(Number(row[0])), term: toTerm(Number(row[1])) }
  }

  #readMembers() {
    const rows = this.#applier
      .internal("select idx, body from _quorate_log where kind = 'members' order by idx")
      .rows()
    return rows.map(([index, body]) => ({
      index: toLogIndex(Number(index)),
      members: decodeMembers(blob(body)),
    }))
  }
}

function blob(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new QuorateError('LOG_CORRUPT', 'The log holds a body that is not a blob.')
}

function toEntry(row: readonly unknown[]): Entry {
  const [index, term, kind, at, checksum, body] = row
  const known = ENTRY_KINDS.find((one) => one === kind)
  if (known === undefined) {
    throw new QuorateError('LOG_CORRUPT', `Entry ${index} is of an unknown kind.`)
  }
  return {
    index: toLogIndex(Number(index)),
    term: toTerm(Number(term)),
    kind: known satisfies EntryKind,
    at: Number(at),
    body: blob(body),
    checksum: Number(checksum),
  }
}
