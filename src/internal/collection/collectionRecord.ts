/**
 * The bytes of a record of a collection: its value, and where the indexes have it.
 *
 * A record that is in an index begins with a byte of its own, the length of its entries
 * and the entries, before the bytes of the value. So whoever writes over a record or
 * deletes it knows its entries without decoding it, even when its value does not decode
 * any more or the program has changed what the index is of.
 */
import { Buffer } from "node:buffer"
import type { ByteString } from "../../Key.ts"
import { headBytes, indexedFormat, type IndexEntry } from "../reader/recordLayout.ts"
import * as ExpiringValue from "../value/expiringValue.ts"

export { entriesOf, type IndexEntry, timeOf, valueOf } from "../reader/recordLayout.ts"

/** One name for an entry. No place of an index has the character between them. */
export const nameOf = ([place, key]: IndexEntry): string => `${place}\0${key}`

/** Whether two lists of entries are the same, whatever their order. */
export const hasSameEntries = (a: ReadonlyArray<IndexEntry>, b: ReadonlyArray<IndexEntry>): boolean => {
  const names = new Set(a.map(nameOf))
  return a.length === b.length && b.every((entry) => names.has(nameOf(entry)))
}

const noBytes = new Uint8Array(0)

/** What an index keeps under an entry: a unique one the key of the record, which another has in the entry itself. */
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

/** Puts the time at which a record expires before the bytes of its value; `undefined`: it stays. */
export const withTime = (time: number | undefined, value: Uint8Array): Uint8Array =>
  time === undefined ? value : ExpiringValue.join(time, value)
