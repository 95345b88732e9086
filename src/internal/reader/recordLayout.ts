/**
 * The head of a stored record, which can be read without a schema: the index entries of a record of a collection, and the
 * time at which a record expires.
 */
import { Buffer } from "node:buffer"
import { ByteString } from "../../Key.ts"
import * as ExpiringValue from "../value/expiringValue.ts"

/** An index entry of a record: the name of the index in the catalog, and the index key. */
export type IndexEntry = readonly [place: string, key: ByteString]

/** The first byte of a record with index entries. Values begin with other bytes (`valueCodec.ts`). */
export const indexedFormat = 4
/** The length of the first byte and of the length of the index entries, in bytes. */
export const headBytes = 5

/** The number of bytes before the value; 0 if the record has no index entries. */
const valueOffset = (record: Uint8Array): number => {
  if (record[0] !== indexedFormat || record.length < headBytes) return 0
  return headBytes + new DataView(record.buffer, record.byteOffset).getUint32(1, true)
}

/** The bytes of the value of a record. */
export const valueOf = (record: Uint8Array): Uint8Array => {
  const offset = valueOffset(record)
  return offset === 0 ? record : record.subarray(offset, record.length)
}

/** When a record expires, in milliseconds since 1970; `undefined` if it never expires. */
export const timeOf = (record: Uint8Array): number | undefined => ExpiringValue.timeAt(record, valueOffset(record))

/** Whether a record has index entries. */
export const hasEntries = (record: Uint8Array): boolean => valueOffset(record) > headBytes

/** Whether a record has expired. */
export const isExpired = (record: Uint8Array, now: number): boolean => {
  const time = timeOf(record)
  return time !== undefined && time <= now
}

/** Decodes the index entries of a record. Leaves out entries whose bytes are damaged. */
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

/** The key of an entry in an index that is not unique. In a unique index, it is the index key alone. */
export const plainEntry = (indexKey: ByteString, key: ByteString): ByteString => ByteString(indexKey + key)
