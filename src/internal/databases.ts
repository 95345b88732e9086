/**
 * Names the LMDB databases of a store, which are its layout on disk.
 *
 * A store keeps no records in LMDB's unnamed database. Clearing the unnamed database drops
 * the named ones, and clearing it while it is empty corrupts LMDB's list of free pages.
 */

/** The version of the file format. */
export const metaDatabase = "meta"

/** The records of the store itself, which are in no collection. */
export const recordsDatabase = "records"

/** The definitions of record structures, by the number of the structure. */
export const structuresDatabase = "structures"

/** The catalog: the version, schemas and indexes of each collection, by the name of the collection. */
export const catalogDatabase = "collections"

/** The records of a collection. */
export const collectionDatabase = (collection: string): string => `collection/${collection}`

/** The prefix of the names of the index databases of a collection. */
export const indexDatabases = (collection: string): string => `index/${collection}/`

/** The entries of an index. */
export const indexDatabase = (collection: string, index: string): string => `${indexDatabases(collection)}${index}`

/** The change log: what the last transactions wrote, by the numbers of the transactions. */
export const changeLogDatabase = "changes"

/** Whether a database has records of a program, of which the change log tells. */
export const hasRecords = (database: string): boolean =>
  database !== metaDatabase && database !== structuresDatabase && database !== catalogDatabase &&
  database !== changeLogDatabase && !database.startsWith("index/")
