/**
 * A value as a program has it, to bytes, and back.
 *
 * What `structuredClone` can copy comes back equal: nested objects, arrays, `Map`,
 * `Set`, `Date`, `RegExp`, errors, `bigint`, typed arrays, `ArrayBuffer`, `NaN`,
 * `-0`, `undefined`, cycles, and references shared within one value.
 *
 * **Details**
 *
 * As with `structuredClone`, an instance of a class becomes a plain object of its
 * own enumerable properties, and properties under symbols are left out. An error
 * keeps its name, message, stack and cause. A getter is read, once or twice.
 *
 * Other than with `structuredClone`, an object that would come back empty or as something
 * else is refused: values of Effect (`Option`, `Redacted`, `HashMap`, `Duration`, errors
 * with fields ...), but for instances of `Data.Class` and `Schema.Class`, whose fields are
 * their own properties; objects of the platform that hide their state (`URL`, `Blob`,
 * `Intl.NumberFormat` ...), of any realm; and instances that have getters, but no
 * properties of their own.
 *
 * Other than with `structuredClone`, each view (`Uint8Array`, `DataView` ...) is stored
 * with its own bytes alone, never with the rest of the buffer that it looks into: a
 * small `Buffer` lies in a pool among the data of others. A resizable buffer comes
 * back with a fixed length.
 *
 * **Format**
 *
 * The first byte tells which of three formats follows, all MessagePack. Nearly every
 * value is a *plain* tree, which MessagePack keeps as it is. A *structured* one is the
 * same, but where a record has fields that many have, in the same order, there is the
 * number of its structure instead of their names; the store keeps the definition, which
 * is on disk before the first value that refers to it. Any other value is taken
 * apart into a *graph*: a list of nodes that refer to each other by index. A value with
 * a checksum has a first byte of its own and the CRC-32 of the bytes behind it, which
 * are those of one of these formats.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { clearSource, Packr, RESERVE_START_SPACE } from "msgpackr"
import { Buffer } from "node:buffer"
import { crc32 } from "node:zlib"
import { isMessage } from "./messagePack.ts"
import * as PlainReader from "./plainReader.ts"
import * as PlainWriter from "./plainWriter.ts"
import * as RecordStructures from "./recordStructures.ts"
import { malformed, putTogether, Refusal, takeApart } from "./valueGraph.ts"

/**
 * Why a value has no bytes, or bytes are no value.
 *
 * @category models
 * @since 0.1.0
 */
interface Failure {
  /** What is wrong, and at which place in the value. */
  readonly detail: string
  /** What was thrown, where something was. */
  readonly cause?: unknown
}

/**
 * Turns values into bytes and back. Neither way throws, whatever it is given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codec {
  /**
   * Encodes a value. The bytes may be a slice of a larger chunk, no part of which is
   * written twice.
   */
  readonly encode: (value: unknown) => Result.Result<Uint8Array, Failure>
  /**
   * Decodes the first `length` bytes (all, by default) into a fresh value that keeps
   * no reference to them.
   */
  readonly decode: (bytes: Uint8Array, length?: number) => Result.Result<unknown, Failure>
}

/**
 * How values are encoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface CodecOptions {
  /** Whether values are encoded with a checksum. Those that have one are always checked. */
  readonly checksums?: boolean | undefined
  /** The most bytes that a value may have, with its checksum. Default: as many as it has. */
  readonly maxBytes?: number | undefined
  /** The structures that records share. */
  readonly structures?: RecordStructures.RecordStructures | undefined
}

// The engine marks compressed values with a first byte of 250 or more: formats stay below. Records in indexes have 4.
const plainFormat = 1
const graphFormat = 2
const checkedFormat = 3
const structuredFormat = 5

// -----------------------------------------------------------------------------
// Checksums
// -----------------------------------------------------------------------------

/** The format, and the checksum in four bytes. */
const checkedHead = 5

/** Puts their checksum before the bytes of a value. */
const withChecksum = (bytes: Uint8Array): Uint8Array => {
  const checked = Buffer.allocUnsafe(checkedHead + bytes.length)
  checked[0] = checkedFormat
  checked.writeUInt32LE(crc32(bytes), 1)
  checked.set(bytes, checkedHead)
  return checked
}

