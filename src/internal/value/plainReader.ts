/**
 * Reads what `plainWriter.ts` writes: plain values as MessagePack, and records by their
 * structures.
 *
 * The reader checks the bytes while it reads them: it compares each length with the bytes
 * that are left, and refuses items that the writer never writes. msgpackr needs two to
 * three times as long for text of more than a few characters, and a separate check before
 * it takes nearly as long as reading.
 *
 * A reader is a record, and the functions of this module take it as their first argument.
 * As one closure per store, the same code started uncompiled in each new store: the first
 * 30,000 small records of a second store took 2.6 times the processor time, later ones 1.1
 * times (medians of seven processes each).
 */
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import { maximumDepth } from "./messagePack.ts"
import { firstStructureByte, type RecordStructures, shortNumbers, type Structure } from "./recordStructures.ts"
import { malformed, Refusal } from "./valueGraph.ts"

/** Thrown inside the codec only: the bytes refer to a structure that the reader does not know. */
export class UnknownStructureRefusal extends Refusal {
  readonly number: number
  constructor(number: number) {
    super(unknownOrDamaged)
    this.number = number
  }
}

const unknownOrDamaged = "they are damaged, or the structure that they refer to is"

/** Reads the fields of a record whose nesting depth is `depth`. */
type ReadFields = (reader: PlainReader, depth: number) => Record<string, unknown>

/** Reads plain values. */
export interface PlainReader {
  readonly structures: RecordStructures
  bytes: Buffer
  /** Where the next item begins, and where the value ends. */
  position: number
  end: number
  /** Whether the bytes from 64 to 127 stand for structures instead of numbers. */
  usesStructures: boolean
  /** The functions that read the fields of records, by the number of the structure. */
  readonly readers: Array<ReadFields | undefined>
  /** The keys of the last records, by depth and place. The next record mostly has the same keys. */
  readonly keys: Array<string>
}

const noBytes = Buffer.alloc(0)

/** Makes a reader. */
export const make = (structures: RecordStructures): PlainReader => ({
  structures,
  bytes: noBytes,
  position: 0,
  end: 0,
  usesStructures: false,
  readers: [],
  keys: []
})

const isMaker = (value: unknown): value is (read: typeof readItem) => ReadFields => typeof value === "function"

const readEachField = (names: Structure): ReadFields => (reader, depth) => {
  const record: Record<string, unknown> = {}
  for (const name of names) record[name] = readItem(reader, depth)
  return record
}

/**
 * Makes the function that reads the records of a structure. A function compiled from text
 * takes three quarters of the time of a loop over the names. If the process forbids
 * compiling text, the loop is used.
 */
const makeReadFields = (names: Structure): ReadFields => {
  const fields = names.map((name) => `${JSON.stringify(name)}: readItem(reader, depth)`)
  const made = Result.try((): unknown =>
    Reflect.construct(Function, ["readItem", `return (reader, depth) => ({ ${fields.join(", ")} })`])
  )
  return Result.isSuccess(made) && isMaker(made.success) ? made.success(readItem) : readEachField(names)
}

/** The highest byte of ASCII. */
const lastOfAscii = 0x7f

/** ASCII text of up to 16 characters is made from character codes, which takes half the time of `Buffer.toString`. */
const shortText = 16

const asciiAt = (bytes: Buffer, at: number): number => (bytes[at] ?? 0) & lastOfAscii

const { fromCharCode } = String

// Most names and codes have at most eight characters. Always reading sixteen takes a third longer.
const readEight = (b: Buffer, at: number): string =>
  fromCharCode(
    asciiAt(b, at),
    asciiAt(b, at + 1),
    asciiAt(b, at + 2),
    asciiAt(b, at + 3),
    asciiAt(b, at + 4),
    asciiAt(b, at + 5),
    asciiAt(b, at + 6),
    asciiAt(b, at + 7)
  )

// One call makes a flat string. Joining two strings of eight characters makes a rope, which is slower to use.
const readSixteen = (b: Buffer, at: number): string =>
  fromCharCode(
    asciiAt(b, at),
    asciiAt(b, at + 1),
    asciiAt(b, at + 2),
    asciiAt(b, at + 3),
    asciiAt(b, at + 4),
    asciiAt(b, at + 5),
    asciiAt(b, at + 6),
    asciiAt(b, at + 7),
    asciiAt(b, at + 8),
    asciiAt(b, at + 9),
    asciiAt(b, at + 10),
    asciiAt(b, at + 11),
    asciiAt(b, at + 12),
    asciiAt(b, at + 13),
    asciiAt(b, at + 14),
    asciiAt(b, at + 15)
  )

/** Reads ASCII text of up to 16 characters: makes a string of eight or sixteen bytes, and cuts it to its length. */
const readShort = (bytes: Buffer, start: number, length: number): string => {
  if (length === 1) return fromCharCode(asciiAt(bytes, start))
  return (length <= 8 ? readEight(bytes, start) : readSixteen(bytes, start)).slice(0, length)
}

/** The first byte of a text of less than 32 bytes, without its length. */
const shortTextByte = 0xa0

/** Whether the bytes from `start` on are those of an ASCII text. */
const isText = (bytes: Buffer, start: number, text: string): boolean => {
  for (let index = 0; index < text.length; index++) {
    if (bytes[start + index] !== text.charCodeAt(index)) return false
  }
  return true
}

/** The highest index in `keys`, which remembers eight keys for each of eight depths. */
const lastKey = 63

/** Advances by `count` bytes and returns where they begin. Refuses if fewer bytes are left. */
const take = (self: PlainReader, count: number): number => {
  const start = self.position
  if (count > self.end - start) return malformed()
  self.position = start + count
  return start
}

