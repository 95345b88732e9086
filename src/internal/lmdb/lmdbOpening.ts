/**
 * Opens databases of the library without the lock of LMDB's writers.
 *
 * The library opens every database, also one that exists, in a write transaction on the
 * main thread. While another process is in a write transaction, the event loop would stand
 * still until that one ends. A database that exists can be opened in a read transaction as
 * well, which is what the library does in an environment that is read-only.
 */
import * as Predicate from "effect/Predicate"

/** A database whose constructor may be running. */
interface Opening {
  /** What the constructor makes. */
  readonly db?: unknown
  /** A read-only environment has none, and opens databases in read transactions anyway. */
  transactionSync?: (action: () => unknown, flags?: number) => unknown
  readonly resetReadTxn: () => void
  readonly ensureReadTxn: () => void
  readonly _commitReadTxn: () => void
}

/** The class of the databases of an environment, which opens the unnamed one when its name is `null`. */
interface DatabaseClass<D> {
  new(name: null, options: object): D
  readonly prototype: Opening
}

/** The declaration of the library takes the constructor for a method. */
export const isDatabaseClass = <D>(value: unknown): value is DatabaseClass<D> =>
  Predicate.isFunction(value) && Predicate.hasProperty(value, "prototype") && Predicate.isObject(value.prototype)

/**
 * Opens the unnamed database of an environment, whose class was just made. From then on named
 * databases are opened in the present write transaction, or in a read transaction where there is none.
 */
export const openRoot = <D>(databaseClass: DatabaseClass<D>, options: object): D => {
  const { prototype } = databaseClass
  const { transactionSync } = prototype
  if (transactionSync !== undefined) {
    prototype.transactionSync = function(this: Opening, action, flags) {
      // Only its constructor calls this method of a database that has not been opened.
      if (this.db !== undefined) return transactionSync.call(this, action, flags)
      // The library ends the read transaction in which a database was opened: it must not be one of a snapshot.
      this.resetReadTxn()
      this._commitReadTxn()
      // Does nothing inside of a write transaction.
      this.ensureReadTxn()
      return action()
    }
  }
  return new databaseClass(null, { ...options, isRoot: true })
}
