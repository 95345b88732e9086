/**
 * Writes plain values as MessagePack: trees of what JSON could hold, dates and whole
 * numbers of 64 bits, which nearly every value is.
 *
 * A value is checked and written in one pass: to look through it first and then to have
 * it written by msgpackr takes half as long again, and encoding is the larger part of a
 * `put`. What it meets besides, it leaves to the caller, who knows more kinds of values.
 *
 * Code of the caller runs meanwhile, in getters: it may throw, change what is being
 * written, and have another value written, by another writer.
 */
import { Buffer } from "node:buffer"
import { types } from "node:util"
import { maximumDepth } from "./messagePack.ts"
import { firstStructureByte, type RecordStructures, type Shape, shortNumbers } from "./recordStructures.ts"
import { isDense, isPlainText, isRecord } from "./valueGraph.ts"

/** Writes plain values. */
export interface PlainWriter {
  /**
   * Writes a value; `undefined` where it is not plain. The bytes are a slice of a larger
   * chunk, no part of which is written twice. Throws what getters of the value throw.
   */
  readonly write: (value: unknown) => Uint8Array | undefined
  /** Forgets a value in the midst of which something was thrown. */
  readonly reset: () => void
}

/** Holds many small values; larger ones get a chunk of their own. */
const chunkBytes = 16_384

/** Up to here the characters of a text are written one by one, which is faster than a call of the platform. */
const shortText = 31

/** The bytes of a unit of UTF-16 in UTF-8, at most. */
const mostBytesOfUnit = 3

/** Up to here the length of a text takes two bytes at the most, whatever its characters are. */
const middleText = 4096

/** The most bytes of an item without its content: a float, or the head of a long text, array or map. */
const headBytes = 9

/** Up to here a list is gone through faster than a set is made. */
const fewObjects = 32

const hasOrAdd = (objects: Set<object>, value: object): boolean => {
  const { size } = objects
  return objects.add(value).size === size
}

/** What any record would seem to have too, if somebody gave it to all objects. */
const isPolluted = (): boolean => {
  for (const _ in {}) return true
  return false
}

const isSmall = (value: number): boolean => value >>> 0 === value || value >> 0 === value

/** What a writer begins values with. */
interface FirstBytes {
  readonly plain: number
  /** Before values with records of known structures. */
  readonly structured: number
}