/** The bytes of a value behind its checksum, if it has one. */
const withoutChecksum = (bytes: Buffer, length: number): Buffer => {
  if (length < checkedHead) return malformed()
  const value = bytes.subarray(checkedHead, length)
  const checksum = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true)
  if (crc32(value) !== checksum) throw new Refusal("they do not match their checksum: the file is damaged")
  return value
}

// -----------------------------------------------------------------------------
// The codec
// -----------------------------------------------------------------------------

/** So much memory msgpackr keeps to write to. */
const packedBytes = 8192

/** A value of more bytes is not to leave it so large. */
const largestPacked = 8 * packedBytes

/** The engine gives a `Buffer`, and what was encoded here is one. */
const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const failure = (what: string, cause: unknown): Failure => {
  if (cause instanceof Refusal) return { detail: cause.message }
  return { detail: cause instanceof Error ? `${what}: ${cause.message}` : what, cause }
}

/** Says that a value has more bytes than can be stored. */
export const tooLong = (length: number, maxBytes: number): string =>
  `it has ${length} bytes when encoded, and a value may have ${maxBytes} at most; store it in parts`

/**
 * Makes a codec. Each store has its own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  { checksums = false, maxBytes = Infinity, structures = RecordStructures.make() }: CodecOptions = {}
): Codec => {
  // No records: a graph has none.
  const packr = new Packr({ useRecords: false, useBigIntExtension: true, copyBuffers: true })

  const renewBuffer = (): void => packr.useBuffer(Buffer.allocUnsafeSlow(packedBytes))

  // No code of the caller runs while msgpackr writes: the nodes are arrays of primitives and bytes.
  const packGraph = (value: unknown): Uint8Array => {
    const bytes = packr.pack(takeApart(value), RESERVE_START_SPACE | 1)
    bytes[0] = graphFormat
    // The buffer that all instances of msgpackr write to would stay as large as the largest value.
    if (bytes.length > largestPacked) renewBuffer()
    return bytes
  }

  const reader = PlainReader.make(structures)

  const unpackGraph = (bytes: Uint8Array, length: number): unknown =>
    isMessage(bytes, 1, length) ? putTogether(packr.unpack(bytes, { start: 1, end: length })) : malformed()

  const unpack = (bytes: Buffer, length: number): unknown => {
    const format = bytes[0]
    if (length === 0) throw new Refusal("there are none")
    if (format === plainFormat || format === structuredFormat) {
      return reader.read(bytes, length, format === structuredFormat)
    }
    if (format === graphFormat) return unpackGraph(bytes, length)
    throw new Refusal(`no value begins with ${format}`)
  }

  const makeWriter = () => PlainWriter.make({ plain: plainFormat, structured: structuredFormat }, structures)

  /** `undefined` while a value is being written: a getter of it may have another one encoded. */
  let idle: PlainWriter.PlainWriter | undefined = makeWriter()

  const encode = (writer: PlainWriter.PlainWriter, value: unknown): Uint8Array => {
    const bytes = writer.write(value) ?? packGraph(value)
    const length = checksums ? checkedHead + bytes.length : bytes.length
    if (length > maxBytes) throw new Refusal(tooLong(length, maxBytes))
    return checksums ? withChecksum(bytes) : bytes
  }

  const decode = (bytes: Buffer, length: number): unknown => {
    if (bytes[0] !== checkedFormat) return unpack(bytes, length)
    const value = withoutChecksum(bytes, length)
    return unpack(value, value.length)
  }

  return {
    encode: (value) => {
      const writer = idle ?? makeWriter()
      idle = undefined
      const encoded = Result.try({
        try: () => encode(writer, value),
        catch: (cause) => {
          writer.reset()
          // A throw in the middle can leave the buffer that all instances of msgpackr write to half exchanged.
          renewBuffer()
          return failure("encoding it threw", cause)
        }
      })
      idle = writer
      return encoded
    },
    decode: (bytes, length = bytes.length) =>
      Result.try({
        try: () => decode(bufferOf(bytes), length),
        catch: (cause) => {
          clearSource()
          return failure("decoding them threw", cause)
        }
      })
  }
}
