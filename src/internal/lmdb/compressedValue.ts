/**
 * Reads values that the library has compressed, in a store that is open without
 * compression.
 *
 * With `compression` the library compresses and decompresses by itself. Without it, it
 * gives the compressed bytes of a value that was written earlier, or by another process.
 * They are decompressed here and not by the library: for bytes that are not what
 * it expects, it gives those of the value that was read before, and prints what it found.
 *
 * A compressed value is its length in a head of 4 or 8 bytes, and a block of LZ4 whose
 * matches may reach back into a dictionary. No other value that this package writes begins with a byte
 * as high as those of the heads.
 */
import { Buffer } from "node:buffer"

/** The first byte of a head of 4 bytes: the length is in the other 3. */
const shortHead = 254

/** The first byte of a head of 8 bytes: the length is in the last 4. */
const longHead = 255

/** One byte of a block stands for this many bytes at most. */
const mostBytesOfByte = 255

/** The shortest match of LZ4. */
const shortestMatch = 4

/** A length in a token that goes on in the bytes after it. */
const openLength = 15

/** A block that is being read. */
interface Block {
  readonly bytes: Uint8Array
  /** Where the next byte is. */
  at: number
  readonly end: number
}

/** Reads what is left of a length: bytes of 255, and the first that is another. `NaN` where the block ends first. */
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
  inToken === openLength ? inToken + restOfLength(block) : inToken

/** Copies bytes that were written before, which may include those that it writes; before the first come those of the dictionary. */
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

/** Decompresses a block; `false` where it is not one of just as many bytes as there is room for. */
const decompress = (block: Block, target: Uint8Array, dictionary: Uint8Array): boolean => {
  const { bytes, end } = block
  let to = 0
  while (block.at < end) {
    const token = bytes[block.at++] ?? 0
    const literals = lengthOf(block, token >> 4)
    // A length that is not a number is not in range.
    if (!(block.at + literals <= end && to + literals <= target.length)) return false
    target.set(bytes.subarray(block.at, block.at + literals), to)
    block.at += literals
    to += literals
    // The last sequence has no match.
    if (block.at === end) return to === target.length
    if (block.at + 2 > end) return false
    const offset = (bytes[block.at] ?? 0) + 256 * (bytes[block.at + 1] ?? 0)
    block.at += 2
    const length = shortestMatch + lengthOf(block, token & openLength)
    if (offset === 0 || offset > to + dictionary.length || !(to + length <= target.length)) return false
    copyMatch(target, to, offset, length, dictionary)
    to += length
  }
  return false
}

const expandCompressed = (value: Uint8Array, dictionary: Uint8Array): Uint8Array => {
  const headBytes = value[0] === longHead ? 8 : 4
  if (value.length <= headBytes) return value
  const view = new DataView(value.buffer, value.byteOffset)
  const length = headBytes === 8 ? view.getUint32(4) : view.getUint32(0) & 0xff_ffff
  // Damaged bytes are not to take memory.
  if (length > mostBytesOfByte * value.length) return value
  const target = Buffer.allocUnsafe(length)
  const block = { bytes: value, at: headBytes, end: value.length }
  return decompress(block, target, dictionary) ? target : value
}

/**
 * Gives the bytes of a value as they were before they were compressed, if they were.
 * Bytes that only look compressed are given as they are: they do not decode.
 */
export const expand = (value: Uint8Array, dictionary: Uint8Array): Uint8Array =>
  (value[0] ?? 0) < shortHead ? value : expandCompressed(value, dictionary)
