/**
 * The bytes of a record of a collection: its value, and where the indexes have it.
 *
 * A record that is in an index begins with a byte of its own, the length of its entries
 * and the entries, before the bytes of the value. So whoever writes over a record or
 * deletes it knows its entries without decoding it, even when its value does not decode
 * any more or the program has changed what the index is of.
 */
import { Buffer } from "node:buffer"
import { ByteString } from "../../Key.ts"

/** An entry of a record in an index: where the catalog has the index, and the key there. */
export type IndexEntry = readonly [place: string, key: ByteString]

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

// The bytes of a value begin with another one (`valueCodec.ts`).
const indexedFormat = 4
const headBytes = 5

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

/** How many bytes come before those of the value; 0 where the record is not of this form. */
const valueOffset = (record: Uint8Array): number => {
  if (record[0] !== indexedFormat || record.length < headBytes) return 0
  return headBytes + new DataView(record.buffer, record.byteOffset).getUint32(1, true)
}

/** The bytes of the value of a record. */
export const valueOf = (record: Uint8Array): Uint8Array => {
  const offset = valueOffset(record)
  return offset === 0 ? record : record.subarray(offset, record.length)
}

/** The entries of a record; those that damaged bytes do not give are left out. */
export const entriesOf = (record: Uint8Array): ReadonlyArray<IndexEntry> => {
  const end = Math.min(valueOffset(record), record.length)
  const bytes = Buffer.from(record.buffer, record.byteOffset, end)
  const entries: Array<IndexEntry> = []
  let at = headBytes
  const take = (encoding: "utf8" | "latin1"): string | undefined => {
    const start = at + 2
    if (start > end) return undefined
    const stop = start + bytes.readUInt16LE(at)
    at = stop
    return stop > end ? undefined : bytes.toString(encoding, start, stop)
  }
  for (;;) {
    const index = take("utf8")
    const key = take("latin1")
    if (index === undefined || key === undefined) return entries
    entries.push([index, ByteString(key)])
  }
}
