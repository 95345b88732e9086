/**
 * Takes the bytes of a value out of the memory that a reader returns. Only the first `length` bytes of that memory belong
 * to the value, and the next read overwrites them.
 */
import { Buffer } from "node:buffer"
import { type ByteString, fromBytes } from "../Key.ts"

/** The value of a record that is read without its value, or that has none. */
export const noBytes = new Uint8Array(0)

/** The bytes of the value, which are valid until the next read. */
export const ownBytes = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length)

/** Copies the bytes of the value. */
export const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(ownBytes(bytes))

/** Copies the bytes of the value as a key. */
export const keyOf = (bytes: Uint8Array): ByteString => fromBytes(ownBytes(bytes))

/** Whether two values have the same bytes; `undefined` stands for a missing value. */
export const isSameValue = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(ownBytes(a), ownBytes(b)) === 0
