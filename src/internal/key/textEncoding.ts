/**
 * The encodings of string keys: what each can express, and how text becomes bytes
 * and bytes become text.
 */
import { identity } from "effect/Function"
import { Buffer, isUtf8 } from "node:buffer"

/** The bytes of a byte string. */
export const toBuffer = (bytes: string): Buffer => Buffer.from(bytes, "latin1")

/** Whether text, or a byte string, has nothing beyond ASCII. */
export const isAscii = (text: string): boolean => !/[\u0080-\uffff]/.test(text)

/** An encoding of text. Bytes are byte strings: one character from U+0000 to U+00FF for each. */
export interface TextEncoding {
  /** Finds the characters that the encoding cannot express. */
  readonly inexpressible: RegExp
  /** Says quickly that there is none. */
  readonly expresses: (text: string) => boolean
  /** Stands for such a character under `"replace"`. */
  readonly replacement: string
  /** Whether ASCII text is its own byte string. */
  readonly extendsAscii: boolean
  /** Encodes text, or so much of it as fits into `memory`. */
  readonly encode: (text: string, memory: Buffer) => string
  /** Decodes bytes, `undefined` where they are no text. */
  readonly decode: (bytes: string) => string | undefined
  /** Decodes bytes, with `replacement` for what is no text. */
  readonly decodeLossy: (bytes: string, replacement: string) => string
}

/** What stands for a character that cannot be told. */
export const replacementCharacter = "\ufffd"
/** A half of a character that stands alone. */
export const loneSurrogate = /\p{Surrogate}/gu
const notLatin1 = /[\u0100-\u{10ffff}]/gu
const notAscii = /[\u0080-\u{10ffff}]/gu
const utf8 = new TextEncoder()

const decodeUtf16 = (bytes: string): string => toBuffer(bytes).toString("utf16le")

/** The encodings that a key may have, by name. */
export const encodings: { readonly [Name in "utf8" | "utf16le" | "latin1" | "ascii"]: TextEncoding } = {
  utf8: {
    inexpressible: loneSurrogate,
    expresses: (text) => text.isWellFormed(),
    replacement: replacementCharacter,
    extendsAscii: true,
    encode: (text, memory) => memory.toString("latin1", 0, utf8.encodeInto(text, memory).written),
    decode: (bytes) => {
      if (isAscii(bytes)) return bytes
      const buffer = toBuffer(bytes)
      return isUtf8(buffer) ? buffer.toString("utf8") : undefined
    },
    // U+FFFD that was stored as such is text: only what stands between may hold replacements.
    decodeLossy: (bytes, replacement) =>
      bytes.split("\xef\xbf\xbd")
        .map((part) => toBuffer(part).toString("utf8").replaceAll(replacementCharacter, replacement))
        .join(replacementCharacter)
  },
  utf16le: {
    inexpressible: loneSurrogate,
    expresses: (text) => text.isWellFormed(),
    replacement: replacementCharacter,
    extendsAscii: false,
    encode: (text, memory) => memory.toString("latin1", 0, memory.write(text, "utf16le")),
    decode: (bytes) => {
      const text = decodeUtf16(bytes)
      return bytes.length % 2 === 0 && text.isWellFormed() ? text : undefined
    },
    decodeLossy: (bytes, replacement) =>
      decodeUtf16(bytes).replace(loneSurrogate, replacement) + (bytes.length % 2 === 0 ? "" : replacement)
  },
  latin1: {
    inexpressible: notLatin1,
    expresses: (text) => text.search(notLatin1) < 0,
    replacement: "?",
    extendsAscii: true,
    encode: identity,
    decode: identity,
    decodeLossy: identity
  },
  ascii: {
    inexpressible: notAscii,
    expresses: isAscii,
    replacement: "?",
    extendsAscii: true,
    encode: identity,
    decode: (bytes) => isAscii(bytes) ? bytes : undefined,
    decodeLossy: (bytes, replacement) => bytes.replace(notAscii, replacement)
  }
}
