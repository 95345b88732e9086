/**
 * The internal part of a store, which the collections on it use.
 */
import type { StoreAccess } from "./storeAccess.ts"
import type { StoreTransactions } from "./transactionMethods.ts"

/** The key of the property that holds the internal part of a store. */
export const TypeId = "~effect-lmdb/Store"

/** The parts of a store that a collection uses. */
export interface StoreInternals {
  readonly access: StoreAccess
  readonly transactions: StoreTransactions
}