/** Makes a writer. */
export const make = (firstBytes: FirstBytes, structures: RecordStructures): PlainWriter => {
  let chunk = Buffer.allocUnsafeSlow(chunkBytes)
  let floats = new DataView(chunk.buffer)
  /** Where the value that is written begins, and where its next byte goes. */
  let start = 0
  let position = 0
  /** Whether records are written by their structures: decided before the value, for numbers are written otherwise then. */
  let usesStructures = false
  let hasStructure = false

  /** The objects met in the value: one met twice has an identity to keep, which bytes in a row do not. */
  const few: Array<object | undefined> = Array.from({ length: fewObjects }, () => undefined)
  let met = 0
  let many: Set<object> | undefined

  const isMet = (value: object): boolean => {
    if (many !== undefined) return hasOrAdd(many, value)
    for (let index = 0; index < met; index++) {
      if (few[index] === value) return true
    }
    if (met === fewObjects) many = new Set([...few, value].filter((object) => object !== undefined))
    else few[met++] = value
    return false
  }

  const reset = (): void => {
    while (met > 0) few[--met] = undefined
    many = undefined
  }

  const beginChunk = (bytes: number): void => {
    chunk = Buffer.allocUnsafeSlow(bytes)
    floats = new DataView(chunk.buffer)
    start = 0
  }

  /** Makes sure that so many bytes can be written. */
  const reserve = (bytes: number): void => {
    if (position + bytes <= chunk.length) return
    const written = chunk.subarray(start, position)
    // Twice what is there, so that a long value is not copied for each of its parts.
    beginChunk(Math.max(chunkBytes, 2 * written.length + bytes))
    chunk.set(written)
    position = written.length
  }

  /** The first byte of an item, with a count that follows in two or four bytes. */
  const writeCount = (first: number, count: number): void => {
    if (count < 0x1_0000) {
      chunk[position++] = first
    } else {
      chunk[position++] = first + 1
      chunk[position++] = count >>> 24
      chunk[position++] = (count >>> 16) & 0xff
    }
    chunk[position++] = (count >>> 8) & 0xff
    chunk[position++] = count & 0xff
  }

  /** The text is written behind the room for its length: to count its bytes before takes longer than to write them. */
  const writeMiddleText = (text: string): boolean => {
    const mostBytes = mostBytesOfUnit * text.length
    const isRoom = position + headBytes + mostBytes <= chunk.length
    // A chunk is to be filled: pending values keep theirs in memory.
    reserve(headBytes + (isRoom ? mostBytes : Buffer.byteLength(text, "utf8")))
    if (mostBytes < 0x100) {
      const bytes = chunk.write(text, position + 2, "utf8")
      chunk[position++] = 0xd9
      chunk[position++] = bytes
      position += bytes
    } else {
      const bytes = chunk.write(text, position + 3, "utf8")
      writeCount(0xda, bytes)
      position += bytes
    }
    return true
  }

  const writeLongText = (text: string): boolean => {
    if (!isPlainText(text)) return false
    if (text.length <= middleText) return writeMiddleText(text)
    const bytes = Buffer.byteLength(text, "utf8")
    reserve(headBytes + bytes)
    writeCount(0xda, bytes)
    position += chunk.write(text, position, "utf8")
    return true
  }

  const writeText = (text: string): boolean => {
    const { length } = text
    if (length > shortText) return writeLongText(text)
    reserve(headBytes + length)
    const head = position
    let at = head + 1
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index)
      if (code > 0x7f) return writeLongText(text)
      chunk[at++] = code
    }
    chunk[head] = 0xa0 | length
    position = at
    return true
  }

  const writeNumber = (value: number): boolean => {
    reserve(headBytes)
    if (!isSmall(value)) {
      chunk[position] = 0xcb
      floats.setFloat64(position + 1, value)
      position += 9
    } else if (value >= 0) {
      // There is one zero in MessagePack.
      if (Object.is(value, -0)) return false
      if (value < (usesStructures ? firstStructureByte : 0x80)) {
        chunk[position++] = value
      } else if (value < 0x100) {
        chunk[position++] = 0xcc
        chunk[position++] = value
      } else {
        writeCount(0xcd, value)
      }
    } else if (value >= -0x20) {
      chunk[position++] = value
    } else {
      chunk[position] = 0xd2
      floats.setInt32(position + 1, value)
      position += 5
    }
    return true
  }

  const writeBigInt = (value: bigint): boolean => {
    if (BigInt.asIntN(64, value) !== value) return false
    reserve(headBytes)
    chunk[position] = 0xd3
    floats.setBigInt64(position + 1, value)
    position += 9
    return true
  }

  const writeArray = (array: ReadonlyArray<unknown>, depth: number): boolean => {
    if (Object.getPrototypeOf(array) !== Array.prototype || !isDense(array)) return false
    reserve(headBytes)
    const { length } = array
    if (length < 16) chunk[position++] = 0x90 | length
    else writeCount(0xdc, length)
    for (let index = 0; index < length; index++) {
      if (!writeItem(array[index], depth)) return false
    }
    return array.length === length
  }

  /** Writes a record of a known structure. */
  const writeStructure = (record: Record<string, unknown>, number: number, depth: number): boolean => {
    const names = structures.known[number] ?? []
    reserve(headBytes)
    hasStructure = true
    if (number < shortNumbers) {
      chunk[position++] = firstStructureByte + number
    } else {
      chunk[position++] = firstStructureByte + shortNumbers + (number & 0x1f)
      chunk[position++] = (number - shortNumbers) >> 5
    }
    let written = 0
    for (const key in record) {
      // A getter may have done anything.
      if (key !== names[written++] || !writeItem(record[key], depth)) return false
    }
    return written === names.length
  }

  /** The structure that the last record of a level had: mostly the next has it too. */
  const last: Array<number> = Array.from({ length: maximumDepth + 1 }, () => -1)

  const isOf = (record: Record<string, unknown>, number: number): boolean => {
    const names = structures.known[number]
    if (names === undefined) return false
    let index = 0
    for (const key in record) {
      if (key !== names[index++]) return false
    }
    return index === names.length
  }

  const writeRecord = (record: Record<string, unknown>, depth: number): boolean => {
    const likely = last[depth] ?? -1
    if (usesStructures && isOf(record, likely)) return writeStructure(record, likely, depth)
    let properties = 0
    let shape: Shape | undefined = usesStructures ? structures.root() : undefined
    // Whoever reads it by assigning properties would give the record a prototype.
    for (const key in record) {
      if (key === "__proto__") return false
      shape = shape?.next.get(key)
      properties++
    }
    if (shape?.number !== undefined) {
      last[depth] = shape.number
      return writeStructure(record, shape.number, depth)
    }
    structures.meet(record)
    reserve(headBytes)
    if (properties < 16) chunk[position++] = 0x80 | properties
    else writeCount(0xde, properties)
    for (const key in record) {
      if (!writeText(key) || !writeItem(record[key], depth)) return false
      properties--
    }
    // A getter may have done anything.
    return properties === 0
  }

  /** The extension for points in time that has nanoseconds in 30 bits and seconds in 34; here they have no more than 32. */
  const writeDate = (date: Date): boolean => {
    const time = Date.prototype.getTime.call(date)
    const seconds = Math.floor(time / 1000)
    // One that is none compares as false.
    if (!(seconds >= 0 && seconds < 0x1_0000_0000) || Object.getPrototypeOf(date) !== Date.prototype) return false
    reserve(headBytes + 1)
    chunk[position++] = 0xd7
    chunk[position++] = 0xff
    floats.setUint32(position, (time - seconds * 1000) * 4_000_000)
    floats.setUint32(position + 4, seconds)
    position += 8
    return true
  }

  const writeObject = (value: object, depth: number): boolean => {
    if (depth === maximumDepth || types.isProxy(value) || isMet(value)) return false
    if (Array.isArray(value)) return writeArray(value, depth + 1)
    return isRecord(value) ? writeRecord(value, depth + 1) : types.isDate(value) && writeDate(value)
  }

  const writeFixed = (byte: number): boolean => {
    reserve(headBytes)
    chunk[position++] = byte
    return true
  }

  /** The extension that msgpackr has for it. */
  const writeUndefined = (): boolean => {
    reserve(headBytes)
    chunk[position++] = 0xd4
    chunk[position++] = 0
    chunk[position++] = 0
    return true
  }

  const writeItem = (value: unknown, depth: number): boolean => {
    switch (typeof value) {
      case "string":
        return writeText(value)
      case "number":
        return writeNumber(value)
      case "boolean":
        return writeFixed(value ? 0xc3 : 0xc2)
      case "undefined":
        return writeUndefined()
      case "bigint":
        return writeBigInt(value)
      case "object":
        return value === null ? writeFixed(0xc0) : writeObject(value, depth)
      default:
        return false
    }
  }

  return {
    write: (value) => {
      if (isPolluted()) return undefined
      usesStructures = structures.known.length > 0
      hasStructure = false
      position = start
      reserve(headBytes)
      position++
      const isPlain = writeItem(value, 0)
      chunk[start] = hasStructure ? firstBytes.structured : firstBytes.plain
      const bytes = isPlain ? chunk.subarray(start, position) : undefined
      if (isPlain) start = position
      // A small value behind it would keep all of a large one in memory.
      if (chunk.length > chunkBytes) beginChunk(chunkBytes)
      reset()
      return bytes
    },
    reset
  }
}
