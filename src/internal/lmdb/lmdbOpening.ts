/**
 * Opens existing databases without LMDB's write lock.
 *
 * The library opens every database in a write transaction on the main thread, even if the
 * database exists. While another process is in a write transaction, the event loop would stop
 * until that transaction ends. An existing database can also be opened in a read transaction,
 * as the library does in a read-only environment. This module makes it do so always.
 */
import * as Predicate from "effect/Predicate"

/** An object of the library's database class, whose constructor may still be running. */
interface DatabaseObject {
  /** The native database; the constructor sets it. */
  readonly db?: unknown
  /** Missing in a read-only environment, which opens databases in read transactions anyway. */
  transactionSync?: (action: () => unknown, flags?: number) => unknown
  readonly resetReadTxn: () => void
  readonly ensureReadTxn: () => void
  readonly _commitReadTxn: () => void
}

/** The class of the databases of an environment. With the name `null` it opens the unnamed database. */
interface DatabaseClass<D> {
  new(name: null, options: object): D
  readonly prototype: DatabaseObject
}

/** Whether a value is a database class. The library's declaration says that it is a method. */
export const isDatabaseClass = <D>(value: unknown): value is DatabaseClass<D> =>
  Predicate.isFunction(value) && Predicate.hasProperty(value, "prototype") && Predicate.isObject(value.prototype)

/**
 * Opens the unnamed database with the class of a new environment. From then on, named databases are
 * opened in the current write transaction, or in a read transaction if there is none.
 */
export const openRoot = <D>(databaseClass: DatabaseClass<D>, options: object): D => {
  const { prototype } = databaseClass
  const { transactionSync } = prototype
  if (transactionSync !== undefined) {
    prototype.transactionSync = function(this: DatabaseObject, action, flags) {
      // If the database has not been opened, the caller is its constructor.
      if (this.db !== undefined) return transactionSync.call(this, action, flags)
      // The library ends the read transaction in which it opened the database, so it must not be that of a snapshot.
      this.resetReadTxn()
      this._commitReadTxn()
      // Does nothing inside a write transaction.
      this.ensureReadTxn()
      return action()
    }
  }
  return new databaseClass(null, { ...options, isRoot: true })
}
