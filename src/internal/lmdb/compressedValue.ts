/**
 * Decompresses values that the library has compressed, for a store that is open without
 * `compression`.
 *
 * With `compression`, the library compresses and decompresses values itself. Without it, the
 * library returns the compressed bytes of a value that was written earlier or by another
 * process. This module decompresses them. The library's own function is not used, because for
 * damaged bytes it returns the value that was read before, and prints to the console.
 *
 * A compressed value is a header of 4 or 8 bytes with the length of the value, and an LZ4 block
 * whose matches may refer to a dictionary. The first byte of a header is 254 or 255. No format of
 * values begins with such a byte.
 */
import { Buffer } from "node:buffer"

/** The first byte of a header of 4 bytes, whose other 3 bytes are the length. */
const shortHeader = 254

/** The first byte of a header of 8 bytes, whose last 4 bytes are the length. */
const longHeader = 255

/** The most bytes into which one byte of an LZ4 block decompresses. */
const mostBytesOfByte = 255

/** The length of the shortest match of LZ4, in bytes. */
const shortestMatch = 4

/** A length in a token that continues in the bytes after the token. */
const continuedLength = 15

/** An LZ4 block that is being read. */
interface Block {
  readonly bytes: Uint8Array
  /** The index of the next byte. */
  at: number
  readonly end: number
}

/** Reads the continuation of a length: bytes of 255, and one other byte. Returns `NaN` if the block ends before it. */
const restOfLength = (block: Block): number => {
  let length = 0
  while (block.at < block.end) {
    const byte = block.bytes[block.at++] ?? 0
    length += byte
    if (byte !== 255) return length
  }
  return Number.NaN
}

const lengthOf = (block: Block, inToken: number): number =>
  inToken === continuedLength ? inToken + restOfLength(block) : inToken

/**
 * Copies `length` bytes that are `offset` bytes before `to`. The ranges may overlap. Bytes before the beginning of
 * the target come from the end of the dictionary.
 */
const copyMatch = (target: Uint8Array, to: number, offset: number, length: number, dictionary: Uint8Array): void => {
  const from = to - offset
  if (from >= 0 && offset >= length) {
    target.copyWithin(to, from, from + length)
    return
  }
  for (let index = 0; index < length; index++) {
    const source = from + index
    target[to + index] = (source < 0 ? dictionary[dictionary.length + source] : target[source]) ?? 0
  }
}

/** Decompresses a block into `target`; returns `false` if the result would not fill it exactly. */
const decompress = (block: Block, target: Uint8Array, dictionary: Uint8Array): boolean => {
  const { bytes, end } = block
  let to = 0
  while (block.at < end) {
    const token = bytes[block.at++] ?? 0
    const literals = lengthOf(block, token >> 4)
    // The negated condition also rejects a length that is `NaN`.
    if (!(block.at + literals <= end && to + literals <= target.length)) return false
    target.set(bytes.subarray(block.at, block.at + literals), to)
    block.at += literals
    to += literals
    // The last sequence has no match.
    if (block.at === end) return to === target.length
    if (block.at + 2 > end) return false
    const offset = (bytes[block.at] ?? 0) + 256 * (bytes[block.at + 1] ?? 0)
    block.at += 2
    const length = shortestMatch + lengthOf(block, token & continuedLength)
    if (offset === 0 || offset > to + dictionary.length || !(to + length <= target.length)) return false
    copyMatch(target, to, offset, length, dictionary)
    to += length
  }
  return false
}

const expandCompressed = (value: Uint8Array, dictionary: Uint8Array): Uint8Array => {
  const headerBytes = value[0] === longHeader ? 8 : 4
  if (value.length <= headerBytes) return value
  const view = new DataView(value.buffer, value.byteOffset)
  const length = headerBytes === 8 ? view.getUint32(4) : view.getUint32(0) & 0xff_ffff
  // Damaged bytes must not make this allocate more memory than a block can fill.
  if (length > mostBytesOfByte * value.length) return value
  const target = Buffer.allocUnsafe(length)
  const block = { bytes: value, at: headerBytes, end: value.length }
  return decompress(block, target, dictionary) ? target : value
}

/**
 * Returns the bytes of a value, decompressed if they are compressed. Bytes that have a header of a
 * compressed value but are damaged are returned unchanged; the codec will refuse them.
 */
export const expand = (value: Uint8Array, dictionary: Uint8Array): Uint8Array =>
  (value[0] ?? 0) < shortHeader ? value : expandCompressed(value, dictionary)
