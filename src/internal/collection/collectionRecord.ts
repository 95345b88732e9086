/**
 * Encodes a record of a collection: its index entries and its value.
 *
 * A record with index entries begins with a format byte, the length of the entries and the entries. The bytes of the
 * value follow. A write that replaces or deletes the record reads its entries there and does not decode the value. So it
 * finds them even if the value no longer decodes, or if the function of the index has changed.
 */
import { Buffer } from "node:buffer"
import type { ByteString } from "../../Key.ts"
import { headBytes, indexedFormat, type IndexEntry } from "../reader/recordLayout.ts"
import * as ExpiringValue from "../value/expiringValue.ts"

export { entriesOf, type IndexEntry, isExpired, timeOf, valueOf } from "../reader/recordLayout.ts"

/** Returns an entry as one string, by which entries are compared. The slot of an index never contains U+0000. */
export const nameOf = ([slot, key]: IndexEntry): string => `${slot}\0${key}`

/** Tests whether two lists have the same entries, in any order. */
export const hasSameEntries = (a: ReadonlyArray<IndexEntry>, b: ReadonlyArray<IndexEntry>): boolean => {
  const names = new Set(a.map(nameOf))
  return a.length === b.length && b.every((entry) => names.has(nameOf(entry)))
}

const noBytes = new Uint8Array(0)

/** Returns the value of an index entry: the key of the record. It is empty in an index whose entry keys end with that. */
export const entryValueOf = ({ isUnique }: { readonly isUnique: boolean }, key: ByteString): Uint8Array =>
  isUnique ? Buffer.from(key, "latin1") : noBytes

/** Puts the entries of a record before the bytes of its value. */
export const join = (entries: ReadonlyArray<IndexEntry>, value: Uint8Array): Uint8Array => {
  if (entries.length === 0) return value
  const names = entries.map(([index]) => Buffer.from(index))
  const entriesBytes = entries.reduce((sum, [, key], at) => sum + 4 + (names[at]?.length ?? 0) + key.length, 0)
  const bytes = Buffer.allocUnsafe(headBytes + entriesBytes + value.length)
  bytes[0] = indexedFormat
  let at = bytes.writeUInt32LE(entriesBytes, 1)
  for (const [number, [, key]] of entries.entries()) {
    const name = names[number] ?? Buffer.alloc(0)
    at = bytes.writeUInt16LE(name.length, at)
    at += name.copy(bytes, at)
    at = bytes.writeUInt16LE(key.length, at)
    at += bytes.write(key, at, "latin1")
  }
  bytes.set(value, at)
  return bytes
}

/** Puts the time at which a record expires before the bytes of its value. With `undefined` it never expires. */
export const withTime = (time: number | undefined, value: Uint8Array): Uint8Array =>
  time === undefined ? value : ExpiringValue.join(time, value)
