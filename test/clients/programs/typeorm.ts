/**
 * TypeORM through its better-sqlite3 driver with the package libsql in better-sqlite3's place, which
 * has the same methods and speaks to a server: a record collection. Entities, migrations, relations,
 * transactions.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import Database from 'libsql'
import {
  DataSource,
  EntitySchema,
  type MigrationInterface,
  QueryFailedError,
  type QueryRunner,
  Table,
  TableColumn,
} from 'typeorm'
import { retrying, runProgram, type Work } from './harness.ts'

interface Artist {
  id: number
  name: string
  since: Date
  active: boolean
  tags: string[]
  albums?: Album[]
}

interface Album {
  id: number
  title: string
  number: number
  cover: Buffer | null
  price: number
  artist?: Artist
  tracks?: Track[]
}

interface Track {
  id: number
  name: string
  album?: Album
}

const artistSchema = new EntitySchema<Artist>({
  name: 'Artist',
  tableName: 'rec_artists',
  columns: {
    id: { type: 'integer', primary: true, generated: 'increment' },
    name: { type: 'varchar', unique: true },
    since: { type: 'datetime', createDate: true },
    active: { type: 'boolean', default: true },
    tags: { type: 'simple-json', default: '[]' },
  },
  relations: { albums: { type: 'one-to-many', target: 'Album', inverseSide: 'artist' } },
})

const albumSchema = new EntitySchema<Album>({
  name: 'Album',
  tableName: 'rec_albums',
  columns: {
    id: { type: 'integer', primary: true, generated: 'increment' },
    title: { type: 'varchar' },
    number: { type: 'integer' },
    cover: { type: 'blob', nullable: true },
    price: { type: 'real', default: 0 },
  },
  relations: {
    artist: { type: 'many-to-one', target: 'Artist', inverseSide: 'albums', onDelete: 'CASCADE' },
    tracks: { type: 'one-to-many', target: 'Track', inverseSide: 'album', cascade: true },
  },
  uniques: [{ columns: ['artist', 'number'] }],
})

const trackSchema = new EntitySchema<Track>({
  name: 'Track',
  tableName: 'rec_tracks',
  columns: {
    id: { type: 'integer', primary: true, generated: 'increment' },
    name: { type: 'varchar' },
  },
  relations: {
    album: { type: 'many-to-one', target: 'Album', inverseSide: 'tracks', onDelete: 'CASCADE' },
  },
})

class Create1760000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const id = { name: 'id', type: 'integer', isPrimary: true, isGenerated: true } as const
    await runner.createTable(
      new Table({
        name: 'rec_artists',
        columns: [
          { ...id, generationStrategy: 'increment' },
          { name: 'name', type: 'varchar', isUnique: true },
          { name: 'since', type: 'datetime', default: "(datetime('now'))" },
          { name: 'active', type: 'boolean', default: '1' },
        ],
      }),
    )
    const owner = { columnNames: ['artistId'], referencedTableName: 'rec_artists' }
    await runner.createTable(
      new Table({
        name: 'rec_albums',
        columns: [
          { ...id, generationStrategy: 'increment' },
          { name: 'title', type: 'varchar' },
          { name: 'number', type: 'integer' },
          { name: 'cover', type: 'blob', isNullable: true },
          { name: 'artistId', type: 'integer', isNullable: true },
        ],
        uniques: [{ columnNames: ['artistId', 'number'] }],
        foreignKeys: [{ ...owner, referencedColumnNames: ['id'], onDelete: 'CASCADE' }],
      }),
    )
    await runner.query(
      `create table rec_tracks (id integer primary key autoincrement not null, name varchar not null,
         albumId integer references rec_albums (id) on delete cascade)`,
    )
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const name of ['rec_tracks', 'rec_albums', 'rec_artists']) await runner.dropTable(name)
  }
}

/** TypeORM adds a column by making the table anew. */
class Price1760000100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const price = new TableColumn({ name: 'price', type: 'real', default: '0' })
    await runner.addColumn('rec_albums', price)
    const tags = new TableColumn({ name: 'tags', type: 'text', default: "'[]'" })
    await runner.addColumn('rec_artists', tags)
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropColumn('rec_albums', 'price')
    await runner.dropColumn('rec_artists', 'tags')
  }
}

/** TypeORM takes `database` for the name of a file and would make a folder for it. */
async function connect(url: string): Promise<DataSource> {
  const source = new DataSource({
    type: 'better-sqlite3',
    database: ':memory:',
    driver: class extends Database {
      constructor() {
        super(url)
      }
    },
    // A statement that was prepared outside a transaction would end it: see libsql-driver.ts.
    statementCacheSize: 0,
    entities: [artistSchema, albumSchema, trackSchema],
    migrations: [Create1760000000000, Price1760000100000],
  })
  return source.initialize()
}

