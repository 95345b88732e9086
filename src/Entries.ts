/**
 * What the methods for many keys take and give.
 *
 * @since 0.1.0
 */
import type { Key } from "./Key.ts"

/**
 * Several things. Text is iterable too, but one key; it is no object.
 *
 * @category models
 * @since 0.1.0
 */
export type ListOf<A> = Iterable<A> & object

/**
 * What `putMany` takes: pairs, a `Map`, or an object whose property names are the keys.
 *
 * @category models
 * @since 0.1.0
 */
export type Entries = Iterable<readonly [Key, unknown]> | { readonly [key: string]: unknown }

/**
 * A write of `writeMany`: a put, or a deletion.
 *
 * @category models
 * @since 0.1.0
 */
export type StoreWrite =
  | { readonly put: readonly [key: Key, value: unknown]; readonly delete?: never }
  | { readonly delete: Key; readonly put?: never }

/**
 * What `getMany` found.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found<K> {
  /** The values by the key that was asked for; a view of bytes counts by identity, as in a `Map`. */
  readonly found: ReadonlyMap<K, unknown>
  /** The keys without a value, in the order asked, duplicates kept. */
  readonly missing: ReadonlyArray<K>
}
