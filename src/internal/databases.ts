/**
 * Names the LMDB databases of a store, which are its layout on disk.
 *
 * A store keeps no records in LMDB's unnamed database. Clearing the unnamed database drops
 * the named ones, and clearing it while it is empty corrupts LMDB's list of free pages.
 */

import { Buffer } from "node:buffer"

/** The version of the file format. */
export const metaDatabase = "meta"

/** The records of the store itself, which are in no namespace and in no collection. */
export const recordsDatabase = "records"

/** The definitions of record structures, by the number of the structure. */
export const structuresDatabase = "structures"

/** The catalog: the version, schemas and indexes of each collection, by the name of the collection. */
export const catalogDatabase = "collections"

const collectionPrefix = "collection/"

const indexPrefix = "index/"

/** The records of a collection. */
export const collectionDatabase = (collection: string): string => `${collectionPrefix}${collection}`

/** The prefix of the names of the index databases of a collection. */
export const indexDatabases = (collection: string): string => `${indexPrefix}${collection}/`

/** The entries of an index. */
export const indexDatabase = (collection: string, index: string): string => `${indexDatabases(collection)}${index}`

const namespacePrefix = "namespace/"

/** The records of a namespace. */
export const namespaceDatabase = (namespace: string): string => `${namespacePrefix}${namespace}`

/** The name of the namespace whose records a database contains; `undefined` if it is another database. */
export const namespaceOf = (database: string): string | undefined =>
  database.startsWith(namespacePrefix) ? database.slice(namespacePrefix.length) : undefined

/** The change log: what the last transactions wrote, by the numbers of the transactions. */
export const changeLogDatabase = "changes"

/** The entries that say which record expires when, in the order of the times. */
export const expiryDatabase = "expiry"

/** Whether a database contains the records of a program, which may expire. */
export const hasRecords = (database: string): boolean =>
  database === recordsDatabase || database.startsWith(collectionPrefix) || database.startsWith(namespacePrefix)

/** Whether a database contains the entries of an index. */
export const hasEntries = (database: string): boolean => database.startsWith(indexPrefix)

/** The database of an index: `records` is the database of the records, and `place` the name of the index in the catalog. */
export const indexOfRecords = (records: string, place: string): string =>
  indexDatabase(records.slice(collectionPrefix.length), place)

/** The database of the records of an index. */
export const recordsOfIndex = (index: string): string =>
  collectionDatabase(index.slice(indexPrefix.length, index.indexOf("/", indexPrefix.length)))

/** The databases with internal data of the store. */
const ownDatabases: ReadonlySet<string> = new Set([
  metaDatabase,
  structuresDatabase,
  catalogDatabase,
  changeLogDatabase,
  expiryDatabase
])

/** Whether the change log records the changes of a database: all but indexes and the internal databases. */
export const isLogged = (database: string): boolean => !ownDatabases.has(database) && !hasEntries(database)

/**
 * Tests the name of a collection, an index or a namespace. `/` separates the parts of the name of a database, and U+0000
 * separates a name from a key.
 */
export const isName = (name: unknown): name is string =>
  typeof name === "string" && /^[^/\0]+$/u.test(name) && name.isWellFormed() && Buffer.byteLength(name) <= 255

/** What a name must be, for messages. */
export const nameRule = "must be text of at most 255 bytes without \"/\""
