/**
 * A key as the user has it, turned into bytes, and back for display.
 *
 * A key is a string or bytes of any kind; the store orders keys by their bytes,
 * compares them and keeps them in maps. So a key is turned at once into a
 * `ByteString`: a JavaScript string with one character from U+0000 to U+00FF for
 * each byte. It is a value: it works as the key of a `Map`, `<` compares it in
 * byte order, and nothing that happens later to the caller's memory changes it.
 *
 * All kinds of keys with the same bytes name the same entry: `"é"` under
 * `"utf8"` is `Uint8Array.of(0xc3, 0xa9)`.
 *
 * **Example** (One entry under two kinds of keys)
 *
 * ```ts
 * import * as Key from "effect-lmdb/Key"
 * import * as Result from "effect/Result"
 *
 * const keys = Key.make()
 * const fromString = Result.getOrThrow(keys.encode("é"))
 * const fromBytes = Result.getOrThrow(keys.encode(Uint8Array.of(0xc3, 0xa9)))
 *
 * console.log(fromString === fromBytes) // => true
 * console.log(keys.show(new Uint8Array([0xff, 0x00]))) // => 0xff00
 * ```
 *
 * @since 0.1.0
 */
import * as Brand from "effect/Brand";
import { identity } from "effect/Function";
import * as Result from "effect/Result";
import { Buffer, isUtf8 } from "node:buffer";
import { types } from "node:util";
import { KeyEncoding } from "./StoreError.ts";
/**
 * Says that a string is a byte string.
 *
 * **Gotchas**
 *
 * It is not checked. Bytes become a byte string by `fromBytes`, keys by
 * `KeyCodec.encode`; this is for strings that are made of byte strings.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ByteString = Brand.nominal();
/**
 * The options that `make` takes for those not given: UTF-8, strict, no
 * normalisation, keys of at most 1978 bytes.
 *
 * @category options
 * @since 0.1.0
 */
