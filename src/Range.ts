/**
 * A part of a store: the keys between two ends, or with a prefix.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { types } from "node:util"
import type { Bound, KeyRange } from "./Engine.ts"
import { ByteString, type Key, type KeyCodec } from "./Key.ts"
import type { KeyEncoding } from "./StoreError.ts"

/**
 * Which keys are wanted, from which end, and how many.
 *
 * **Details**
 *
 * Keys are in the order of their bytes. All that is given must hold: `prefix` and
 * ends together are where they overlap. Ends and prefix are keys and are encoded and
 * checked like keys; the empty prefix is that of all keys. `offset` and `limit`
 * count from the end at which reading begins, in whole numbers.
 *
 * **Gotchas**
 *
 * What is not meant to choose keys must be left out: a property that is there and
 * `undefined` is a `KeyEncoding`, so that a variable without a value never chooses
 * all keys. So is a property that ranges do not have.
 *
 * **Example** (The last three keys of March)
 *
 * ```ts
 * import type { Range } from "effect-lmdb"
 *
 * const range: Range = { prefix: "2026-03-", reverse: true, limit: 3 }
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Range {
  /** Only keys that begin with these bytes. */
  readonly prefix?: Key
  /** Only keys behind this one. */
  readonly gt?: Key
  /** This key and those behind it. */
  readonly gte?: Key
  /** Only keys before this one. */
  readonly lt?: Key
  /** This key and those before it. */
  readonly lte?: Key
  /** Whether the range is read from its end. Default: `false`. */
  readonly reverse?: boolean | undefined
  /** How many keys are passed over. Default: none. */
  readonly offset?: number
  /** How many keys are given at the most. Default: all. */
  readonly limit?: number
}

/**
 * A range of keys, and how a stream reads it.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamRange extends Range {
  /** Whether all of the range is read as it is when the stream starts. Default: `true`. */
  readonly snapshot?: boolean | undefined
}

/**
 * The first byte string behind all that begin with a prefix: the prefix with its
 * last byte that is not 0xFF raised by one, or none where all its bytes are 0xFF.
 *
 * @category internals
 * @since 0.1.0
 */
export const afterPrefix = (prefix: ByteString): Bound | undefined => {
  const stem = prefix.replace(/\u00ff+$/, "")
  if (stem === "") return undefined
  const raised = String.fromCharCode(stem.charCodeAt(stem.length - 1) + 1)
  return { key: ByteString(stem.slice(0, -1) + raised), inclusive: false }
}

// What is no key at all is not looked into, but left to the codec of keys.
const isEmpty = (key: Key): boolean =>
  key === "" || ((ArrayBuffer.isView(key) || types.isAnyArrayBuffer(key)) && key.byteLength === 0)

/** The bound that lets fewer keys through; `side` is 1 at the lower end and -1 at the upper. */
const tighter = (a: Bound | undefined, b: Bound | undefined, side: 1 | -1): Bound | undefined => {
  if (a === undefined || b === undefined) return a ?? b
  if (a.key === b.key) return a.inclusive ? b : a
  return (a.key > b.key) === (side === 1) ? a : b
}

/**
 * Where two ranges overlap.
 *
 * @category internals
 * @since 0.1.0
 */
export const intersect = (a: KeyRange, b: KeyRange): KeyRange => ({
  from: tighter(a.from, b.from, 1),
  to: tighter(a.to, b.to, -1)
})

/**
 * Turns a range of keys into one of byte strings, or says which key is none.
 *
 * @category internals
 * @since 0.1.0
 */
export const toKeyRange = (range: Range, keys: KeyCodec): Result.Result<KeyRange, KeyEncoding> => {
  let from: Bound | undefined
  let to: Bound | undefined
  const ends = [
    { key: range.gt, inclusive: false, side: 1 },
    { key: range.gte, inclusive: true, side: 1 },
    { key: range.lt, inclusive: false, side: -1 },
    { key: range.lte, inclusive: true, side: -1 }
  ] as const
  for (const { inclusive, key, side } of ends) {
    if (key === undefined) continue
    const encoded = keys.encode(key)
    if (Result.isFailure(encoded)) return Result.fail(encoded.failure)
    const bound = { key: encoded.success, inclusive }
    if (side === 1) from = tighter(from, bound, side)
    else to = tighter(to, bound, side)
  }
  if (range.prefix !== undefined && !isEmpty(range.prefix)) {
    const prefix = keys.encode(range.prefix)
    if (Result.isFailure(prefix)) return Result.fail(prefix.failure)
    from = tighter(from, { key: prefix.success, inclusive: true }, 1)
    to = tighter(to, afterPrefix(prefix.success), -1)
  }
  return Result.succeed({ from, to })
}

/**
 * Whether a key lies in a range.
 *
 * @category internals
 * @since 0.1.0
 */
export const contains = ({ from, to }: KeyRange, key: ByteString): boolean =>
  (from === undefined || key > from.key || (from.inclusive && key === from.key)) &&
  (to === undefined || key < to.key || (to.inclusive && key === to.key))
