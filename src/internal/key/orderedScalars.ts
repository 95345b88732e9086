/**
 * Encodes values so that their bytes are in the order of the values, and decodes them.
 *
 * The bytes of a value begin with a tag of one byte, which names its kind. After the tag:
 *
 * - boolean: 0 or 1.
 * - number: the 8 bytes of the IEEE 754 double, most significant first, with the
 *   sign bit inverted, or all bits if it is negative.
 * - bigint: its length in bytes plus 0x80, in one byte; if it has 0x7f bytes or more,
 *   0xff and its length in 4 bytes. Then its bytes. All are inverted if it is negative.
 * - Date, DateTime.Utc: the milliseconds since 1970, as for a number.
 * - string: its UTF-8 bytes, escaped, and 0.
 * - Uint8Array: the bytes, escaped, and 0.
 * - tuple: the bytes of its elements, and 0. No tag is 0.
 *
 * Escaping replaces a byte 0 by 1 1, and a byte 1 by 1 2. Therefore the bytes of one value
 * are never the beginning of the bytes of another one. A decoder finds their end whatever
 * follows them, and what follows does not change their order. These bytes are stored:
 * changing them changes the format on disk.
 */
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import { ByteString, fromBytes, toBytes } from "../../Key.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import { encodings, isAscii, toBuffer } from "./textEncoding.ts"

/** A result whose failure says what is wrong, such as `NaN has no order`. */
export type Checked<A> = Result.Result<A, string>

/** A position in bytes that are being decoded. */
export interface ByteCursor {
  readonly bytes: string
  /** The index of the next byte. */
  offset: number
}

/** The codec of the values of one kind, or of several kinds. */
export interface Kind {
  readonly encode: (value: unknown) => Checked<string>
  /** Encodes the beginning of a value: the bytes of a value begin with these bytes if the value begins so. */
  readonly encodePrefix: (value: unknown) => Checked<string>
  /** Encodes a beginning that may also end inside the last element of a tuple, for example inside its text. */
  readonly encodeStart: (value: unknown) => Checked<string>
  /** Decodes a value and moves the cursor after it. After a failure the cursor may be anywhere. */
  readonly decode: (cursor: ByteCursor) => Checked<OrderedKey>
}

/** The codec of the values of one kind, which has its own tag. */
export interface SingleKind extends Kind {
  /** The kind in messages, such as `a string`. */
  readonly name: string
  /** Whether a value is of this kind. */
  readonly is: (value: unknown) => boolean
}

/** Ends strings, bytes and tuples. No tag has this value. */
export const terminator = "\x00"
/** The failure of `decode` for bytes that `encode` does not write. */
export const damaged: Checked<never> = Result.fail("the bytes are not those of a key of this schema")

const nameOf = (value: unknown): string => {
  if (value === null) return "null"
  if (typeof value !== "object") return value === undefined ? "undefined" : `a ${typeof value}`
  return Array.isArray(value) ? "an array" : "an object"
}

/** The failure of `encode` for a value of another kind. */
export const wrongKind = (expected: string, value: unknown): Checked<never> =>
  Result.fail(`expected ${expected}, got ${nameOf(value)}`)

const take = (cursor: ByteCursor, length: number): string | undefined => {
  const { bytes, offset } = cursor
  if (length > bytes.length - offset) return undefined
  cursor.offset = offset + length
  return bytes.slice(offset, offset + length)
}

/** The tag of a kind, and how the bytes after the tag are written and read. */
interface KindOptions<A extends OrderedKey> {
  /** The first byte of all values of this kind. Tags order values of different kinds. */
  readonly tag: string
  readonly name: string
  readonly is: (value: unknown) => value is A
  /** The bytes after the tag. */
  readonly write: (value: A) => Checked<string>
  readonly writePrefix?: (value: A) => Checked<string>
  /** Default: `writePrefix`. */
  readonly writeStart?: (value: A) => Checked<string>
  readonly read: (cursor: ByteCursor) => Checked<A>
}