export const defaultOptions = {
    encoding: "utf8",
    errors: "strict",
    normalization: undefined,
    format: undefined,
    maxBytes: 1978
};
/**
 * Copies bytes into a byte string.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromBytes = (bytes) => ByteString(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1"));
/**
 * Gives the bytes of a byte string, in memory of their own.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toBytes = (bytes) => {
    const array = new Uint8Array(bytes.length);
    for (let index = 0; index < array.length; index++)
        array[index] = bytes.charCodeAt(index);
    return array;
};
const toBuffer = (bytes) => Buffer.from(bytes, "latin1");
const isAscii = (text) => !/[\u0080-\uffff]/.test(text);
const replacementCharacter = "\ufffd";
const loneSurrogate = /\p{Surrogate}/gu;
const notLatin1 = /[\u0100-\u{10ffff}]/gu;
const notAscii = /[\u0080-\u{10ffff}]/gu;
const utf8 = new TextEncoder();
const decodeUtf16 = (bytes) => toBuffer(bytes).toString("utf16le");
const encodings = {
    utf8: {
        inexpressible: loneSurrogate,
        expresses: (text) => text.isWellFormed(),
        replacement: replacementCharacter,
        extendsAscii: true,
        encode: (text, memory) => memory.toString("latin1", 0, utf8.encodeInto(text, memory).written),
        decode: (bytes) => {
            if (isAscii(bytes))
                return bytes;
            const buffer = toBuffer(bytes);
            return isUtf8(buffer) ? buffer.toString("utf8") : undefined;
        },
        // U+FFFD that was stored as such is text: only what stands between may hold replacements.
        decodeLossy: (bytes, replacement) => bytes.split("\xef\xbf\xbd")
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
            const text = decodeUtf16(bytes);
            return bytes.length % 2 === 0 && text.isWellFormed() ? text : undefined;
        },
        decodeLossy: (bytes, replacement) => decodeUtf16(bytes).replace(loneSurrogate, replacement) + (bytes.length % 2 === 0 ? "" : replacement)
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
};
const isBytes = (input) => ArrayBuffer.isView(input) || types.isAnyArrayBuffer(input);
const isKey = (input) => typeof input === "string" || isBytes(input);
const viewOf = (bytes) => {
    if (bytes instanceof Uint8Array)
        return bytes;
    return ArrayBuffer.isView(bytes)
        ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : new Uint8Array(bytes);
};
// The joiners U+200C and U+200D are part of emoji and of Indic and Persian words.
const unprintable = /[^\P{C}\u200c\u200d]|[\p{Zl}\p{Zp}]/gu;
const longestShownText = 50;
const longestShownBytes = 16;
// No engine has longer keys: what is longer need not be searched for text.
const longestDecodedBytes = 4096;
const count = (n, noun) => `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;
const hexadecimal = (character) => (character.codePointAt(0) ?? 0).toString(16);
const cut = (text) => {
    const characters = Array.from(text.slice(0, 2 * longestShownText + 2));
    return characters.length > longestShownText ? `${characters.slice(0, longestShownText - 3).join("")}...` : text;
};
const showText = (text) => JSON.stringify(cut(text)).replace(unprintable, (character) => `\\u{${hexadecimal(character)}}`);
const showBytes = (bytes, encoding) => {
    if (bytes.length <= longestDecodedBytes) {
        const text = encoding.decode(fromBytes(bytes));
        if (text !== undefined && text.search(unprintable) < 0)
            return showText(text);
    }
    const first = (length) => `0x${toBuffer(fromBytes(bytes.subarray(0, length))).toString("hex")}`;
    return bytes.length > longestShownBytes
        ? `${first(longestShownBytes / 2)}...(${count(bytes.length, "byte")})`
        : first(longestShownBytes);
};
const showOther = (input) => {
    if (typeof input === "object" || typeof input === "function")
        return Object.prototype.toString.call(input);
    return cut(typeof input === "bigint" ? `${input}n` : String(input));
};
const makeShow = ({ format }, encoding) => {
    const showByRule = (key) => {
        if (typeof key === "string")
            return showText(key);
        return isBytes(key) ? showBytes(viewOf(key), encoding) : showOther(key);
    };
    // Code of the caller runs in here (`format`, getters, proxies) and may throw.
    const attempt = (show) => Result.getOrUndefined(Result.try(show));
    return (key) => {
        const formatted = format !== undefined && isKey(key) ? attempt(() => format(key)) : undefined;
        const shown = typeof formatted === "string" ? formatted : attempt(() => showByRule(key));
        return typeof shown === "string" ? shown : `[${typeof key}]`;
    };
};
const refuseTooLong = (refuse, options, key, length) => refuse("TooLong", key, `it has ${length}, the longest key has ${count(options.maxBytes, "byte")}; ` +
    "shorten it, or use a hash of it as the key.");
const makeEncodeString = (options, encoding, refuse) => {
    const { encoding: name, errors, maxBytes, normalization } = options;
    // Four bytes more than the longest key: what does not fit is seen to be too long.
    const memory = Buffer.allocUnsafeSlow(maxBytes + 4);
    const refuseCharacter = (key, text, index) => {
        const character = `U+${hexadecimal(text.slice(index)).toUpperCase().padStart(4, "0")}`;
        const remedy = `or set keyErrors to "replace" or "ignore".`;
        return encoding.inexpressible === loneSurrogate
            ? refuse("LoneSurrogate", key, `it has a lone surrogate (${character}) at index ${index}, which is no text; repair it (toWellFormed), ${remedy}`)
            : refuse("NotInEncoding", key, `it has ${character} at index ${index}, which ${name} lacks; set keyEncoding to "utf8", ${remedy}`);
    };
    const refuseEmpty = (key) => refuse("Empty", key, key === ""
        ? "it is empty; give at least one character."
        : `nothing of it is left in ${name}; set keyEncoding to "utf8", or keyErrors to "replace".`);
    const check = (key, text, bytes) => {
        if (bytes.length === 0)
            return refuseEmpty(key);
        return bytes.length <= maxBytes
            ? Result.succeed(ByteString(bytes))
            : refuseTooLong(refuse, options, key, `${count(Buffer.byteLength(text, name), "byte")} in ${name}`);
    };
    const checkText = (key, text) => {
        if (encoding.expresses(text))
            return check(key, text, encoding.encode(text, memory));
        if (errors === "strict")
            return refuseCharacter(key, text, text.search(encoding.inexpressible));
        const rest = text.replace(encoding.inexpressible, errors === "replace" ? encoding.replacement : "");
        return check(key, rest, encoding.encode(rest, memory));
    };
    return (key) => {
        if (encoding.extendsAscii && isAscii(key))
            return check(key, key, key);
        if (normalization === undefined)
            return checkText(key, key);
        // It throws where the result is longer than a string can be.
        const normalized = Result.try(() => key.normalize(normalization));
        return Result.isSuccess(normalized)
            ? checkText(key, normalized.success)
            : refuseTooLong(refuse, options, key, `more characters in ${normalization} than a string can have`);
    };
};
const refuseStrings = (refuse) => (key) => refuse("StringNotAllowed", key, `keyEncoding "binary" allows no strings; give bytes, or set keyEncoding to "utf8".`);
const makeEncodeBytes = (options, refuse) => {
    const refuseEmpty = (key) => refuse("Empty", key, "there are no bytes in it, or no longer (was its buffer transferred or shrunk?); give at least one byte.");
    const copy = (key, view) => {
        if (view.length === 0)
            return refuseEmpty(key);
        return view.length <= options.maxBytes
            ? Result.succeed(fromBytes(view))
            : refuseTooLong(refuse, options, key, count(view.length, "byte"));
    };
    // A buffer that was transferred or shrunk throws.
    return (key) => Result.getOrElse(Result.try(() => copy(key, viewOf(key))), () => refuseEmpty(key));
};
const makeDecode = (options, encoding, refuse) => {
    const { encoding: name, errors } = options;
    const refuseBytes = (bytes, detail) => refuse("NotDecodable", toBytes(bytes), detail);
    return (bytes) => {
        if (name === "binary")
            return refuseBytes(bytes, `keyEncoding "binary" has no text; ask for bytes.`);
        const text = encoding.decode(bytes);
        if (text !== undefined)
            return Result.succeed(text);
        return errors === "strict"
            ? refuseBytes(bytes, `it is no text in ${name}; ask for bytes, or set keyErrors to "replace" or "ignore".`)
            : Result.succeed(encoding.decodeLossy(bytes, errors === "replace" ? replacementCharacter : ""));
    };
};
/**
 * Makes the codec for the keys of a store.
 *
 * **Details**
 *
 * Its errors say what is wrong with a key and what to do. The index of a
 * character in them counts UTF-16 code units of the normalised string.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options = {}) => {
    const all = { ...defaultOptions, ...options };
    const encoding = all.encoding === "binary" ? encodings.utf8 : encodings[all.encoding];
    const show = makeShow(all, encoding);
    const refuse = (reason, key, detail) => Result.fail(new KeyEncoding({ reason, key: show(key), detail }));
    const encodeString = all.encoding === "binary" ? refuseStrings(refuse) : makeEncodeString(all, encoding, refuse);
    const encodeBytes = makeEncodeBytes(all, refuse);
    return {
        encode: (key) => {
            if (typeof key === "string")
                return encodeString(key);
            if (isBytes(key))
                return encodeBytes(key);
            const type = key === null ? "null" : typeof key;
            return refuse("WrongType", key, `${type} is no key; give a string, or bytes (Uint8Array, ArrayBuffer, a view).`);
        },
        decode: makeDecode(all, encoding, refuse),
        show
    };
};
