/**
 * The entries of the database `expiry`: which records may have expired at which time, in the order of the times.
 *
 * A record that expires has an entry whose time is not after its own. The time in the record decides: an entry may be too
 * early, and its record may be gone. The sweeper deletes such an entry when its time has come, and writes another one if
 * the record expires later.
 */
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import type { KeyRange, RangePart, Write } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import { expiryDatabase } from "../databases.ts"
import { keyOf, noBytes } from "../engineBytes.ts"
import { writeTime } from "../value/expiringValue.ts"

/** A decoded entry. */
export interface ExpiryEntry {
  /** The key of the entry. */
  readonly entry: ByteString
  /** When the record may expire, in milliseconds since 1970. */
  readonly time: number
  readonly database: string
  readonly key: ByteString
}

const timeBytes = 8

/** Marks that a hash replaces an address that is too long for a key. No name of a database begins with it. */
const hashed = "\xff"

const timeKey = (time: number): string => {
  const bytes = Buffer.allocUnsafe(timeBytes)
  writeTime(bytes, time, 0)
  return bytes.toString("latin1")
}

/** Makes the write of the entry of a record. */
export const toWrite = (time: number, database: string, key: ByteString, maxKeyBytes: number): Write => {
  const address = `${Buffer.from(database).toString("latin1")}\0${key}`
  if (timeBytes + address.length <= maxKeyBytes) {
    return [expiryDatabase, ByteString(timeKey(time) + address), noBytes]
  }
  const bytes = Buffer.from(address, "latin1")
  const hash = createHash("sha256").update(bytes).digest().toString("latin1")
  return [expiryDatabase, ByteString(timeKey(time) + hashed + hash), bytes]
}

/** Returns the expiry time in the key of an entry. */
export const timeOf = (entry: ByteString): number =>
  Number(Buffer.from(entry.slice(0, timeBytes), "latin1").readBigUInt64BE())

/** Decodes an entry; returns `undefined` if its bytes are damaged. */
export const parse = ([entry, value]: RangePart["records"][number]): ExpiryEntry | undefined => {
  if (entry.length <= timeBytes) return undefined
  const address = entry[timeBytes] === hashed ? keyOf(value) : entry.slice(timeBytes)
  const end = address.indexOf("\0")
  return end === -1 ? undefined : {
    entry,
    time: timeOf(entry),
    database: Buffer.from(address.slice(0, end), "latin1").toString(),
    key: ByteString(address.slice(end + 1))
  }
}

/** The range of the entries of all records that have expired. */
export const until = (now: number): KeyRange => ({
  from: undefined,
  to: { key: fromTime(now + 1), inclusive: false }
})

/** The range of the entries of all records that have not expired yet. */
export const after = (now: number): KeyRange => ({
  from: { key: fromTime(now + 1), inclusive: true },
  to: undefined
})

const fromTime = (time: number): ByteString => ByteString(timeKey(Math.max(0, time)))
