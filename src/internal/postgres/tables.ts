/**
 * The tables of a store on a database server.
 *
 * The names of all tables begin with the option `table`, here `kv`:
 *
 * - `kv`: the records of all databases. Keys and values are bytes. The server orders `bytea` by its bytes.
 * - `kv_database`: the numbers of the named databases. A database is never dropped.
 * - `kv_store`: one row with the format, the number of the last commit, and the number after which the log is complete. Each
 *   commit locks it, so commits run one after the other, and their numbers have no gaps.
 * - `kv_log`: what the last commits wrote. `kind`: 0 clear, 1 put, 2 delete, 3 delete of an expired record. `had`: whether the
 *   key had a value before. `old`: that value, if `has_old`. `at`: the time of the commit by the clock of the server, in milliseconds since 1970.
 * - `kv_client`: the last commit of each process and its outcome, so that a process whose answer was lost can ask again.
 */

/** The version of the tables. */
export const formatVersion = 1

/** The names of the tables and functions of a store. */
export interface Tables {
  readonly records: string
  readonly databases: string
  readonly store: string
  readonly log: string
  readonly clients: string
  readonly commit: string
  readonly trim: string
  /** The channel of the notifications of commits. */
  readonly channel: string
}

/** Makes the names. */
export const make = (table: string): Tables => ({
  records: table,
  databases: `${table}_database`,
  store: `${table}_store`,
  log: `${table}_log`,
  clients: `${table}_client`,
  commit: `${table}_commit_1`,
  trim: `${table}_trim_1`,
  channel: `${table}_commits`
})

/** Whether a text can be the name of the tables. The longest name with a suffix has at most 63 characters. */
export const isTableName = (name: unknown): name is string =>
  typeof name === "string" && /^[a-z_][a-z0-9_]{0,39}$/.test(name)

/** The statements that create the tables, in their order. Run them under an advisory lock. */
export const creations = (tables: Tables): ReadonlyArray<string> => [
  `CREATE TABLE IF NOT EXISTS ${tables.store} (
     id int PRIMARY KEY, format int NOT NULL, number bigint NOT NULL, log_start bigint NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS ${tables.databases} (
     id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text COLLATE "C" NOT NULL UNIQUE)`,
  `CREATE TABLE IF NOT EXISTS ${tables.records} (
     db int NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (db, key))`,
  // Values are compact already.
  `ALTER TABLE ${tables.records} ALTER COLUMN value SET STORAGE EXTERNAL`,
  `CREATE TABLE IF NOT EXISTS ${tables.log} (
     number bigint NOT NULL, n int NOT NULL, db int NOT NULL, kind int NOT NULL, key bytea NOT NULL, value bytea,
     had boolean NOT NULL, old bytea, has_old boolean NOT NULL, at bigint NOT NULL, PRIMARY KEY (number, n))`,
  `ALTER TABLE ${tables.log} ALTER COLUMN value SET STORAGE EXTERNAL`,
  `ALTER TABLE ${tables.log} ALTER COLUMN old SET STORAGE EXTERNAL`,
  `CREATE TABLE IF NOT EXISTS ${tables.clients} (
     id text PRIMARY KEY, token bigint NOT NULL, number bigint NOT NULL, failed int[] NOT NULL,
     at timestamptz NOT NULL DEFAULT now())`,
  `INSERT INTO ${tables.store} (id, format, number, log_start) VALUES (1, ${formatVersion}, 0, 0) ON CONFLICT DO NOTHING`
]

/** The statements that remove everything. */
export const removals = (tables: Tables): ReadonlyArray<string> => [
  ...[tables.records, tables.databases, tables.store, tables.log, tables.clients].map((name) =>
    `DROP TABLE IF EXISTS ${name}`
  ),
  `DROP FUNCTION IF EXISTS ${tables.commit}`,
  `DROP FUNCTION IF EXISTS ${tables.trim}`
]
