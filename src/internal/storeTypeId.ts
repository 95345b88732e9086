/** The key of the property that holds the internal part of a store (`store/storeInternals.ts`). */
export const TypeId = "~effect-lmdb/Store"
