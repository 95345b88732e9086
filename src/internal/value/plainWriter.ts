/**
 * Writes plain values as MessagePack. Nearly every value is plain: a tree of JSON values,
 * dates, and whole numbers of 64 bits.
 *
 * The writer checks and writes a value in one pass. A pass that only checks, before
 * msgpackr writes, takes half as long again, and encoding is the larger part of a `put`.
 * If a value is not plain, `write` returns `undefined`, and the codec writes the value in
 * its graph format.
 *
 * Getters of the value run while it is written. A getter may throw, change the value, or
 * have another value encoded, which then takes another writer.
 *
 * A writer is a record, and the functions of this module take it as their first argument.
 * As one closure per store, the same code started uncompiled in each new store: the first
 * 30,000 small records of a second store took 1.3 times the processor time, later ones 1.2
 * times (medians of seven processes each).
 */
import { Buffer } from "node:buffer"
import { types } from "node:util"
import { maximumDepth } from "./messagePack.ts"
import * as RecordStructures from "./recordStructures.ts"
import { firstStructureByte, shortNumbers } from "./recordStructures.ts"
import { isDense, isPlainText, isRecord } from "./valueGraph.ts"

/** The first bytes of the formats. */
interface FirstBytes {
  readonly plain: number
  /** Of values with records of known structures. */
  readonly structured: number
}

/** Writes plain values. */
export interface PlainWriter {
  readonly firstBytes: FirstBytes
  readonly structures: RecordStructures.RecordStructures
  /** The memory into which values are written, one after the other. */
  chunk: Buffer
  /** The same memory, for numbers of several bytes. */
  numbers: DataView
  /** Where the current value begins in the chunk, and where its next byte goes. */
  start: number
  position: number
  /** Whether known structures are used. Decided before the value, because it changes how numbers are written. */
  usesStructures: boolean
  /** Whether a record of the current value was written by its structure. */
  hasStructure: boolean
  /**
   * The objects of the current value. If an object occurs twice, the value is not plain: the reader would make two
   * objects. The first 32 are in a list, because searching a short list is faster than making a set.
   */
  readonly firstObjects: Array<object | undefined>
  objectCount: number
  allObjects: Set<object> | undefined
  /** The number of the structure of the last record, for each depth. Most records have the structure of the last one. */
  readonly lastNumbers: Array<number>
}

/** The size of a chunk, in bytes. It has room for many small values; a larger value gets its own chunk. */
const chunkBytes = 16_384

/** Text of up to 31 characters is written character by character, which is faster than `Buffer.write`. */
const shortText = 31

/** The most bytes of UTF-8 for one code unit of UTF-16. */
const mostBytesOfUnit = 3

/** The length of a text of up to 4,096 characters fits into two bytes, whatever the characters are. */
const middleText = 4096

/** The most bytes of an item without its content: a float, or the head of a long text, array or map. */
const headBytes = 9

/** The length of the list of objects. */
const fewObjects = 32

const makeChunk = (bytes: number) => {
  const chunk = Buffer.allocUnsafeSlow(bytes)
  return { chunk, numbers: new DataView(chunk.buffer) }
}

/** Makes a writer. */
export const make = (firstBytes: FirstBytes, structures: PlainWriter["structures"]): PlainWriter => ({
  firstBytes,
  structures,
  ...makeChunk(chunkBytes),
  start: 0,
  position: 0,
  usesStructures: false,
  hasStructure: false,
  firstObjects: Array.from({ length: fewObjects }, () => undefined),
  objectCount: 0,
  allObjects: undefined,
  lastNumbers: Array.from({ length: maximumDepth + 1 }, () => -1)
})

/** Whether a program has given all objects an enumerable property. Every record would seem to have it. */
const isPolluted = (): boolean => {
  for (const _ in {}) return true
  return false
}

/** Whether the current value has the object twice. */
const isRepeated = (self: PlainWriter, value: object): boolean => {
  const { allObjects, firstObjects, objectCount } = self
  if (allObjects !== undefined) {
    const { size } = allObjects
    return allObjects.add(value).size === size
  }
  for (let index = 0; index < objectCount; index++) {
    if (firstObjects[index] === value) return true
  }
  if (objectCount === fewObjects) {
    self.allObjects = new Set([...firstObjects, value].filter((object) => object !== undefined))
  } else {
    firstObjects[objectCount] = value
    self.objectCount = objectCount + 1
  }
  return false
}

const beginChunk = (self: PlainWriter, bytes: number): void => {
  const { chunk, numbers } = makeChunk(bytes)
  self.chunk = chunk
  self.numbers = numbers
  self.start = 0
}

/** Copies the current value to a new chunk with room for `bytes` more. */
const grow = (self: PlainWriter, bytes: number): void => {
  const written = self.chunk.subarray(self.start, self.position)
  // Twice the written bytes, so that a long value is not copied for each of its parts.
  beginChunk(self, Math.max(chunkBytes, 2 * written.length + bytes))
  self.chunk.set(written)
  self.position = written.length
}

