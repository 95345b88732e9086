/**
 * Values as bytes in the order of the values, and back.
 *
 * The bytes of a value are one tag that tells its kind, and then:
 *
 * - boolean: 0 or 1.
 * - number: the 8 bytes of the IEEE 754 double, most significant first, with the
 *   sign bit inverted, or all bits if it is negative.
 * - bigint: the number of its bytes plus 0x80 in one byte, or from 0x7f bytes on 0xff
 *   and the number in 4 bytes; then the bytes. All inverted if it is negative.
 * - Date, DateTime.Utc: the milliseconds since 1970 as a number.
 * - string: UTF-8, escaped, and 0.
 * - Uint8Array: the bytes, escaped, and 0.
 * - tuple: the bytes of its elements, and 0, which is no tag.
 *
 * Escaped means 1 1 in the place of 0, and 1 2 in the place of 1. So no bytes of a
 * value are the beginning of those of another one: whatever follows them, they can be
 * told where they end, and keep the order. These bytes are stored: a change of them is a
 * change of the format on disk.
 */
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import { ByteString, fromBytes, toBytes } from "../../Key.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import { encodings, isAscii, toBuffer } from "./textEncoding.ts"

/** A result whose failure says what is wrong: `NaN has no order`. */
export type Checked<A> = Result.Result<A, string>

/** Bytes that are being read. */
export interface Reader {
  readonly bytes: string
  /** Where the next byte is. */
  offset: number
}

/** A kind of values, or several. */
export interface Kind {
  readonly encode: (value: unknown) => Checked<string>
  /** The bytes with which those of all values begin that begin with this. */
  readonly encodePrefix: (value: unknown) => Checked<string>
  /** Reads a value, or fails with the reader anywhere. */
  readonly decode: (reader: Reader) => Checked<OrderedKey>
}

/** A kind of values that can be told from other kinds. */
export interface SingleKind extends Kind {
  /** How it stands in messages, as in `a string`. */
  readonly name: string
  readonly is: (value: unknown) => boolean
}

/** Ends strings, bytes and tuples: it is no tag. */
export const end = "\x00"
/** What `decode` says of bytes that it does not understand. */
export const damaged: Checked<never> = Result.fail("the bytes are not those of a key of this schema")

const nameOf = (value: unknown): string => {
  if (value === null) return "null"
  if (typeof value !== "object") return value === undefined ? "undefined" : `a ${typeof value}`
  return Array.isArray(value) ? "an array" : "an object"
}

/** What `encode` says of a value of another kind. */
export const wrongKind = (expected: string, value: unknown): Checked<never> =>
  Result.fail(`expected ${expected}, got ${nameOf(value)}`)

const take = (reader: Reader, length: number): string | undefined => {
  const { bytes, offset } = reader
  if (length > bytes.length - offset) return undefined
  reader.offset = offset + length
  return bytes.slice(offset, offset + length)
}

/** What makes a kind: its tag, and what follows the tag. */
interface Definition<A extends OrderedKey> {
  /** The first byte of the values of this kind: it orders kinds. */
  readonly tag: string
  readonly name: string
  readonly is: (value: unknown) => value is A
  /** The bytes after the tag. */
  readonly write: (value: A) => Checked<string>
  readonly writePrefix?: (value: A) => Checked<string>
  readonly read: (reader: Reader) => Checked<A>
}

