/**
 * The bytes of the change log.
 *
 * The record of a transaction is cut into parts. The key of a part is the number of the transaction (8 bytes) and of the
 * part (4 bytes), both unsigned and big-endian, so that transactions sort in their order. The joined parts are:
 *
 * ```text
 *   version (1)  time (8, double)  bytes of all parts (8, double)  databases (4)
 *   for each database:  length of its name (4)  its name, UTF-8  whether it was cleared (1)  writes (4)
 *   for each write:     length of the key (4)   the key          flags (1)
 *                       unless it deletes:           length of the value (4)   the value
 *                       flags have `isExpiry` if it deletes a record that has expired
 *                       if flags have `hasBefore`:   length of the value (4)   the value before
 * ```
 *
 * Numbers are little-endian except in keys.
 */
import { Buffer } from "node:buffer"
import type { CommittedWrite } from "../../Backend.ts"
import { ByteString } from "../../Key.ts"

/** What one transaction changed in one database. */
export interface LoggedDatabase {
  readonly name: string
  readonly isCleared: boolean
  readonly writes: ReadonlyArray<CommittedWrite>
  /** The keys that were deleted because their records had expired. */
  readonly expired: ReadonlySet<ByteString>
}

/** One transaction of the log. */
export interface LoggedTransaction {
  readonly transactionId: number
  readonly databases: ReadonlyArray<LoggedDatabase>
}

/** The fields at the beginning of the first part of a transaction. */
export interface RecordHead {
  /** When it was committed, in milliseconds since 1970. */
  readonly time: number
  /** The length of all parts, in bytes. */
  readonly bytes: number
}

/** The length of a part, in bytes. Longer values would need longer runs of free pages in LMDB. */
const partBytes = 256 * 1024

const version = 1
const headBytes = 21

const deletes = 1
const existed = 2
const hasBefore = 4
const isExpiry = 8

const twoTo32 = 2 ** 32

/** The key of a part of a transaction. */
export const keyOf = (transactionId: number, part: number): ByteString => {
  const bytes = Buffer.alloc(12)
  bytes.writeUInt32BE(Math.floor(transactionId / twoTo32), 0)
  bytes.writeUInt32BE(transactionId % twoTo32, 4)
  bytes.writeUInt32BE(part, 8)
  return ByteString(bytes.toString("latin1"))
}

/** Parses a key: the number of its transaction, and of its part. */
export const ofKey = (key: ByteString): readonly [transactionId: number, part: number] => {
  const bytes = Buffer.from(key, "latin1")
  return [bytes.readUInt32BE(0) * twoTo32 + bytes.readUInt32BE(4), bytes.readUInt32BE(8)]
}

/** The number of parts of a transaction with this length in bytes. */
export const partsOf = (bytes: number): number => Math.ceil(bytes / partBytes)

const sizeOfWrite = ([key, value, before]: CommittedWrite): number =>
  4 + key.length + 1 + (value === null ? 0 : 4 + value.length) +
  (before instanceof Uint8Array ? 4 + before.length : 0)

const sizeOfDatabase = ({ name, writes }: LoggedDatabase): number => {
  let size = 4 + Buffer.byteLength(name) + 1 + 4
  for (const write of writes) size += sizeOfWrite(write)
  return size
}

const flagsOf = ([key, value, before]: CommittedWrite, expired: ReadonlySet<ByteString>): number =>
  (value === null ? deletes : 0) |
  (expired.has(key) ? isExpiry : 0) |
  (before === true || before instanceof Uint8Array ? existed : 0) |
  (before instanceof Uint8Array ? hasBefore : 0)

const writeBytes = (target: Buffer, at: number, bytes: Uint8Array): number => {
  target.writeUInt32LE(bytes.length, at)
  target.set(bytes, at + 4)
  return at + 4 + bytes.length
}

const writeOne = (
  target: Buffer,
  start: number,
  write: CommittedWrite,
  expired: ReadonlySet<ByteString>
): number => {
  const [key, value, before] = write
  let at = target.writeUInt32LE(key.length, start)
  at += target.write(key, at, "latin1")
  at = target.writeUInt8(flagsOf(write, expired), at)
  if (value !== null) at = writeBytes(target, at, value)
  return before instanceof Uint8Array ? writeBytes(target, at, before) : at
}

/** Encodes a transaction, and cuts it into parts. */
export const encode = (databases: ReadonlyArray<LoggedDatabase>, time: number): ReadonlyArray<Uint8Array> => {
  const bytes = databases.reduce((size, database) => size + sizeOfDatabase(database), headBytes)
  const target = Buffer.allocUnsafeSlow(bytes)
  let at = target.writeUInt8(version, 0)
  at = target.writeDoubleLE(time, at)
  at = target.writeDoubleLE(bytes, at)
  at = target.writeUInt32LE(databases.length, at)
  for (const { expired, isCleared, name, writes } of databases) {
    const nameBytes = Buffer.from(name)
    at = writeBytes(target, at, nameBytes)
    at = target.writeUInt8(isCleared ? 1 : 0, at)
    at = target.writeUInt32LE(writes.length, at)
    for (const write of writes) at = writeOne(target, at, write, expired)
  }
  return Array.from({ length: partsOf(bytes) }, (_, part) => target.subarray(part * partBytes, (part + 1) * partBytes))
}

/** Decodes the beginning of the first part of a transaction. */
export const headOf = (bytes: Uint8Array): RecordHead => {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  return { time: view.readDoubleLE(1), bytes: view.readDoubleLE(9) }
}

/** Reads the fields of a record one after the other. */
const cursor = (source: Buffer) => {
  let at = headBytes - 4
  const byte = () => source.readUInt8(at++)
  const number = () => {
    at += 4
    return source.readUInt32LE(at - 4)
  }
  const bytes = () => {
    const length = number()
    at += length
    return source.subarray(at - length, at)
  }
  return { byte, number, bytes }
}

type Cursor = ReturnType<typeof cursor>

const readWrite = ({ byte, bytes }: Cursor, expired: Set<ByteString>): CommittedWrite => {
  const key = ByteString(bytes().toString("latin1"))
  const flags = byte()
  if ((flags & isExpiry) !== 0) expired.add(key)
  const value = (flags & deletes) === 0 ? bytes() : null
  return [key, value, (flags & hasBefore) === 0 ? (flags & existed) !== 0 : bytes()]
}

/** Decodes all parts of a transaction. */
export const decode = (transactionId: number, parts: ReadonlyArray<Uint8Array>): LoggedTransaction => {
  const fields = cursor(Buffer.concat(parts))
  const databases = Array.from({ length: fields.number() }, (): LoggedDatabase => {
    const expired = new Set<ByteString>()
    return {
      name: fields.bytes().toString(),
      isCleared: fields.byte() === 1,
      writes: Array.from({ length: fields.number() }, () => readWrite(fields, expired)),
      expired
    }
  })
  return { transactionId, databases }
}
