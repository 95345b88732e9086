/**
 * What a store has besides its public methods, for the collections on it.
 */
import type { StoreAccess } from "./storeAccess.ts"
import type { StoreTransactions } from "./transactionMethods.ts"

/** The name of the property under which a store has it. */
export const TypeId = "~effect-lmdb/Store"

/** What collections are made of. */
export interface StoreInternals {
  readonly access: StoreAccess
  readonly transactions: StoreTransactions
}