const readCount = (self: PlainReader, width: 1 | 2 | 4): number => {
  let value = 0
  for (let at = take(self, width); at < self.position; at++) value = value * 256 + (self.bytes[at] ?? 0)
  return value
}

const readText = (self: PlainReader, length: number): string => {
  const start = take(self, length)
  const { bytes, position } = self
  if (length <= shortText) {
    let bits = 0
    for (let at = start; at < position; at++) bits |= bytes[at] ?? 0
    if (bits <= lastOfAscii) return readShort(bytes, start, length)
  }
  return bytes.toString("utf8", start, position)
}

const readArray = (self: PlainReader, length: number, depth: number): ReadonlyArray<unknown> => {
  if (depth === maximumDepth) return malformed()
  const array: Array<unknown> = []
  for (let index = 0; index < length; index++) array.push(readItem(self, depth + 1))
  return array
}

const readKey = (self: PlainReader, place: number): string => {
  const start = self.position
  const likely = self.keys[place] ?? ""
  if (self.bytes[start] === (shortTextByte | likely.length) && isText(self.bytes, start + 1, likely)) {
    self.position = start + likely.length + 1
    return likely
  }
  const key = readItem(self, maximumDepth)
  if (typeof key !== "string") return malformed()
  // A key with as many bytes as characters is ASCII.
  if (key.length <= shortText && self.position - start === key.length + 1) self.keys[place] = key
  return key
}

const readRecord = (self: PlainReader, fields: number, depth: number): Record<string, unknown> => {
  if (depth === maximumDepth) return malformed()
  const record: Record<string, unknown> = {}
  for (let index = 0; index < fields; index++) {
    const key = readKey(self, (8 * depth + index) & lastKey)
    if (key === "__proto__") return malformed()
    record[key] = readItem(self, depth + 1)
  }
  return record
}

const readFieldsOf = (self: PlainReader, number: number): ReadFields => {
  const names = self.structures.known[number]
  if (names === undefined) throw new UnknownStructureRefusal(number)
  if (names.length === 0) throw new Refusal(unknownOrDamaged)
  return self.readers[number] = makeReadFields(names)
}

const readStructure = (self: PlainReader, first: number, depth: number): Record<string, unknown> => {
  let number = first - firstStructureByte
  if (number >= shortNumbers) number += shortNumbers * readCount(self, 1)
  if (depth === maximumDepth) return malformed()
  const readFields = self.readers[number] ?? readFieldsOf(self, number)
  return readFields(self, depth + 1)
}

const readDate = (self: PlainReader): Date => {
  if (readCount(self, 1) !== 0xff) return malformed()
  const start = take(self, 8)
  const nanoseconds = self.bytes.readUInt32BE(start) >>> 2
  return new Date(self.bytes.readUInt32BE(start + 4) * 1000 + nanoseconds / 1_000_000)
}

const readUndefined = (self: PlainReader): undefined => readCount(self, 2) === 0 ? undefined : malformed()

/** Reads an item whose first byte is between 0xc0 and 0xdf. */
const readLonger = (self: PlainReader, first: number, depth: number): unknown => {
  switch (first) {
    case 0xc0:
      return null
    case 0xc2:
      return false
    case 0xc3:
      return true
    case 0xcb:
      return self.bytes.readDoubleBE(take(self, 8))
    case 0xcc:
      return readCount(self, 1)
    case 0xcd:
      return readCount(self, 2)
    case 0xce:
      return readCount(self, 4)
    case 0xd2:
      return self.bytes.readInt32BE(take(self, 4))
    case 0xd3:
      return self.bytes.readBigInt64BE(take(self, 8))
    case 0xd4:
      return readUndefined(self)
    case 0xd7:
      return readDate(self)
    case 0xd9:
      return readText(self, readCount(self, 1))
    case 0xda:
      return readText(self, readCount(self, 2))
    case 0xdb:
      return readText(self, readCount(self, 4))
    case 0xdc:
      return readArray(self, readCount(self, 2), depth)
    case 0xdd:
      return readArray(self, readCount(self, 4), depth)
    case 0xde:
      return readRecord(self, readCount(self, 2), depth)
    case 0xdf:
      return readRecord(self, readCount(self, 4), depth)
    default:
      return malformed()
  }
}

/** Reads the next item, which is inside `depth` other items. */
const readItem = (self: PlainReader, depth: number): unknown => {
  const first = self.bytes[take(self, 1)] ?? 0
  if (first < firstStructureByte) return first
  if (first < 0x80) return self.usesStructures ? readStructure(self, first, depth) : first
  if (first < 0x90) return readRecord(self, first & 0x0f, depth)
  if (first < 0xa0) return readArray(self, first & 0x0f, depth)
  if (first < 0xc0) return readText(self, first & 0x1f)
  return first < 0xe0 ? readLonger(self, first, depth) : first - 0x100
}

/**
 * Reads the value that takes all bytes from the second one to `end`, and keeps no
 * reference to them. With `usesStructures`, the bytes from 64 to 127 stand for structures.
 * Throws a `Refusal` for bytes that are not a value, and an `UnknownStructureRefusal` for a
 * value whose structure the reader does not know.
 */
export const read = (self: PlainReader, bytes: Buffer, end: number, usesStructures: boolean): unknown => {
  self.bytes = bytes
  self.position = 1
  self.end = end
  self.usesStructures = usesStructures
  const value = readItem(self, 0)
  self.bytes = noBytes
  return self.position === end ? value : malformed()
}
