/**
 * Converts the range that a caller gives into a range of byte strings, and compares keys with
 * such a range.
 */
import * as Result from "effect/Result"
import { types } from "node:util"
import type { Bound, KeyRange } from "../../Engine.ts"
import { ByteString, type Key } from "../../Key.ts"
import type { Range } from "../../Range.ts"
import type { KeyEncoding } from "../../StoreError.ts"
import type { KeyCodec } from "./keyCodec.ts"

/**
 * Finds the upper bound of all byte strings with a prefix: the prefix up to its last byte that is not
 * 0xFF, with that byte raised by one. Returns `undefined` if every byte of the prefix is 0xFF.
 */
export const afterPrefix = (prefix: ByteString): Bound | undefined => {
  let last = prefix.length - 1
  while (last >= 0 && prefix.charCodeAt(last) === 0xFF) last--
  if (last < 0) return undefined
  const raised = String.fromCharCode(prefix.charCodeAt(last) + 1)
  return { key: ByteString(prefix.slice(0, last) + raised), inclusive: false }
}

// Any other value is left to the key codec, which refuses it if it is not a key.
const isEmpty = (key: Key): boolean =>
  key === "" || ((ArrayBuffer.isView(key) || types.isAnyArrayBuffer(key)) && key.byteLength === 0)

/** The bound that fewer keys satisfy; `side` is 1 for lower bounds and -1 for upper bounds. */
const tighter = (a: Bound | undefined, b: Bound | undefined, side: 1 | -1): Bound | undefined => {
  if (a === undefined || b === undefined) return a ?? b
  if (a.key === b.key) return a.inclusive ? b : a
  return (a.key > b.key) === (side === 1) ? a : b
}

/** The keys that are in both ranges. */
export const intersect = (a: KeyRange, b: KeyRange): KeyRange => ({
  from: tighter(a.from, b.from, 1),
  to: tighter(a.to, b.to, -1)
})

/** Converts a range of keys into a range of byte strings, or fails for a bound that is not a key. */
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

/** Whether a key is in a range. */
export const contains = ({ from, to }: KeyRange, key: ByteString): boolean =>
  (from === undefined || key > from.key || (from.inclusive && key === from.key)) &&
  (to === undefined || key < to.key || (to.inclusive && key === to.key))
