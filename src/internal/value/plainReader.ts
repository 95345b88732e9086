/**
 * Reads what `plainWriter.ts` writes: plain values as MessagePack, and records by the
 * structures that they share.
 *
 * The bytes are checked while they are read: lengths are held against what is left, and
 * nothing is taken for a value that is never written.
 * Text longer than a few characters takes msgpackr two to three times as long, and the
 * check before it nearly as long as the reading itself.
 */
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import { maximumDepth } from "./messagePack.ts"
import { firstStructureByte, type Names, type RecordStructures, shortNumbers } from "./recordStructures.ts"
import { malformed, Refusal } from "./valueGraph.ts"

/** Reads plain values. */
export interface PlainReader {
  /**
   * Reads the value that is all between the first byte and `end`, and keeps no reference to the bytes. With
   * structures, what would be a number from 64 to 127 is a record. Throws a `Refusal` for what is no value, and why a
   * definition could not be read.
   */
  readonly read: (bytes: Buffer, end: number, hasStructures: boolean) => unknown
}

/** Reads the next item, which is inside of so many others. */
type ReadItem = (depth: number) => unknown

/** Reads the fields of a record, which are inside of so many other items. */
type ReadFields = (depth: number) => Record<string, unknown>

const isMaker = (value: unknown): value is (readItem: ReadItem) => ReadFields => typeof value === "function"

const goThrough = (names: Names, readItem: ReadItem): ReadFields => (depth) => {
  const record: Record<string, unknown> = {}
  for (const name of names) record[name] = readItem(depth)
  return record
}

/**
 * A reader for the records of a structure. One that is made of text takes three quarters of
 * the time of one that goes through the names; some programs allow no such code.
 */
const makeReadFields = (names: Names, readItem: ReadItem): ReadFields => {
  const fields = names.map((name) => `${JSON.stringify(name)}: readItem(depth)`)
  const made = Result.try((): unknown =>
    Reflect.construct(Function, ["readItem", `return (depth) => ({ ${fields.join(", ")} })`])
  )
  return Result.isSuccess(made) && isMaker(made.success) ? made.success(readItem) : goThrough(names, readItem)
}

/** The highest byte of ASCII. */
const lastOfAscii = 0x7f

/** Up to here text of ASCII is made here: it takes half the time of a call of the platform. */
const shortText = 16

const asciiAt = (bytes: Buffer, at: number): number => (bytes[at] ?? 0) & lastOfAscii

const { fromCharCode } = String

// Most names and codes are no longer: to make sixteen of all takes a third longer.
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

// Two of eight characters each would not be one text to the platform, but two behind each other.
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

/** Text of ASCII. More is made than there is of it, of what stands behind, and cut off. */
const readShort = (bytes: Buffer, start: number, length: number): string => {
  if (length === 1) return fromCharCode(asciiAt(bytes, start))
  return (length <= 8 ? readEight(bytes, start) : readSixteen(bytes, start)).slice(0, length)
}

/** With its length, the first byte of a text of less than 32 bytes. */
const shortTextByte = 0xa0

/** Whether bytes are those of a text of ASCII. */
const isText = (bytes: Buffer, start: number, text: string): boolean => {
  for (let index = 0; index < text.length; index++) {
    if (bytes[start + index] !== text.charCodeAt(index)) return false
  }
  return true
}

const noBytes = Buffer.alloc(0)

/** The last place where a key is remembered: for eight keys of a record, on eight levels, there is one each. */
const lastKey = 63