/** Makes sure that the chunk has room for `bytes` more. */
const reserve = (self: PlainWriter, bytes: number): void => {
  if (self.position + bytes > self.chunk.length) grow(self, bytes)
}

/** Writes the first byte of an item and a count: in two bytes, or in four bytes after the next higher first byte. */
const writeCount = (self: PlainWriter, first: number, count: number): void => {
  const { chunk } = self
  let at = self.position
  if (count < 0x1_0000) {
    chunk[at++] = first
  } else {
    chunk[at++] = first + 1
    chunk[at++] = count >>> 24
    chunk[at++] = (count >>> 16) & 0xff
  }
  chunk[at++] = (count >>> 8) & 0xff
  chunk[at++] = count & 0xff
  self.position = at
}

/** Writes the text and afterwards its length in front of it: counting the bytes first would take longer than writing. */
const writeMiddleText = (self: PlainWriter, text: string): boolean => {
  const mostBytes = mostBytesOfUnit * text.length
  const isRoom = self.position + headBytes + mostBytes <= self.chunk.length
  // Near the end of a chunk the bytes are counted, so that the chunk is filled: pending values keep theirs in memory.
  reserve(self, headBytes + (isRoom ? mostBytes : Buffer.byteLength(text, "utf8")))
  const { chunk, position } = self
  if (mostBytes < 0x100) {
    const bytes = chunk.write(text, position + 2, "utf8")
    chunk[position] = 0xd9
    chunk[position + 1] = bytes
    self.position = position + 2 + bytes
  } else {
    const bytes = chunk.write(text, position + 3, "utf8")
    writeCount(self, 0xda, bytes)
    self.position += bytes
  }
  return true
}

const writeLongText = (self: PlainWriter, text: string): boolean => {
  if (!isPlainText(text)) return false
  if (text.length <= middleText) return writeMiddleText(self, text)
  const bytes = Buffer.byteLength(text, "utf8")
  reserve(self, headBytes + bytes)
  writeCount(self, 0xda, bytes)
  self.position += self.chunk.write(text, self.position, "utf8")
  return true
}

const writeText = (self: PlainWriter, text: string): boolean => {
  const { length } = text
  if (length > shortText) return writeLongText(self, text)
  reserve(self, headBytes + length)
  const { chunk, position } = self
  let at = position + 1
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index)
    if (code > 0x7f) return writeLongText(self, text)
    chunk[at++] = code
  }
  chunk[position] = 0xa0 | length
  self.position = at
  return true
}

/** Writes a number that does not fit into the first byte of its item. */
const writeLongNumber = (self: PlainWriter, value: number): boolean => {
  const { chunk, numbers, position } = self
  if (value >>> 0 !== value && value >> 0 !== value) {
    chunk[position] = 0xcb
    numbers.setFloat64(position + 1, value)
    self.position = position + 9
  } else if (value < 0) {
    chunk[position] = 0xd2
    numbers.setInt32(position + 1, value)
    self.position = position + 5
  } else if (value < 0x100) {
    chunk[position] = 0xcc
    chunk[position + 1] = value
    self.position = position + 2
  } else {
    writeCount(self, 0xcd, value)
  }
  return true
}

const writeNumber = (self: PlainWriter, value: number): boolean => {
  reserve(self, headBytes)
  if (value >> 0 !== value || value < -0x20 || value >= (self.usesStructures ? firstStructureByte : 0x80)) {
    return writeLongNumber(self, value)
  }
  // MessagePack has no negative zero.
  if (Object.is(value, -0)) return false
  self.chunk[self.position++] = value
  return true
}

const writeBigInt = (self: PlainWriter, value: bigint): boolean => {
  if (BigInt.asIntN(64, value) !== value) return false
  reserve(self, headBytes)
  self.chunk[self.position] = 0xd3
  self.numbers.setBigInt64(self.position + 1, value)
  self.position += 9
  return true
}

type Fields = Record<string, unknown>

const writeArray = (self: PlainWriter, array: ReadonlyArray<unknown>, depth: number): boolean => {
  if (Object.getPrototypeOf(array) !== Array.prototype || !isDense(array)) return false
  reserve(self, headBytes)
  const { length } = array
  if (length < 16) self.chunk[self.position++] = 0x90 | length
  else writeCount(self, 0xdc, length)
  for (let index = 0; index < length; index++) {
    if (!writeItem(self, array[index], depth)) return false
  }
  // A getter may have changed the length.
  return array.length === length
}

/** Writes a record of a known structure. */
const writeStructure = (self: PlainWriter, record: Fields, number: number, depth: number): boolean => {
  const names = self.structures.known[number] ?? []
  reserve(self, headBytes)
  self.hasStructure = true
  if (number < shortNumbers) {
    self.chunk[self.position++] = firstStructureByte + number
  } else {
    self.chunk[self.position++] = firstStructureByte + shortNumbers + (number & 0x1f)
    self.chunk[self.position++] = (number - shortNumbers) >> 5
  }
  let written = 0
  for (const key in record) {
    // A getter may have changed the fields.
    if (key !== names[written++] || !writeItem(self, record[key], depth)) return false
  }
  return written === names.length
}

