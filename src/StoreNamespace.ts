/**
 * Defines namespaces: records of a store that have keys of their own.
 *
 * @since 0.1.0
 */
import type { StoreRecords } from "./StoreRecords.ts"

/**
 * Reads and writes the records of one namespace of a store.
 *
 * **Details**
 *
 * It has the methods that the store has for its own records, and none of them sees or changes other records: `clear`
 * deletes the records of the namespace, `size` counts them, `changes` tells of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreNamespace extends StoreRecords {
  /** The name of the namespace. */
  readonly name: string
}
