/**
 * Names the LMDB databases of a store: its layout on disk.
 *
 * A store keeps nothing in LMDB's unnamed database: clearing that one drops the named
 * databases, and clearing it while it is empty corrupts LMDB's list of free pages.
 */

/** The version of the file format. */
export const metaDatabase = "meta"

/** The records that `put` of the store itself writes. */
export const recordsDatabase = "records"

/** The definitions of record structures, by their numbers. */
export const structuresDatabase = "structures"

/** What is stored about each collection: its version, its schemas and its indexes, by its name. */
export const catalogDatabase = "collections"

/** The records of a collection. */
export const collectionDatabase = (collection: string): string => `collection/${collection}`

/** How the names of the databases of a collection's indexes begin. */
export const indexDatabases = (collection: string): string => `index/${collection}/`

/** The entries of an index. */
export const indexDatabase = (collection: string, index: string): string => `${indexDatabases(collection)}${index}`