/** Makes the codec of one kind. */
export const make = <A extends OrderedKey>(
  { is, name, read, tag, write, writePrefix, writeStart = writePrefix }: KindOptions<A>
): SingleKind => {
  const tagged = (content: Checked<string>): Checked<string> => Result.map(content, (bytes) => tag + bytes)
  const encodeBy = (writeBeginning: ((value: A) => Checked<string>) | undefined) => (value: unknown) => {
    if (writeBeginning === undefined) return Result.fail(`${name} has no prefix`)
    return is(value) ? tagged(writeBeginning(value)) : wrongKind(name, value)
  }
  return {
    name,
    is,
    encode: (value) => is(value) ? tagged(write(value)) : wrongKind(name, value),
    encodePrefix: encodeBy(writePrefix),
    encodeStart: encodeBy(writeStart),
    decode: (cursor) => take(cursor, 1) === tag ? read(cursor) : damaged
  }
}

const double = new DataView(new ArrayBuffer(8))
const signBit = 0x80000000

const writeNumber = (value: number): string => {
  double.setFloat64(0, value)
  const high = double.getUint32(0)
  const low = double.getUint32(4)
  const inverted = high >= signBit
  const first = inverted ? ~high : high ^ signBit
  const second = inverted ? ~low : low
  return String.fromCharCode(
    first >>> 24,
    first >>> 16 & 0xff,
    first >>> 8 & 0xff,
    first & 0xff,
    second >>> 24,
    second >>> 16 & 0xff,
    second >>> 8 & 0xff,
    second & 0xff
  )
}

const readNumber = (cursor: ByteCursor): number => {
  const bytes = take(cursor, 8)
  if (bytes === undefined) return Number.NaN
  const inverted = bytes < "\x80"
  for (let index = 0; index < 8; index++) {
    const byte = bytes.charCodeAt(index)
    double.setUint8(index, inverted ? ~byte : byte)
  }
  if (!inverted) double.setUint8(0, double.getUint8(0) ^ 0x80)
  return double.getFloat64(0)
}

const boolean = make({
  tag: "\x10",
  name: "a boolean",
  is: (value) => typeof value === "boolean",
  write: (value) => Result.succeed(value ? "\x01" : "\x00"),
  read: (cursor) => {
    const byte = take(cursor, 1)
    return byte === "\x00" || byte === "\x01" ? Result.succeed(byte === "\x01") : damaged
  }
})

const number = make({
  tag: "\x20",
  name: "a number",
  is: (value) => typeof value === "number",
  write: (value) => Number.isNaN(value) ? Result.fail("NaN has no order") : Result.succeed(writeNumber(value)),
  read: (cursor) => {
    const value = readNumber(cursor)
    return Number.isNaN(value) ? damaged : Result.succeed(value)
  }
})

const invert = (bytes: string): string => fromBytes(toBuffer(bytes).map((byte) => ~byte))

const longForm = 0x7f

const writeLength = (length: number): string => {
  if (length < longForm) return String.fromCharCode(0x80 + length)
  const bytes = Buffer.alloc(5, 0xff)
  bytes.writeUInt32BE(length, 1)
  return fromBytes(bytes)
}

const writeMagnitude = (magnitude: bigint): string => {
  if (magnitude === 0n) return writeLength(0)
  const digits = magnitude.toString(16)
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, "hex")
  return writeLength(bytes.length) + fromBytes(bytes)
}

/** Reads the bytes of `writeMagnitude`. The first byte must be 0x80 or more. */
const readMagnitude = (next: (length: number) => string | undefined): bigint | undefined => {
  const first = next(1)
  if (first === undefined) return undefined
  const short = first.charCodeAt(0) - 0x80
  const long = short < longForm ? undefined : next(4)
  const length = long === undefined ? short : toBuffer(long).readUInt32BE()
  if ((long === undefined) !== (length < longForm)) return undefined
  if (length === 0) return 0n
  const bytes = next(length)
  // Each number has exactly one encoding, so leading zeros are refused.
  if (bytes === undefined || bytes.startsWith("\x00")) return undefined
  return BigInt(`0x${toBuffer(bytes).toString("hex")}`)
}

