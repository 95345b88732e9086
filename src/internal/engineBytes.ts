/**
 * The bytes that a reader gives: of its memory, which may be longer, only the first
 * `length` count, and only until more is read.
 */
import { Buffer } from "node:buffer"
import { type ByteString, fromBytes } from "../Key.ts"

/** The bytes that count, as long as nothing else is read. */
export const ownBytes = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length)

/** The bytes that count, for good. */
export const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(ownBytes(bytes))

/** The bytes that count, as a key. */
export const keyOf = (bytes: Uint8Array): ByteString => fromBytes(ownBytes(bytes))

/** Whether two values that were read are the same; `undefined` stands for none. */
export const isSameValue = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(ownBytes(a), ownBytes(b)) === 0