/** Makes a kind whose values all begin with one tag. */
export const make = <A extends OrderedKey>({ is, name, read, tag, write, writePrefix }: Definition<A>): SingleKind => {
  const tagged = (content: Checked<string>): Checked<string> => Result.map(content, (bytes) => tag + bytes)
  return {
    name,
    is,
    encode: (value) => is(value) ? tagged(write(value)) : wrongKind(name, value),
    encodePrefix: (value) => {
      if (writePrefix === undefined) return Result.fail(`${name} has no prefix`)
      return is(value) ? tagged(writePrefix(value)) : wrongKind(name, value)
    },
    decode: (reader) => take(reader, 1) === tag ? read(reader) : damaged
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

const readNumber = (reader: Reader): number => {
  const bytes = take(reader, 8)
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
  read: (reader) => {
    const byte = take(reader, 1)
    return byte === "\x00" || byte === "\x01" ? Result.succeed(byte === "\x01") : damaged
  }
})

const number = make({
  tag: "\x20",
  name: "a number",
  is: (value) => typeof value === "number",
  write: (value) => Number.isNaN(value) ? Result.fail("NaN has no order") : Result.succeed(writeNumber(value)),
  read: (reader) => {
    const value = readNumber(reader)
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

/** Reads what `writeMagnitude` wrote; the first byte is one of 0x80 and above. */
const readMagnitude = (next: (length: number) => string | undefined): bigint | undefined => {
  const first = next(1)
  if (first === undefined) return undefined
  const short = first.charCodeAt(0) - 0x80
  const long = short < longForm ? undefined : next(4)
  const length = long === undefined ? short : toBuffer(long).readUInt32BE()
  if ((long === undefined) !== (length < longForm)) return undefined
  if (length === 0) return 0n
  const bytes = next(length)
  // One number has one encoding: there are no leading zeros.
  if (bytes === undefined || bytes.startsWith("\x00")) return undefined
  return BigInt(`0x${toBuffer(bytes).toString("hex")}`)
}

const bigint = make({
  tag: "\x30",
  name: "a bigint",
  is: (value) => typeof value === "bigint",
  write: (value) => Result.succeed(value < 0n ? invert(writeMagnitude(-value)) : writeMagnitude(value)),
  read: (reader) => {
    if (reader.bytes.charCodeAt(reader.offset) >= 0x80) {
      const positive = readMagnitude((length) => take(reader, length))
      return positive === undefined ? damaged : Result.succeed(positive)
    }
    const magnitude = readMagnitude((length) => {
      const bytes = take(reader, length)
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
    // -0 milliseconds are the same time as 0
    ? Result.succeed(writeNumber(milliseconds + 0))
    : Result.fail(problem)

const readTime = (reader: Reader): Checked<number> => {
  const milliseconds = readNumber(reader)
  return isTime(milliseconds) && !Object.is(milliseconds, -0) ? Result.succeed(milliseconds) : damaged
}

const date = make({
  tag: "\x40",
  name: "a Date",
  is: (value) => value instanceof Date,
  write: (value) => writeTime(value.getTime(), "the Date is invalid"),
  read: (reader) => Result.map(readTime(reader), (milliseconds) => new Date(milliseconds))
})

const dateTime = make({
  tag: "\x50",
  name: "a DateTime.Utc",
  is: (value): value is DateTime.Utc => DateTime.isDateTime(value) && DateTime.isUtc(value),
  write: ({ epochMilliseconds }) =>
    writeTime(epochMilliseconds, "the DateTime.Utc is no whole number of milliseconds, or beyond what a Date can be"),
  read: (reader) => Result.map(readTime(reader), (milliseconds) => DateTime.makeUnsafe(milliseconds))
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

const readEscaped = (reader: Reader): string | undefined => {
  const { bytes, offset } = reader
  const length = bytes.indexOf(end, offset) - offset
  if (length < 0) return undefined
  reader.offset = offset + length + 1
  return unescape(bytes.slice(offset, offset + length))
}

const writeText = (text: string): Checked<string> => {
  if (isAscii(text)) return Result.succeed(escape(text))
  return text.isWellFormed()
    ? Result.succeed(escape(Buffer.from(text, "utf8").toString("latin1")))
    : Result.fail("the string has a lone surrogate, which is no text")
}

const string = make({
  tag: "\x60",
  name: "a string",
  is: (value) => typeof value === "string",
  write: (text) => Result.map(writeText(text), (bytes) => bytes + end),
  writePrefix: writeText,
  read: (reader) => {
    const bytes = readEscaped(reader)
    const text = bytes === undefined ? undefined : encodings.utf8.decode(bytes)
    return text === undefined ? damaged : Result.succeed(text)
  }
})

const bytes = make<Uint8Array>({
  tag: "\x70",
  name: "a Uint8Array",
  is: (value) => value instanceof Uint8Array,
  write: (value) => Result.succeed(escape(fromBytes(value)) + end),
  writePrefix: (value) => Result.succeed(escape(fromBytes(value))),
  read: (reader) => {
    const content = readEscaped(reader)
    return content === undefined ? damaged : Result.succeed(toBytes(ByteString(content)))
  }
})

/** The kinds that hold no others. */
export const scalars = { boolean, number, bigint, date, dateTime, string, bytes }