const hasFields = (record: Fields, names: RecordStructures.Structure | undefined): boolean => {
  if (names === undefined) return false
  let index = 0
  for (const key in record) {
    if (key !== names[index++]) return false
  }
  return index === names.length
}

const writeRecord = (self: PlainWriter, record: Fields, depth: number): boolean => {
  const { lastNumbers, structures, usesStructures } = self
  const likely = lastNumbers[depth] ?? -1
  if (usesStructures && hasFields(record, structures.known[likely])) return writeStructure(self, record, likely, depth)
  let fields = 0
  let node: RecordStructures.FieldTrie | undefined = usesStructures ? structures.root : undefined
  for (const key in record) {
    // When the reader assigned a property of this name, it would set the prototype of the record.
    if (key === "__proto__") return false
    node = node?.next.get(key)
    fields++
  }
  if (node?.number !== undefined) {
    lastNumbers[depth] = node.number
    return writeStructure(self, record, node.number, depth)
  }
  RecordStructures.observe(structures, record)
  reserve(self, headBytes)
  if (fields < 16) self.chunk[self.position++] = 0x80 | fields
  else writeCount(self, 0xde, fields)
  for (const key in record) {
    if (!writeText(self, key) || !writeItem(self, record[key], depth)) return false
    fields--
  }
  // A getter may have changed the fields.
  return fields === 0
}

/** Writes a date as a MessagePack timestamp of 64 bits: 30 for nanoseconds, and 34 for seconds, of which 32 are used. */
const writeDate = (self: PlainWriter, date: Date): boolean => {
  const time = Date.prototype.getTime.call(date)
  const seconds = Math.floor(time / 1000)
  // The time of an invalid date is NaN, for which both comparisons are false.
  if (!(seconds >= 0 && seconds < 0x1_0000_0000) || Object.getPrototypeOf(date) !== Date.prototype) return false
  reserve(self, headBytes + 1)
  const { chunk, numbers, position } = self
  chunk[position] = 0xd7
  chunk[position + 1] = 0xff
  numbers.setUint32(position + 2, (time - seconds * 1000) * 4_000_000)
  numbers.setUint32(position + 6, seconds)
  self.position = position + 10
  return true
}

const writeObject = (self: PlainWriter, value: object, depth: number): boolean => {
  if (depth === maximumDepth || types.isProxy(value) || isRepeated(self, value)) return false
  if (Array.isArray(value)) return writeArray(self, value, depth + 1)
  return isRecord(value) ? writeRecord(self, value, depth + 1) : types.isDate(value) && writeDate(self, value)
}

const writeByte = (self: PlainWriter, byte: number): boolean => {
  reserve(self, headBytes)
  self.chunk[self.position++] = byte
  return true
}

/** Writes `undefined` as msgpackr's extension for it. */
const writeUndefined = (self: PlainWriter): boolean => {
  reserve(self, headBytes)
  self.chunk[self.position++] = 0xd4
  self.chunk[self.position++] = 0
  self.chunk[self.position++] = 0
  return true
}

/** Writes an item that is inside `depth` other items. Returns `false` if the value is not plain; the caller then stops. */
const writeItem = (self: PlainWriter, value: unknown, depth: number): boolean => {
  switch (typeof value) {
    case "string":
      return writeText(self, value)
    case "number":
      return writeNumber(self, value)
    case "boolean":
      return writeByte(self, value ? 0xc3 : 0xc2)
    case "undefined":
      return writeUndefined(self)
    case "bigint":
      return writeBigInt(self, value)
    case "object":
      return value === null ? writeByte(self, 0xc0) : writeObject(self, value, depth)
    default:
      return false
  }
}

/** Forgets the objects of the current value. Call it after `write` has thrown. */
export const reset = (self: PlainWriter): void => {
  while (self.objectCount > 0) self.firstObjects[--self.objectCount] = undefined
  self.allObjects = undefined
}

/**
 * Writes a value, or returns `undefined` if it is not plain. The bytes are a slice of a larger
 * chunk, and no part of a chunk is written twice. Throws if a getter of the value throws.
 */
export const write = (self: PlainWriter, value: unknown): Uint8Array | undefined => {
  if (isPolluted()) return undefined
  self.usesStructures = self.structures.known.length > 0
  self.hasStructure = false
  self.position = self.start
  reserve(self, headBytes)
  self.position++
  const isPlain = writeItem(self, value, 0)
  const { chunk, firstBytes, position, start } = self
  chunk[start] = self.hasStructure ? firstBytes.structured : firstBytes.plain
  const bytes = isPlain ? chunk.subarray(start, position) : undefined
  if (isPlain) self.start = position
  // A small value in this chunk would keep the bytes of the large one in memory.
  if (chunk.length > chunkBytes) beginChunk(self, chunkBytes)
  reset(self)
  return bytes
}