const RETRYABLE =
  /\b(SQLITE_BUSY|TRANSACTION_CLOSED|TRANSACTION_TIMEOUT|STREAM_EXPIRED|UNKNOWN_OUTCOME|baton|Hrana\(Http)\b/

/** The driver libsql puts everything that its server says into the words of its error. */
function reasonToRetry(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const cause = error instanceof QueryFailedError ? error.driverError : error
  return RETRYABLE.exec(`${cause.name} ${cause.message}`)?.[1] ?? null
}

function isConnectionError(error: unknown): boolean {
  return ['baton', 'Hrana(Http'].includes(reasonToRetry(error) ?? '')
}

async function check(url: string): Promise<void> {
  const source = await connect(url)
  await source.runMigrations({ transaction: 'each' })
  equal((await source.runMigrations()).length, 0)
  await source.getRepository(artistSchema).deleteAll()
  await columns(source)
  await relations(source)
  await transactions(source)
  await paging(source)
  await constraints(source)
  await source.destroy()
}

async function columns(source: DataSource): Promise<void> {
  const artists = source.getRepository(artistSchema)
  const ada = await artists.save({ name: 'Ada', tags: ['a', 'ž'] })
  ok(ada.since instanceof Date)
  const cover = Buffer.from([1, 0, 255])
  const albums = source.getRepository(albumSchema)
  await albums.save({ title: 'First', number: 1, cover, price: 9.99, artist: ada })
  const read = await artists.findOneOrFail({ where: { name: 'Ada' }, relations: { albums: true } })
  deepEqual([read.active, read.tags], [true, ['a', 'ž']])
  const [first] = read.albums ?? []
  deepEqual([first?.title, first?.price, Buffer.from(first?.cover ?? [])], ['First', 9.99, cover])
  await artists.update({ name: 'Ada' }, { active: false })
  equal(await artists.countBy({ active: false }), 1)
}

async function relations(source: DataSource): Promise<void> {
  const artist = await source.getRepository(artistSchema).findOneByOrFail({ name: 'Ada' })
  await source.getRepository(albumSchema).save({
    ...{ title: 'Second', number: 2, artist },
    tracks: [{ name: 'one' }, { name: 'two' }],
  })
  const found = await source
    .getRepository(albumSchema)
    .createQueryBuilder('album')
    .innerJoinAndSelect('album.artist', 'artist')
    .innerJoinAndSelect('album.tracks', 'track')
    .where('artist.name = :name', { name: 'Ada' })
    .orderBy('track.name')
    .getMany()
  deepEqual(
    found.map(({ title, tracks }) => [title, tracks?.map(({ name }) => name)]),
    [['Second', ['one', 'two']]],
  )
  const sums = await source
    .getRepository(albumSchema)
    .createQueryBuilder('album')
    .select('sum(album.number)', 'n')
    .getRawOne<{ n: number }>()
  equal(sums?.n, 3)
}

async function transactions(source: DataSource): Promise<void> {
  await source.transaction(async (manager) => {
    await manager.getRepository(artistSchema).save({ name: 'Grace' })
    equal(await manager.getRepository(artistSchema).count(), 2)
  })
  const failing = source.transaction(async (manager) => {
    await manager.getRepository(artistSchema).deleteAll()
    throw new Error('changed my mind')
  })
  await rejects(failing, /changed my mind/)
  equal(await source.getRepository(artistSchema).count(), 2)
}

async function paging(source: DataSource): Promise<void> {
  const artist = await source.getRepository(artistSchema).findOneByOrFail({ name: 'Grace' })
  const albums = source.getRepository(albumSchema)
  const numbers = Array.from({ length: 60 }, (_, at) => at + 1)
  await albums.insert(numbers.map((number) => ({ title: 'page', number, artist })))
  const seen: number[] = []
  for (let skip = 0; skip < 60; skip += 25) {
    const [page, total] = await albums.findAndCount({
      where: { title: 'page' },
      order: { number: 'ASC' },
      ...{ skip, take: 25 },
    })
    equal(total, 60)
    seen.push(...page.map(({ number }) => number))
  }
  deepEqual(seen, numbers)
}

async function constraints(source: DataSource): Promise<void> {
  const artists = source.getRepository(artistSchema)
  const isUnique = (error: unknown): boolean =>
    error instanceof QueryFailedError && /UNIQUE constraint failed/.test(error.message)
  await rejects(artists.insert({ name: 'Ada' }), isUnique)
  await rejects(source.query('insert into rec_tracks (name, albumId) values (?, ?)', ['x', 98_765]))
  await artists.deleteAll()
  deepEqual(
    [
      await source.getRepository(albumSchema).count(),
      await source.getRepository(trackSchema).count(),
    ],
    [0, 0],
  )
}

/** Each run has an artist; a piece of work is an album with two tracks. */
async function open(url: string, run: string): Promise<Work> {
  const source = await retrying(() => connect(url), reasonToRetry)
  await retrying(() => source.runMigrations({ transaction: 'each' }), reasonToRetry)
  const artists = source.getRepository(artistSchema)
  const artist = await retrying(async () => {
    await artists.upsert(
      { name: run },
      { conflictPaths: ['name'], skipUpdateIfNoValuesChanged: true },
    )
    return artists.findOneByOrFail({ name: run })
  }, reasonToRetry)
  const attempt = <T>(action: () => Promise<T>): Promise<T> =>
    retrying(async () => {
      try {
        if (!source.isInitialized) await source.initialize()
        return await action()
      } catch (error) {
        // TypeORM would go on in a transaction whose ROLLBACK failed.
        if (source.isInitialized && isConnectionError(error)) await source.destroy()
        throw error
      }
    }, reasonToRetry)
  return {
    // The driver blocks, and TypeORM has one connection for all.
    lanes: 1,
    step: (number) => attempt(() => release(source, artist, number)),
    done: () => attempt(() => audit(source, artist)),
    close: () => source.destroy(),
  }
}

async function release(source: DataSource, artist: Artist, number: number): Promise<void> {
  await source.transaction(async (manager) => {
    const albums = manager.getRepository(albumSchema)
    // Had an earlier attempt succeeded after all, its album would be here.
    if (await albums.existsBy({ artist: { id: artist.id }, number })) return
    const tracks = [{ name: 'a' }, { name: 'b' }]
    await albums.save({ title: 'work', number, artist, tracks })
  })
}

async function audit(source: DataSource, artist: Artist): Promise<number[]> {
  const albums = await source.getRepository(albumSchema).find({
    where: { artist: { id: artist.id } },
    relations: { tracks: true },
  })
  for (const album of albums) equal(album.tracks?.length, 2)
  return albums.map(({ number }) => number)
}

await runProgram({ check, open })
