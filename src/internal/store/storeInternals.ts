/**
 * The internal part of a store, which the collections on it use.
 */
import type { RecordAccess } from "./recordAccess.ts"
import type { StoreAccess } from "./storeAccess.ts"
import type { StoreTransactions } from "./transactionMethods.ts"

/** The key of the property of a store that has its internal part. */
export const TypeId = "~effect-lmdb/Store"

/** What a collection needs of its store. */
export interface StoreInternals {
  readonly access: StoreAccess
  readonly transactions: StoreTransactions
}

/** What the methods for untyped records need: those of the store itself, or of a namespace. */
export interface RecordInternals extends StoreInternals {
  readonly access: RecordAccess
}
