/**
 * The internal part of a store, which the collections on it use.
 *
 * The public interface of a store has it as a property of the type `unknown`, so that the interface does not depend on
 * the modules of this folder.
 */
import { TypeId } from "../storeTypeId.ts"
import type { RecordAccess } from "./recordAccess.ts"
import type { StoreAccess } from "./storeAccess.ts"
import type { StoreTransactions } from "./transactionMethods.ts"

/** The parts of a store that a collection uses. */
export class StoreInternals {
  readonly access: StoreAccess
  readonly transactions: StoreTransactions

  constructor(access: StoreAccess, transactions: StoreTransactions) {
    this.access = access
    this.transactions = transactions
  }
}

/** Returns the internal part of a store. A store that this copy of the package has not made is a defect. */
export const of = ({ [TypeId]: internals }: { readonly [TypeId]: unknown }): StoreInternals => {
  if (internals instanceof StoreInternals) return internals
  throw new TypeError("This value is not a store of effect-lmdb, or another copy of the package has made it")
}

/** What the methods for untyped records need: those of the store itself, or of a namespace. */
export interface RecordInternals extends StoreInternals {
  readonly access: RecordAccess
}
