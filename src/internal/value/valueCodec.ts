/**
 * Encodes a value of a program as bytes, and decodes bytes as a value.
 *
 * Every value that `structuredClone` can copy comes back equal: nested objects, arrays,
 * `Map`, `Set`, `Date`, `RegExp`, errors, `bigint`, typed arrays, `ArrayBuffer`, `NaN`,
 * `-0`, `undefined`, cycles, and references shared within one value.
 *
 * **Details**
 *
 * As with `structuredClone`, an instance of a class becomes a plain object with its own
 * enumerable properties, and properties under symbols are left out. An error keeps its
 * name, message, stack and cause. A getter is read once or twice.
 *
 * Unlike `structuredClone`, the codec stores each view (`Uint8Array`, `DataView` ...) with
 * its own bytes, and not with the whole buffer under it: Node.js allocates a small `Buffer`
 * in a pool that also contains the data of other buffers. A resizable buffer comes back with a fixed length.
 *
 * The codec refuses objects that would come back empty or as something else:
 *
 * - Values of Effect (`Option`, `Redacted`, `HashMap`, `Duration`, errors with fields ...).
 *   It takes instances of `Data.Class` and `Schema.Class`, because their fields are their
 *   own properties.
 * - Objects of the platform that hide their state (`URL`, `Blob`, `Intl.NumberFormat` ...),
 *   of any realm.
 * - Instances of classes with getters that have no properties of their own.
 *
 * The codec is pure: it reads nothing but the bytes, and asks nothing of the store. If the
 * bytes refer to a structure that the codec does not know, decoding ends with
 * `UnknownStructure`; the caller can add the structure and decode again. If many encoded
 * records have the same fields, encoding leaves a candidate in the structures.
 *
 * **Format**
 *
 * The first byte names one of five formats:
 *
 * - *plain* (1): one MessagePack item. Nearly every value is a tree that MessagePack can express.
 * - *structured* (5): the same, but a record of a known structure has the number of the
 *   structure in place of its field names.
 * - *graph* (2): any other value, as a list of nodes that refer to each other by index, in
 *   MessagePack.
 * - *checked* (3): the CRC-32 of the bytes after it, which are in one of the other formats.
 * - *expiring* (6): a time, and the value that expires then, in one of the formats above (`expiringValue.ts`).
 */
import * as Result from "effect/Result"
// The entry point `msgpackr` also loads streams and a native addon, which takes most of the time of its import.
import { Packr, RESERVE_START_SPACE } from "msgpackr/pack"
import { clearSource } from "msgpackr/unpack"
import { Buffer } from "node:buffer"
import { crc32 } from "node:zlib"
import { expiringFormat, headBytes } from "./expiringValue.ts"
import { isMessage } from "./messagePack.ts"
import * as PlainReader from "./plainReader.ts"
import * as PlainWriter from "./plainWriter.ts"
import * as RecordStructures from "./recordStructures.ts"
import { fromNodes, malformed, Refusal, toNodes } from "./valueGraph.ts"

/** Says why a value cannot be encoded, or why bytes are not a value. */
export interface Failure {
  readonly _tag: "Failure"
  /** What is wrong, and at which place in the value. */
  readonly detail: string
  /** What was thrown, unless the codec itself refused. */
  readonly cause?: unknown
}

/** Says that bytes refer to a structure that the codec does not know. */
export interface UnknownStructure {
  readonly _tag: "UnknownStructure"
  /** The number of the structure. */
  readonly number: number
  /** What is wrong with the bytes if the store does not know the structure either. */
  readonly detail: string
}

/** Encodes and decodes values. Each store has its own codec. */
export interface Codec {
  readonly checksums: boolean
  readonly maxBytes: number
  readonly structures: RecordStructures.RecordStructures
  readonly reader: PlainReader.PlainReader
  /** `undefined` while a value is being written: a getter of the value may have another one encoded. */
  idleWriter: PlainWriter.PlainWriter | undefined
}

/** How values are encoded. */
export interface CodecOptions {
  /** Whether values are encoded with a checksum. A value that has a checksum is always checked. */
  readonly checksums?: boolean | undefined
  /** The most bytes that an encoded value may have, with its checksum. Default: no limit. */
  readonly maxBytes?: number | undefined
  /** The structures that records share. */
  readonly structures?: RecordStructures.RecordStructures | undefined
}

// LMDB marks compressed values with a first byte of 250 or more, so formats stay below 250. A record with index entries
// begins with 4.
const plainFormat = 1
const graphFormat = 2
const checkedFormat = 3
const structuredFormat = 5

// -----------------------------------------------------------------------------
// Checksums
// -----------------------------------------------------------------------------

/** One byte for the format and four bytes for the checksum. */
const checkedHead = 5

/** Puts a checksum before the bytes of a value. */
const withChecksum = (bytes: Uint8Array): Uint8Array => {
  const checked = Buffer.allocUnsafe(checkedHead + bytes.length)
  checked[0] = checkedFormat
  checked.writeUInt32LE(crc32(bytes), 1)
  checked.set(bytes, checkedHead)
  return checked
}

