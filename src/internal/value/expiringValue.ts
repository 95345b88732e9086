/**
 * The bytes of a value that expires: a first byte that marks it, the time, and then the bytes of the value.
 *
 * Values that never expire are stored without these bytes. A version of this package that does not know the first byte
 * fails to decode the value with `ValueDecoding`.
 */
import { Buffer } from "node:buffer"

/** The first byte. `valueCodec.ts` lists the first bytes of the other formats. */
export const expiringFormat = 6

/** One byte for the format and eight bytes for the time. */
export const headBytes = 9

/** Half of the bytes of a time. */
const half = 2 ** 32

/** Writes a time, in milliseconds since 1970, as eight bytes in the order of times. */
export const writeTime = (bytes: Buffer, time: number, at: number): number =>
  bytes.writeUInt32BE(time % half, bytes.writeUInt32BE(Math.floor(time / half), at))

/** Puts the time at which a value expires, in milliseconds since 1970, before its bytes. */
export const join = (time: number, value: Uint8Array): Uint8Array => {
  const bytes = Buffer.allocUnsafe(headBytes + value.length)
  bytes[0] = expiringFormat
  bytes.set(value, writeTime(bytes, time, 1))
  return bytes
}

/** When the value at an offset expires, in milliseconds since 1970; `undefined` if it never expires. */
export const timeAt = (bytes: Uint8Array, offset: number): number | undefined => {
  if (bytes[offset] !== expiringFormat || bytes.length < offset + headBytes) return undefined
  let time = 0
  for (const byte of bytes.subarray(offset + 1, offset + headBytes)) time = time * 256 + byte
  return time
}
