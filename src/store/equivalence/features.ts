/**
 * What the random test must reach, by the names that its report uses: the list of "All of SQLite".
 * A statement is tagged when it is made; it counts when plain SQLite has run it.
 */

/** Each with how often, at least, it must succeed in 50,000 statements. */
export const FEATURES = {
  'foreign key: on delete cascade': 10,
  'foreign key: on delete set null': 10,
  'foreign key: on delete set default': 5,
  'foreign key: on delete restrict': 10,
  'foreign key: on delete no action': 10,
  'foreign key: on update cascade': 10,
  'foreign key: on update set null': 5,
  'foreign key: on update set default': 5,
  'foreign key: on update restrict': 10,
  'foreign key: on update no action': 10,
  'foreign key: deferred': 20,
  'foreign key: of several columns': 20,
  'foreign key: to its own table': 20,
  'pragma defer_foreign_keys': 15,
  'pragma foreign_keys': 20,
  'trigger: before insert': 20,
  'trigger: before update': 20,
  'trigger: before delete': 5,
  'trigger: after insert': 20,
  'trigger: after update': 20,
  'trigger: after delete': 20,
  'trigger: instead of insert': 2,
  'trigger: instead of update': 2,
  'trigger: instead of delete': 2,
  'trigger: raise(ignore)': 5,
  'trigger: raise(abort)': 3,
  'trigger: raise(fail)': 3,
  'trigger: raise(rollback)': 3,
  'trigger: recursive': 20,
  autoincrement: 100,
  'autoincrement: sqlite_sequence written': 5,
  'generated column: virtual': 100,
  'generated column: stored': 100,
  strict: 100,
  'strict: any': 20,
  'without rowid': 100,
  'primary key: none': 100,
  'primary key: null': 20,
  'primary key: text': 100,
  'primary key: of several columns': 100,
  'rowid: updated': 20,
  'key: updated': 20,
  'key: swapped': 20,
  'unique: swapped': 15,
  view: 20,
  'index: partial': 15,
  'index: expression': 20,
  'index: unique': 20,
  'index: unique expression': 10,
  'collation: nocase': 100,
  'collation: rtrim': 100,
  'check constraint': 100,
  'conflict clause of a column': 20,
  fts5: 50,
  'fts5: contentless': 20,
  'fts5: contentless_delete': 20,
  'fts5: external content': 50,
  'fts5: command': 20,
  'fts5: query': 20,
  rtree: 50,
  'rtree: auxiliary columns': 20,
  'insert or replace': 50,
  'insert or ignore': 50,
  'insert or fail': 50,
  'insert or rollback': 50,
  'insert or abort': 50,
  'update or replace': 20,
  'update or ignore': 20,
  'update or fail': 20,
  'update or rollback': 20,
  'update or abort': 20,
  replace: 50,
  'insert default values': 20,
  'insert select': 20,
  'upsert: do nothing': 20,
  'upsert: do update': 20,
  'upsert: several clauses': 5,
  'returning: insert': 50,
  'returning: update': 50,
  'returning: delete': 50,
  'update from': 20,
  'common table expression': 50,
  'common table expression: recursive': 20,
  'create table as': 20,
  'create table': 20,
  'create index': 20,
  'create trigger': 20,
  'create view': 20,
  'drop table': 20,
  'drop table: a parent': 5,
  'drop index': 10,
  'drop trigger': 10,
  'drop view': 3,
  'alter table: rename': 10,
  'alter table: rename column': 10,
  'alter table: add column': 10,
  'alter table: drop column': 4,
  'alter table: constraints': 10,
  analyze: 10,
  reindex: 10,
  'migration: rebuild and rename': 10,
  'migration: rebuild with foreign keys on': 5,
  'migration: in a stream': 10,
  'transaction: committed': 50,
  'transaction: rolled back': 50,
  'savepoint: released': 30,
  'savepoint: rolled back to': 30,
  'program: atomic': 50,
  'stream: interactive': 50,
  'pragma user_version': 20,
  'pragma application_id': 20,
  'function: random': 20,
  'function: time': 20,
  'function: changes': 15,
  'function: last_insert_rowid': 15,
  'function: json': 20,
  'window function': 20,
  'compound select': 20,
  'value: integers at the ends': 30,
  'value: real of 2^63': 30,
  'value: negative zero': 30,
  'value: NaN': 30,
  'value: infinity': 30,
  'value: empty blob': 30,
  'value: large blob': 30,
  'value: empty text': 30,
  'value: NUL in text': 30,
  'value: invalid UTF-8': 30,
  'value: other planes of Unicode': 30,
  'string in double quotes': 30,
  'names: quoted': 100,
  'names: in another case': 50,
} as const satisfies Record<string, number>

export type Feature = keyof typeof FEATURES

/** What happens to replicas between statements; counted like features. */
export const EVENTS = {
  'replica: restarted': 20,
  'replica: made from a snapshot': 20,
  'replica: compacted its log': 20,
  'history: taken back': 20,
} as const satisfies Record<string, number>

export type Event = keyof typeof EVENTS

interface Count {
  succeeded: number
  failed: number
}

/** How often each feature was reached. */
export class Coverage {
  readonly #counts = new Map<Feature | Event, Count>()
  /** Statements that ran. */
  statements = 0
  /** Scripts that ran. */
  seeds = 0
  /** Those that ended early because SQLite leaves open what comes next, by reason. */
  readonly unclear = new Map<string, number>()

  count(features: Iterable<Feature | Event>, succeeded: boolean): void {
    for (const feature of features) {
      const count = this.#counts.get(feature) ?? { succeeded: 0, failed: 0 }
      count[succeeded ? 'succeeded' : 'failed'] += 1
      this.#counts.set(feature, count)
    }
  }

  endedEarly(reason: string): void {
    this.unclear.set(reason, (this.unclear.get(reason) ?? 0) + 1)
  }

  of(feature: Feature | Event): Count {
    return this.#counts.get(feature) ?? { succeeded: 0, failed: 0 }
  }

  /** Features that were not reached as often as this many statements should. */
  missing(): readonly string[] {
    const share = this.statements / 50_000
    const missing: string[] = []
    for (const [feature, minimum] of wanted()) {
      const { succeeded } = this.of(feature)
      const least = Math.floor(minimum * share)
      if (succeeded < least) missing.push(`${feature}: ${succeeded} of ${least}`)
    }
    return missing
  }

  /** A line for each feature: name, how often it succeeded, how often SQLite said no. */
  report(): string {
    const lines = [...wanted()].map(([feature]) => {
      const { succeeded, failed } = this.of(feature)
      return `${feature.padEnd(42)} ${String(succeeded).padStart(8)} ${String(failed).padStart(8)}`
    })
    const head = `${'feature'.padEnd(42)} ${'succeeded'.padStart(8)} ${'failed'.padStart(8)}`
    const ended = [...this.unclear].map(([reason, n]) => `${n} scripts ended early: ${reason}`)
    const sum = `${this.statements} statements, ${this.seeds} scripts`
    return [head, ...lines, ...ended, sum].join('\n')
  }
}

function wanted(): readonly (readonly [Feature | Event, number])[] {
  return Object.entries({ ...FEATURES, ...EVENTS }) as [Feature | Event, number][]
}