const bigint = make({
  tag: "\x30",
  name: "a bigint",
  is: (value) => typeof value === "bigint",
  write: (value) => Result.succeed(value < 0n ? invert(writeMagnitude(-value)) : writeMagnitude(value)),
  read: (cursor) => {
    if (cursor.bytes.charCodeAt(cursor.offset) >= 0x80) {
      const positive = readMagnitude((length) => take(cursor, length))
      return positive === undefined ? damaged : Result.succeed(positive)
    }
    const magnitude = readMagnitude((length) => {
      const bytes = take(cursor, length)
      return bytes === undefined ? undefined : invert(bytes)
    })
    return magnitude === undefined || magnitude === 0n ? damaged : Result.succeed(-magnitude)
  }
})

const furthestTime = 8.64e15

const isTime = (milliseconds: number): boolean =>
  Number.isInteger(milliseconds) && Math.abs(milliseconds) <= furthestTime

const writeTime = (milliseconds: number, problem: string): Checked<string> =>
  isTime(milliseconds)
    // Adding 0 turns -0 into 0, which is the same time.
    ? Result.succeed(writeNumber(milliseconds + 0))
    : Result.fail(problem)

const readTime = (cursor: ByteCursor): Checked<number> => {
  const milliseconds = readNumber(cursor)
  return isTime(milliseconds) && !Object.is(milliseconds, -0) ? Result.succeed(milliseconds) : damaged
}

const date = make({
  tag: "\x40",
  name: "a Date",
  is: (value) => value instanceof Date,
  write: (value) => writeTime(value.getTime(), "the Date is invalid"),
  read: (cursor) => Result.map(readTime(cursor), (milliseconds) => new Date(milliseconds))
})

const dateTime = make({
  tag: "\x50",
  name: "a DateTime.Utc",
  is: (value): value is DateTime.Utc => DateTime.isDateTime(value) && DateTime.isUtc(value),
  write: ({ epochMilliseconds }) =>
    writeTime(
      epochMilliseconds,
      "the DateTime.Utc is not a whole number of milliseconds, or is outside the range of a Date"
    ),
  read: (cursor) => Result.map(readTime(cursor), (milliseconds) => DateTime.makeUnsafe(milliseconds))
})

const escape = (bytes: string): string =>
  bytes.includes("\x00") || bytes.includes("\x01")
    ? bytes.replaceAll("\x01", "\x01\x02").replaceAll("\x00", "\x01\x01")
    : bytes

const unescape = (bytes: string): string | undefined => {
  let plain = ""
  let start = 0
  for (let index = bytes.indexOf("\x01"); index >= 0; index = bytes.indexOf("\x01", start)) {
    const escaped = bytes.charCodeAt(index + 1) - 1
    if (escaped !== 0 && escaped !== 1) return undefined
    plain += bytes.slice(start, index) + String.fromCharCode(escaped)
    start = index + 2
  }
  return plain + bytes.slice(start)
}

const readEscaped = (cursor: ByteCursor): string | undefined => {
  const { bytes, offset } = cursor
  const length = bytes.indexOf(terminator, offset) - offset
  if (length < 0) return undefined
  cursor.offset = offset + length + 1
  return unescape(bytes.slice(offset, offset + length))
}

const writeText = (text: string): Checked<string> => {
  if (isAscii(text)) return Result.succeed(escape(text))
  return text.isWellFormed()
    ? Result.succeed(escape(Buffer.from(text, "utf8").toString("latin1")))
    : Result.fail("the string has a lone surrogate, which is not valid text")
}

const string = make({
  tag: "\x60",
  name: "a string",
  is: (value) => typeof value === "string",
  write: (text) => Result.map(writeText(text), (bytes) => bytes + terminator),
  writePrefix: writeText,
  read: (cursor) => {
    const bytes = readEscaped(cursor)
    const text = bytes === undefined ? undefined : encodings.utf8.decode(bytes)
    return text === undefined ? damaged : Result.succeed(text)
  }
})

const bytes = make<Uint8Array>({
  tag: "\x70",
  name: "a Uint8Array",
  is: (value) => value instanceof Uint8Array,
  write: (value) => Result.succeed(escape(fromBytes(value)) + terminator),
  writePrefix: (value) => Result.succeed(escape(fromBytes(value))),
  read: (cursor) => {
    const content = readEscaped(cursor)
    return content === undefined ? damaged : Result.succeed(toBytes(ByteString(content)))
  }
})

/** The kinds whose values contain no other values. */
export const scalars = { boolean, number, bigint, date, dateTime, string, bytes }