/** Verifies the checksum of a value, and returns the bytes after it. */
const withoutChecksum = (bytes: Buffer, length: number): Buffer => {
  if (length < checkedHead) return malformed()
  const value = bytes.subarray(checkedHead, length)
  const checksum = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true)
  if (crc32(value) !== checksum) throw new Refusal("they do not match their checksum: the file is damaged")
  return value
}

// -----------------------------------------------------------------------------
// Graphs
// -----------------------------------------------------------------------------

/** The size of msgpackr's write buffer, in bytes. */
const packedBytes = 8192

/** After a larger value, msgpackr's buffer is replaced by one of the usual size. */
const largestPacked = 8 * packedBytes

// All stores share the instance: it uses no records, and no other code runs during a call.
const packr = new Packr({ useRecords: false, useBigIntExtension: true, copyBuffers: true })

const renewBuffer = (): void => packr.useBuffer(Buffer.allocUnsafeSlow(packedBytes))

// No getters run while msgpackr writes: the nodes are arrays of primitives and bytes.
const packGraph = (value: unknown): Uint8Array => {
  const bytes = packr.pack(toNodes(value), RESERVE_START_SPACE | 1)
  bytes[0] = graphFormat
  // msgpackr's buffer would stay as large as the largest value.
  if (bytes.length > largestPacked) renewBuffer()
  return bytes
}

const unpackGraph = (bytes: Uint8Array, length: number): unknown =>
  isMessage(bytes, 1, length) ? fromNodes(packr.unpack(bytes, { start: 1, end: length })) : malformed()

// -----------------------------------------------------------------------------
// The codec
// -----------------------------------------------------------------------------

const formats = { plain: plainFormat, structured: structuredFormat }

/** Makes a codec. */
export const make = (
  { checksums = false, maxBytes = Infinity, structures = RecordStructures.make() }: CodecOptions = {}
): Codec => ({
  checksums,
  maxBytes,
  structures,
  reader: PlainReader.make(structures),
  idleWriter: PlainWriter.make(formats, structures)
})

/** Returns the bytes as a `Buffer`. Bytes from LMDB and encoded values are one already. */
const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const failure = (what: string, cause: unknown): Failure => {
  if (cause instanceof Refusal) return { _tag: "Failure", detail: cause.message }
  return { _tag: "Failure", detail: cause instanceof Error ? `${what}: ${cause.message}` : what, cause }
}

/** Says that an encoded value has more bytes than the store allows. */
export const tooLong = (length: number, maxBytes: number): string =>
  `it has ${length} bytes when encoded, and a value may have ${maxBytes} at most; store it in parts`

const encodeOrThrow = (
  { checksums, maxBytes }: Codec,
  writer: PlainWriter.PlainWriter,
  value: unknown
): Uint8Array => {
  const bytes = PlainWriter.write(writer, value) ?? packGraph(value)
  const length = checksums ? checkedHead + bytes.length : bytes.length
  if (length > maxBytes) throw new Refusal(tooLong(length, maxBytes))
  return checksums ? withChecksum(bytes) : bytes
}

/** Encodes a value; never throws. The bytes may be a slice of a larger chunk, no part of which is written twice. */
export const encode = (self: Codec, value: unknown): Result.Result<Uint8Array, Failure> => {
  const writer = self.idleWriter ?? PlainWriter.make(formats, self.structures)
  self.idleWriter = undefined
  const encoded = Result.try({
    try: () => encodeOrThrow(self, writer, value),
    catch: (cause) => {
      PlainWriter.reset(writer)
      // An error in the middle of msgpackr's work can leave its buffer in an unusable state.
      renewBuffer()
      return failure("encoding it threw", cause)
    }
  })
  self.idleWriter = writer
  return encoded
}

const decodeFormat = (self: Codec, bytes: Buffer, length: number): unknown => {
  const format = bytes[0]
  if (length === 0) throw new Refusal("there are none")
  if (format === plainFormat || format === structuredFormat) {
    return PlainReader.read(self.reader, bytes, length, format === structuredFormat)
  }
  if (format === graphFormat) return unpackGraph(bytes, length)
  if (format === expiringFormat && length > headBytes) return decodeOrThrow(self, bytes.subarray(headBytes, length))
  throw new Refusal(`no value begins with ${format}`)
}

const decodeOrThrow = (self: Codec, bytes: Buffer, length = bytes.length): unknown => {
  if (bytes[0] !== checkedFormat) return decodeFormat(self, bytes, length)
  const value = withoutChecksum(bytes, length)
  return decodeFormat(self, value, value.length)
}

/**
 * Decodes the first `length` bytes (all, by default) into a new value that keeps no
 * reference to them; never throws.
 */
export const decode = (
  self: Codec,
  bytes: Uint8Array,
  length = bytes.length
): Result.Result<unknown, Failure | UnknownStructure> =>
  Result.try({
    try: () => decodeOrThrow(self, bufferOf(bytes), length),
    catch: (cause): Failure | UnknownStructure => {
      if (cause instanceof PlainReader.UnknownStructureRefusal) {
        return { _tag: "UnknownStructure", number: cause.number, detail: cause.message }
      }
      clearSource()
      return failure("decoding them threw", cause)
    }
  })
