/**
 * Defines the arguments and results of the methods for many keys.
 *
 * @since 0.1.0
 */
import type { Key } from "./Key.ts"

/**
 * An iterable object, such as an array or a `Set`. It excludes strings, which are iterable too: a string is one key.
 *
 * @category models
 * @since 0.1.0
 */
export type ListOf<A> = Iterable<A> & object

/**
 * The argument of `putMany`: pairs, a `Map`, or an object whose property names are the keys.
 *
 * @category models
 * @since 0.1.0
 */
export type Entries = Iterable<readonly [Key, unknown]> | { readonly [key: string]: unknown }

/**
 * Describes one write of `writeMany`: a put or a deletion.
 *
 * @category models
 * @since 0.1.0
 */
export type StoreWrite =
  | { readonly put: readonly [key: Key, value: unknown]; readonly delete?: never }
  | { readonly delete: Key; readonly put?: never }

/**
 * The result of `getMany`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found<K> {
  /** The values, by the given keys. It is a `Map`, so a key of bytes is found only by the same object. */
  readonly found: ReadonlyMap<K, unknown>
  /** The keys without a value, in the given order, with duplicates. */
  readonly missing: ReadonlyArray<K>
}