/** Makes a reader. */
export const make = (structures: RecordStructures): PlainReader => {
  let bytes: Buffer = noBytes
  /** Where the next item begins, and where all end. */
  let position = 0
  let end = 0
  let usesStructures = false
  /** By the numbers of their structures. */
  const readers: Array<ReadFields> = []
  /** The keys of the last records by their places: mostly the next has them too. */
  const keys: Array<string> = []

  /** Goes over so many bytes, if there are, and gives where they begin. */
  const take = (count: number): number => {
    const start = position
    if (count > end - start) return malformed()
    position = start + count
    return start
  }

  const readCount = (width: 1 | 2 | 4): number => {
    let value = 0
    for (let at = take(width); at < position; at++) value = value * 256 + (bytes[at] ?? 0)
    return value
  }

  const readText = (length: number): string => {
    const start = take(length)
    if (length <= shortText) {
      let bits = 0
      for (let at = start; at < position; at++) bits |= bytes[at] ?? 0
      if (bits <= lastOfAscii) return readShort(bytes, start, length)
    }
    return bytes.toString("utf8", start, position)
  }

  const readArray = (length: number, depth: number): ReadonlyArray<unknown> => {
    if (depth === maximumDepth) return malformed()
    const array: Array<unknown> = []
    for (let index = 0; index < length; index++) array.push(readItem(depth + 1))
    return array
  }

  const readKey = (place: number): string => {
    const likely = keys[place] ?? ""
    if (bytes[position] === (shortTextByte | likely.length) && isText(bytes, position + 1, likely)) {
      position += likely.length + 1
      return likely
    }
    const start = position
    const key = readItem(maximumDepth)
    if (typeof key !== "string") return malformed()
    // As many bytes as characters: it is ASCII.
    if (key.length <= shortText && position - start === key.length + 1) keys[place] = key
    return key
  }

  const readRecord = (properties: number, depth: number): Record<string, unknown> => {
    if (depth === maximumDepth) return malformed()
    const record: Record<string, unknown> = {}
    for (let index = 0; index < properties; index++) {
      const key = readKey((8 * depth + index) & lastKey)
      if (key === "__proto__") return malformed()
      record[key] = readItem(depth + 1)
    }
    return record
  }

  const namesOf = (number: number): Names => {
    if (structures.known[number] === undefined) {
      // Another process may have defined it. The engine reads definitions into the same memory.
      bytes = Buffer.from(bytes.subarray(0, end))
      Result.getOrThrow(structures.refresh())
    }
    const names = structures.known[number] ?? []
    if (names.length === 0) throw new Refusal("they are damaged, or the structure that they refer to is")
    return names
  }

  const readStructure = (first: number, depth: number): Record<string, unknown> => {
    let number = first - firstStructureByte
    if (number >= shortNumbers) number += shortNumbers * readCount(1)
    if (depth === maximumDepth) return malformed()
    const read = readers[number] ??= makeReadFields(namesOf(number), readItem)
    return read(depth + 1)
  }

  const readDate = (): Date => {
    if (readCount(1) !== 0xff) return malformed()
    const start = take(8)
    const nanoseconds = bytes.readUInt32BE(start) >>> 2
    return new Date(bytes.readUInt32BE(start + 4) * 1000 + nanoseconds / 1_000_000)
  }

  const readUndefined = (): undefined => readCount(2) === 0 ? undefined : malformed()

  const readLonger = (first: number, depth: number): unknown => {
    switch (first) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xcb:
        return bytes.readDoubleBE(take(8))
      case 0xcc:
        return readCount(1)
      case 0xcd:
        return readCount(2)
      case 0xce:
        return readCount(4)
      case 0xd2:
        return bytes.readInt32BE(take(4))
      case 0xd3:
        return bytes.readBigInt64BE(take(8))
      case 0xd4:
        return readUndefined()
      case 0xd7:
        return readDate()
      case 0xd9:
        return readText(readCount(1))
      case 0xda:
        return readText(readCount(2))
      case 0xdb:
        return readText(readCount(4))
      case 0xdc:
        return readArray(readCount(2), depth)
      case 0xdd:
        return readArray(readCount(4), depth)
      case 0xde:
        return readRecord(readCount(2), depth)
      case 0xdf:
        return readRecord(readCount(4), depth)
      default:
        return malformed()
    }
  }

  const readItem: ReadItem = (depth) => {
    const first = bytes[take(1)] ?? 0
    if (first < firstStructureByte) return first
    if (first < 0x80) return usesStructures ? readStructure(first, depth) : first
    if (first < 0x90) return readRecord(first & 0x0f, depth)
    if (first < 0xa0) return readArray(first & 0x0f, depth)
    if (first < 0xc0) return readText(first & 0x1f)
    return first < 0xe0 ? readLonger(first, depth) : first - 0x100
  }

  return {
    read: (given, givenEnd, hasStructures) => {
      bytes = given
      position = 1
      end = givenEnd
      usesStructures = hasStructures
      const value = readItem(0)
      bytes = noBytes
      return position === end ? value : malformed()
    }
  }
}
