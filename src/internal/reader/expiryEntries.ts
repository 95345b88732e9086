/**
 * The entries of the database `expiry`: which record expires when, in the order of the times.
 *
 * An entry counts only if its record says the same time. So a write over a record does not have to find the entry of
 * the record before: the sweeper drops it when its time has come.
 */
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import type { KeyRange, RangePart, Write } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import { expiryDatabase } from "../databases.ts"
import { keyOf } from "../engineBytes.ts"
import { writeTime } from "../value/expiringValue.ts"

/** Says that a record expires. */
export interface ExpiryEntry {
  /** The key of the entry. */
  readonly entry: ByteString
  /** When the record expires, in milliseconds since 1970. */
  readonly time: number
  readonly database: string
  readonly key: ByteString
}

const timeBytes = 8

/** Stands in place of an address that is too long. No name of a database begins with it. */
const hashed = "\xff"

const noBytes = new Uint8Array(0)

const timeKey = (time: number): string => {
  const bytes = Buffer.allocUnsafe(timeBytes)
  writeTime(bytes, time, 0)
  return bytes.toString("latin1")
}

/** The write that says when a record expires. */
export const toWrite = (time: number, database: string, key: ByteString, maxKeyBytes: number): Write => {
  const address = `${Buffer.from(database).toString("latin1")}\0${key}`
  if (timeBytes + address.length <= maxKeyBytes) {
    return [expiryDatabase, ByteString(timeKey(time) + address), noBytes]
  }
  const bytes = Buffer.from(address, "latin1")
  const hash = createHash("sha256").update(bytes).digest().toString("latin1")
  return [expiryDatabase, ByteString(timeKey(time) + hashed + hash), bytes]
}

/** The time of an entry, by its key. */
export const timeOf = (entry: ByteString): number =>
  Number(Buffer.from(entry.slice(0, timeBytes), "latin1").readBigUInt64BE())

/** What an entry says; `undefined` where damaged bytes say nothing. */
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

/** The entries of all that has expired. */
export const until = (now: number): KeyRange => ({
  from: undefined,
  to: { key: fromTime(now + 1), inclusive: false }
})

/** The entries of all that has not expired yet. */
export const after = (now: number): KeyRange => ({
  from: { key: fromTime(now + 1), inclusive: true },
  to: undefined
})

const fromTime = (time: number): ByteString => ByteString(timeKey(Math.max(0, time)))
