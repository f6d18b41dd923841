/** Full text and R*Tree indexes that triggers keep: right on every replica whatever met whatever. */
import { deepEqual, equal, throws } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { NOTHING } from '../../core/order/clock/frontier.ts'
import { changesetTables } from '../../model/changeset.ts'
import type { Transaction } from './merge-tables.ts'
import { OrderedTransactions } from './ordered.ts'

const TABLES = `
  create table doc (id integer primary key, title text, body text);
  create virtual table found using fts5 (title, body, content = 'doc', content_rowid = 'id');
  create table place (id integer primary key, x real, y real, name text);
  create virtual table area using rtree (id, x0, x1, y0, y1);
  insert into doc values (1, 'one', 'first words'), (2, 'two', 'second words');
  insert into found (found) values ('rebuild');
  insert into place values (1, 1, 1, 'here'); insert into area values (1, 1, 1, 1, 1);`
const TRIGGERS = [
  `create trigger doc_in after insert on doc begin
    insert into found (rowid, title, body) values (new.id, new.title, new.body); end`,
  `create trigger "doc out" after delete on doc for each row begin
    insert into found (found, rowid, title, body) values ('delete', old.rowid, old.title, old.body); end`,
  `create trigger doc_up after update of title, body on doc when old.title is not new.title
    or old.body is not new.body begin
    insert into found (found, rowid, title, body) values ('delete', old.id, old.title, old.body);
    insert into found (rowid, title, body) values (new.id, new.title, new.body); end`,
  `create trigger place_in after insert on place begin
    insert or replace into area values (new.id, new.x, new.x, new.y, new.y); end`,
  `create trigger place_up after update of x, y on place begin
    update area set x0 = new.x, x1 = new.x, y0 = new.y, y1 = new.y where id = new.id; end`,
  `create trigger place_out after delete on place begin delete from area where id = old.id; end`,
]

class Writer {
  readonly db = new DatabaseSync(':memory:', { enableForeignKeyConstraints: false })
  readonly ordered: OrderedTransactions
  readonly #name: string
  #sequence = 0

  constructor(name: string) {
    this.#name = name
    this.db.exec(TABLES)
    for (const sql of TRIGGERS) this.db.exec(sql)
    this.ordered = new OrderedTransactions(this.db)
    this.#dropTriggers()
  }

  #dropTriggers(): void {
    for (const sql of TRIGGERS) {
      const [, name] = /create trigger ("[^"]+"|\w+)/.exec(sql) ?? []
      this.db.exec(`drop trigger if exists ${name}`)
    }
  }

  /** With triggers, as an application writes. */
  write(time: number, sql: string): Transaction {
    for (const trigger of TRIGGERS) this.db.exec(trigger)
    this.db.exec('begin')
    const session = this.db.createSession()
    this.db.exec(sql)
    const changes = this.ordered.travelling(session.changeset())
    session.close()
    this.#sequence += 1
    const stamp = { time, origin: this.#name }
    const made = { stamp, sequence: this.#sequence, seen: NOTHING, changes }
    this.ordered.adopt([made])
    this.db.exec('commit')
    this.#dropTriggers()
    return made
  }

  merge(...transactions: Transaction[]): void {
    this.db.exec('begin')
    this.ordered.merge(transactions)
    this.db.exec('commit')
  }

  ids(sql: string): unknown[] {
    return this.db
      .prepare(sql)
      .all()
      .map((row) => Object.values(row)[0])
  }

  check(): void {
    // Fails if the index is not that of the content.
    this.db.exec(`insert into found (found, rank) values ('integrity-check', 1)`)
    deepEqual(
      this.db.prepare('select id, x0, y0 from area order by id').all(),
      this.db.prepare('select id, x as x0, y as y0 from place order by id').all(),
    )
  }
}

test('indexes follow rows that were merged, taken back, brought back and cascaded', () => {
  const [a, b] = [new Writer('a'), new Writer('b')]
  const first = a.write(
    1,
    `update doc set body = 'apples' where id = 1; delete from doc where id = 2;
    insert into place values (7, 5, 5, 'a')`,
  )
  const second = b.write(
    2,
    `update doc set title = 'deux', body = 'pears' where id = 2;
    update doc set title = 'uno' where id = 1; insert into place values (7, 9, 9, 'b')`,
  )
  const third = b.write(
    3,
    `insert into doc values (3, 'three', 'plums'); update place set x = 4 where id = 1`,
  )
  deepEqual(changesetTables(second.changes), ['doc', 'place'])
  a.merge(third)
  a.merge(second)
  b.merge(first)
  for (const each of [a, b]) {
    each.check()
    deepEqual(each.ids(`select rowid from found where found match 'pears'`), [2])
    deepEqual(each.ids(`select rowid from found where found match 'uno AND apples'`), [1])
    deepEqual(each.ids(`select rowid from found where found match 'first OR second'`), [])
    deepEqual(each.ids('select id from area where x0 > 8'), [7])
  }
  equal(a.db.prepare('select count(*) as n from quorate_conflicts').get()?.['n'], 2)
})

test('what could not be kept in step is refused', () => {
  const refuses = (sql: string, message: RegExp): void => {
    const db = new DatabaseSync(':memory:')
    db.exec(sql)
    throws(() => new OrderedTransactions(db), message)
    db.close()
  }
  refuses(
    `create table t (id integer primary key, n int); create table log (id integer primary key);
     create virtual table f using fts5 (body);
     create trigger tr after insert on t begin insert into f values (new.n);
       insert into log values (new.id); end`,
    /make two triggers/,
  )
  refuses(
    `create table t (id text primary key, n int); create virtual table f using fts5 (body);
     create trigger tr after insert on t begin insert into f (rowid, body) values (new.rowid, 1); end`,
    /uses the rowid/,
  )
})
