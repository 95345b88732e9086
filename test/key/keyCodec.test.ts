import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as KeyCodec from "../../src/internal/key/keyCodec.ts"
import * as Key from "../../src/Key.ts"
import type { KeyEncoding, KeyEncodingReason } from "../../src/StoreError.ts"

type Encoding = "utf8" | "utf16le" | "latin1" | "ascii"

const encodings: ReadonlyArray<Encoding> = ["utf8", "utf16le", "latin1", "ascii"]
const highest: Record<Encoding, number> = { utf8: 0x10ffff, utf16le: 0x10ffff, latin1: 0xff, ascii: 0x7f }

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Text of any script, with astral characters, lone surrogates, controls and U+FFFD, as its code points. */
const CodePoints = Schema.Array(
  Schema.Union([
    between(0x00, 0x7f),
    between(0x80, 0xff),
    between(0x100, 0xffff),
    between(0xd800, 0xdfff),
    between(0xe000, 0xffff),
    between(0x10000, 0x10ffff)
  ])
)
const AnyText = Arbitrary.schema(CodePoints).pipe(
  Arbitrary.map((codePoints) => codePoints.map((codePoint) => String.fromCodePoint(codePoint)).join(""))
)
const AnyBytes = Arbitrary.schema(Schema.Array(between(0, 255))).pipe(
  Arbitrary.map((bytes) => Uint8Array.from(bytes))
)

const utf8 = (text: string) => new TextEncoder().encode(text)

const counting = (length: number) => Uint8Array.from({ length }, (_, index) => index)

/** Orders text as its code points do. */
const codePoints = (text: string): string =>
  Array.from(text, (character) => (character.codePointAt(0) ?? 0).toString(16).padStart(6, "0")).join("")

const transferred = () => {
  const buffer = new ArrayBuffer(8)
  const views = [buffer, new Uint8Array(buffer), new DataView(buffer), new Float64Array(buffer)]
  structuredClone(buffer, { transfer: [buffer] })
  return views
}

const shrunk = () => {
  const buffer = new ArrayBuffer(16, { maxByteLength: 16 })
  const views = [new Uint8Array(buffer, 8, 8), new DataView(buffer, 8, 8), new Float64Array(buffer, 8, 1)]
  buffer.resize(4)
  return views
}

const thrower = () => {
  throw new Error("from the caller")
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1")

const encode = (key: unknown, options?: Partial<KeyCodec.KeyOptions>): Result.Result<Key.ByteString, KeyEncoding> =>
  // @ts-expect-error a program without types passes anything
  KeyCodec.make(options).encode(key)

const decode = (bytes: ReadonlyArray<number>, options: Partial<KeyCodec.KeyOptions>) =>
  KeyCodec.make(options).decode(Key.fromBytes(Uint8Array.from(bytes)))

const bytesOf = (key: unknown, options?: Partial<KeyCodec.KeyOptions>): Array<number> =>
  Array.from(Key.toBytes(Result.getOrThrow(encode(key, options))))

const errorOf = <A>(result: Result.Result<A, KeyEncoding>): KeyEncoding => {
  assert(Result.isFailure(result), "it was accepted")
  return result.failure
}

const refusal = <A>(result: Result.Result<A, KeyEncoding>): [KeyEncodingReason["_tag"], string] => {
  const { message, reason } = errorOf(result)
  return [reason._tag, message]
}

describe("Key", () => {
  describe("text", () => {
    it.prop("is encoded to bytes, or refused", { text: AnyText }, ({ text }) => {
      for (const encoding of encodings) {
        const isText = Array.from(text).every((character) => {
          const codePoint = character.codePointAt(0) ?? 0
          return codePoint <= highest[encoding] && (codePoint < 0xd800 || codePoint > 0xdfff)
        })
        const result = encode(text, { encoding })
        assert.strictEqual(Result.isSuccess(result), isText && text !== "")
        if (Result.isSuccess(result)) assert.strictEqual(result.success, Buffer.from(text, encoding).toString("latin1"))
      }
    })

    it.prop("is decoded from its bytes", { text: AnyText }, ({ text }) => {
      for (const encoding of encodings) {
        const keys = KeyCodec.make({ encoding })
        const bytes = keys.encode(text)
        if (Result.isSuccess(bytes)) assert.strictEqual(Result.getOrThrow(keys.decode(bytes.success)), text)
      }
    })

    it("keeps a byte order mark and U+FFFD", () => {
      for (const encoding of ["utf8", "utf16le"] as const) {
        for (const errors of ["strict", "replace", "ignore"] as const) {
          const keys = KeyCodec.make({ encoding, errors })
          for (const text of ["\ufeffkey", "\ufffd", "a\ufffdé"]) {
            assert.strictEqual(Result.getOrThrow(keys.decode(Result.getOrThrow(keys.encode(text)))), text)
          }
        }
      }
    })

    it("is encoded the same if it was sliced or concatenated from other strings", () => {
      const long = "prefix:".repeat(20)
      assert.strictEqual(latin1(Uint8Array.from(bytesOf(long.slice(7, 60)))), long.slice(7, 60))
      assert.deepStrictEqual(bytesOf(["a", "é"].join("") + "b"), [0x61, 0xc3, 0xa9, 0x62])
    })

    it.prop("is sorted by code points under utf8", { left: AnyText, right: AnyText }, ({ left, right }) => {
      const keys = [encode(left), encode(right)].filter(Result.isSuccess).map(({ success }) => success)
      const [first, second] = keys
      if (first === undefined || second === undefined) return
      assert.strictEqual(first < second, codePoints(left) < codePoints(right))
    })

    it("is sorted by the low byte first under utf16le", () => {
      const keys = KeyCodec.make({ encoding: "utf16le" })
      assert.isTrue(Result.getOrThrow(keys.encode("\u0100")) < Result.getOrThrow(keys.encode("a")))
    })
  })

  describe("normal forms", () => {
    const composed = "\u00e9"
    const decomposed = "e\u0301"
    const ligature = "\ufb01"

    it("are applied only if they are configured", () => {
      assert.notDeepEqual(bytesOf(composed), bytesOf(decomposed))
    })

    it.each(
      [
        ["NFC", decomposed, composed],
        ["NFD", composed, decomposed],
        ["NFKC", ligature + decomposed, "fi" + composed],
        ["NFKD", ligature + composed, "fi" + decomposed]
      ] as const
    )("%s", (normalization, text, normal) => {
      for (const encoding of ["utf8", "utf16le"] as const) {
        assert.deepStrictEqual(bytesOf(text, { encoding, normalization }), bytesOf(normal, { encoding }))
      }
    })

    it("are applied before the encoding and the check of the length", () => {
      assert.deepStrictEqual(bytesOf(decomposed, { encoding: "latin1", normalization: "NFC" }), [0xe9])
      assert.deepStrictEqual(bytesOf(decomposed, { normalization: "NFC", maxBytes: 2 }), [0xc3, 0xa9])
      assert.strictEqual(errorOf(encode(ligature, { normalization: "NFKC", maxBytes: 1 })).reason._tag, "TooLong")
    })

    it("do not change bytes", () => {
      const bytes = Buffer.from(decomposed)
      assert.deepStrictEqual(bytesOf(bytes, { normalization: "NFC" }), Array.from(bytes))
    })

    it("of a huge string are not computed", () => {
      const error = errorOf(encode("\ufdfa".repeat(2 ** 20), { normalization: "NFKC" }))
      assert.strictEqual(error.reason._tag, "TooLong")
      assert.include(error.detail, "it has 1,048,576 characters, the longest key has 1,978 bytes")
    })

    it("of a string with more than eight characters for each byte are not computed either", () => {
      const options = { encoding: "latin1", errors: "ignore", normalization: "NFC", maxBytes: 1 } as const
      assert.deepStrictEqual(bytesOf(`é${"€".repeat(7)}`, options), [0xe9])
      assert.strictEqual(errorOf(encode(`é${"€".repeat(8)}`, options)).reason._tag, "TooLong")
    })

    it("that are much shorter than the string are accepted", () => {
      const text = "\u03b1\u0313\u0300\u0345".repeat(659)
      assert.strictEqual(bytesOf(text, { normalization: "NFC" }).length, 3 * 659)
    })
  })

  describe("bytes", () => {
    it.prop("are the same key in every container", { bytes: AnyBytes, offset: between(0, 9) }, ({ bytes, offset }) => {
      if (bytes.length === 0) return
      const memory = new ArrayBuffer(offset + bytes.length + 5)
      new Uint8Array(memory).fill(0xaa).set(bytes, offset)
      const shared = new SharedArrayBuffer(bytes.length)
      new Uint8Array(shared).set(bytes)
      const resizable = new ArrayBuffer(bytes.length, { maxByteLength: bytes.length * 2 })
      new Uint8Array(resizable).set(bytes)
      const containers = [
        bytes,
        bytes.buffer,
        Buffer.from(bytes),
        Buffer.from(memory, offset, bytes.length),
        new Uint8Array(memory, offset, bytes.length),
        new Uint8ClampedArray(memory, offset, bytes.length),
        new Int8Array(memory, offset, bytes.length),
        new DataView(memory, offset, bytes.length),
        shared,
        new Uint8Array(shared),
        new DataView(shared),
        resizable,
        new Uint8Array(resizable),
        new DataView(resizable)
      ]
      for (const container of containers) assert.strictEqual(Result.getOrThrow(encode(container)), latin1(bytes))
    })

    it.each([
      Int16Array,
      Uint16Array,
      Int32Array,
      Uint32Array,
      Float32Array,
      Float64Array,
      BigInt64Array,
      BigUint64Array
    ])("of a view with larger elements are the bytes between its offset and length: %o", (View) => {
      const memory = Uint8Array.from({ length: 40 }, (_, index) => 200 + index)
      const view = new View(memory.buffer, 8, 2)
      assert.deepStrictEqual(bytesOf(view), Array.from(memory.subarray(8, 8 + 2 * View.BYTES_PER_ELEMENT)))
    })

    it("are the same key as the text that they encode", () => {
      for (const encoding of encodings) {
        const text = encoding === "ascii" ? "cafe" : "café"
        assert.deepStrictEqual(bytesOf(Buffer.from(text, encoding), { encoding }), bytesOf(text, { encoding }))
      }
    })

    it("are copied during the call", () => {
      const key = Uint8Array.of(1, 2, 3)
      const bytes = Result.getOrThrow(encode(key))
      key.fill(9)
      assert.deepStrictEqual(Array.from(Key.toBytes(bytes)), [1, 2, 3])
      Key.toBytes(bytes).fill(9)
      assert.deepStrictEqual(Array.from(Key.toBytes(bytes)), [1, 2, 3])
    })

    it.prop("are sorted like their byte strings", { left: AnyBytes, right: AnyBytes }, ({ left, right }) => {
      const [first, second] = [Key.fromBytes(left), Key.fromBytes(right)]
      const order = Buffer.compare(left, right)
      assert.deepStrictEqual([first < second, first === second], [order < 0, order === 0])
    })

    it.prop("are decoded from a byte string", { bytes: AnyBytes }, ({ bytes }) => {
      assert.deepStrictEqual(Key.toBytes(Key.fromBytes(bytes)), bytes)
    })
  })

  describe("keys that are not valid", () => {
    const lead = "a\ud800b"
    const remedy = `or set keyErrors to "replace" or "ignore".`

    it.each<[string, unknown, Partial<KeyCodec.KeyOptions>, KeyEncodingReason["_tag"], string]>([
      ["the empty string", "", {}, "Empty", `Bad key "": it is empty; give at least one character.`],
      [
        "no bytes",
        new Uint8Array(0),
        {},
        "Empty",
        `Bad key "": it has no bytes (was its buffer transferred or shrunk?); ` +
        "give at least one byte."
      ],
      [
        "a string of which nothing is left",
        "日本",
        { encoding: "latin1", errors: "ignore" },
        "Empty",
        `Bad key "日本": latin1 has none of its characters; set keyEncoding to "utf8", or keyErrors to "replace".`
      ],
      [
        "a long string",
        "k".repeat(5000),
        {},
        "TooLong",
        `Bad key "${"k".repeat(47)}...": it has 5,000 bytes in utf8, the longest key has 1,978 bytes; ` +
        "shorten it, or use a hash of it as the key."
      ],
      [
        "long bytes",
        new Uint8Array(1979).fill(0xff),
        {},
        "TooLong",
        "Bad key 0xffffffffffffffff...(1,979 bytes): it has 1,979 bytes, the longest key has 1,978 bytes; " +
        "shorten it, or use a hash of it as the key."
      ],
      [
        "a lone surrogate",
        lead,
        {},
        "LoneSurrogate",
        `Bad key "a\\ud800b": it has a lone surrogate (U+D800) at index 1, which is not valid text; ` +
        `repair it (toWellFormed), ${remedy}`
      ],
      [
        "a lone surrogate in utf16le",
        "\udfff",
        { encoding: "utf16le" },
        "LoneSurrogate",
        `Bad key "\\udfff": it has a lone surrogate (U+DFFF) at index 0, which is not valid text; ` +
        `repair it (toWellFormed), ${remedy}`
      ],
      [
        "a character that latin1 lacks",
        "5 €",
        { encoding: "latin1" },
        "NotInEncoding",
        `Bad key "5 €": it has U+20AC at index 2, which latin1 lacks; set keyEncoding to "utf8", ${remedy}`
      ],
      [
        "a character that ascii lacks",
        "né😀",
        { encoding: "ascii" },
        "NotInEncoding",
        `Bad key "né😀": it has U+00E9 at index 1, which ascii lacks; set keyEncoding to "utf8", ${remedy}`
      ],
      [
        "a string where only bytes are allowed",
        "key",
        { encoding: "binary" },
        "StringNotAllowed",
        `Bad key "key": keyEncoding "binary" allows no strings; give bytes, or set keyEncoding to "utf8".`
      ]
    ])("%s", (_, key, options, reason, message) => {
      assert.deepStrictEqual(refusal(encode(key, options)), [reason, message])
    })

    it.each<[unknown, string, string]>([
      [null, "null", "null"],
      [undefined, "undefined", "undefined"],
      [42, "42", "number"],
      [NaN, "NaN", "number"],
      [42n, "42n", "bigint"],
      [true, "true", "boolean"],
      [Symbol("s"), "Symbol(s)", "symbol"],
      [() => "key", "[object Function]", "function"],
      [{}, "[object Object]", "object"],
      [["key"], "[object Array]", "object"],
      [new Date(0), "[object Date]", "object"],
      [new String("key"), "[object String]", "object"],
      [Object.create(null), "[object Object]", "object"]
    ])("have a wrong type: %o", (key, shown, type) => {
      for (const encoding of [...encodings, "binary"] as const) {
        assert.deepStrictEqual(refusal(encode(key, { encoding })), [
          "WrongType",
          `Bad key ${shown}: ${type} is not a key; give a string, or bytes (Uint8Array, ArrayBuffer, a view).`
        ])
      }
    })

    it("include keys over the limit, in encoded bytes", () => {
      for (const [encoding, text, bytes] of [["utf8", "é", 2], ["utf8", "😀", 4], ["utf16le", "a", 2]] as const) {
        const fitting = text.repeat(Math.floor(1978 / bytes))
        assert.strictEqual(bytesOf(fitting, { encoding }).length, fitting.length / text.length * bytes)
        assert.include(errorOf(encode(fitting + text, { encoding })).detail, `1,980 bytes in ${encoding}`)
      }
      for (const encoding of encodings) {
        const fitting = "k".repeat(encoding === "utf16le" ? 989 : 1978)
        assert.strictEqual(bytesOf(fitting, { encoding }).length, 1978)
        assert.strictEqual(errorOf(encode(`${fitting}k`, { encoding })).reason._tag, "TooLong")
      }
      for (const last of ["é", "€", "😀"]) {
        const fitting = `${"é".repeat(987)}abcd`
        assert.strictEqual(bytesOf(fitting).length, 1978)
        assert.strictEqual(errorOf(encode(fitting + last)).reason._tag, "TooLong")
      }
      assert.strictEqual(bytesOf(new Uint8Array(1978)).length, 1978)
      assert.strictEqual(bytesOf("k".repeat(4026), { maxBytes: 4026 }).length, 4026)
    })

    it("include bytes whose buffer was transferred or shrunk", () => {
      for (const key of [...transferred(), ...shrunk()]) {
        const error = errorOf(encode(key))
        assert.strictEqual(error.reason._tag, "Empty")
        assert.include(error.detail, "was its buffer transferred or shrunk?")
      }
    })

    it("never throw", () => {
      const revoked = Proxy.revocable({}, {})
      revoked.revoke()
      const hostile: Array<unknown> = [
        revoked.proxy,
        new Proxy(new Uint8Array(3), {}),
        { toString: thrower, valueOf: thrower, [Symbol.toPrimitive]: thrower },
        Object.defineProperty({}, Symbol.toStringTag, { get: thrower }),
        Object.defineProperty(new Uint8Array(3), "length", { get: thrower }),
        Object.defineProperty(new Uint8Array(3), "buffer", { get: thrower }),
        Object.defineProperty(new DataView(new ArrayBuffer(3)), "byteLength", { get: thrower }),
        new Uint8Array(2 ** 24),
        "k".repeat(2 ** 24),
        `é${"k".repeat(2 ** 24)}`
      ]
      for (const encoding of [...encodings, "binary"] as const) {
        for (const format of [undefined, thrower]) {
          const keys = KeyCodec.make({ encoding, format })
          for (const key of hostile) {
            assert.instanceOf(errorOf(encode(key, { encoding, format })), Error)
            assert.isAtMost(keys.show(key).length, 60)
          }
        }
      }
      assert.strictEqual(KeyCodec.make().show(revoked.proxy), "[object]")
    })
  })

  describe("keyErrors", () => {
    it.each<[Encoding, string, string, string]>([
      ["utf8", "a\ud800b\udc00", "a\ufffdb\ufffd", "ab"],
      ["utf8", "\udc00\ud800😀", "\ufffd\ufffd😀", "😀"],
      ["utf16le", "a\ud800b\udc00", "a\ufffdb\ufffd", "ab"],
      ["latin1", "é€😀\ud800!", "é???!", "é!"],
      ["latin1", "\u00ff\u0100", "\u00ff?", "\u00ff"],
      ["ascii", "né€😀\ud800!", "n????!", "n!"],
      ["ascii", "\u007f\u0080", "\u007f?", "\u007f"]
    ])("in %s: %j", (encoding, text, replaced, ignored) => {
      assert.deepStrictEqual(bytesOf(text, { encoding, errors: "replace" }), bytesOf(replaced, { encoding }))
      assert.deepStrictEqual(bytesOf(text, { encoding, errors: "ignore" }), bytesOf(ignored, { encoding }))
    })

    it.prop(
      "with replace and ignore, all short keys that are not empty are accepted",
      { text: AnyText },
      ({ text }) => {
        for (const encoding of encodings) {
          const replaced = encode(text, { encoding, errors: "replace" })
          assert.strictEqual(Result.isSuccess(replaced), text !== "")
          const ignored = encode(text, { encoding, errors: "ignore" })
          if (Result.isFailure(ignored)) assert.strictEqual(ignored.failure.reason._tag, "Empty")
        }
      }
    )
  })

  describe("decode", () => {
    it.each<[Encoding, ReadonlyArray<number>, string, string]>([
      ["utf8", [0x61, 0xff, 0x62], "a\ufffdb", "ab"],
      ["utf8", [0xe2, 0x82], "\ufffd", ""],
      ["utf8", [0xc0, 0x80, 0xef, 0xbf, 0xbd], "\ufffd\ufffd\ufffd", "\ufffd"],
      ["utf8", [0xed, 0xa0, 0x80, 0x61], "\ufffd\ufffd\ufffda", "a"],
      ["utf8", [0xef, 0xef, 0xbf, 0xbd], "\ufffd\ufffd", "\ufffd"],
      ["utf16le", [0x61, 0x00, 0x62], "a\ufffd", "a"],
      ["utf16le", [0x00, 0xd8, 0x61, 0x00], "\ufffda", "a"],
      ["ascii", [0x61, 0x80, 0xff], "a\ufffd\ufffd", "a"]
    ])("cannot be encoded in %s: %j", (encoding, bytes, replaced, ignored) => {
      const error = errorOf(decode(bytes, { encoding }))
      assert.strictEqual(error.reason._tag, "NotDecodable")
      assert.strictEqual(
        error.detail,
        `it is not text in ${encoding}; ask for bytes, or set keyErrors to "replace" or "ignore".`
      )
      assert.strictEqual(Result.getOrThrow(decode(bytes, { encoding, errors: "replace" })), replaced)
      assert.strictEqual(Result.getOrThrow(decode(bytes, { encoding, errors: "ignore" })), ignored)
    })

    it("accepts all bytes as text in latin1, and none in binary", () => {
      assert.strictEqual(Result.getOrThrow(decode([0x80, 0xff], { encoding: "latin1" })), "\u0080\u00ff")
      for (const errors of ["strict", "replace", "ignore"] as const) {
        assert.deepStrictEqual(refusal(decode([0x61], { encoding: "binary", errors })), [
          "NotDecodable",
          `Bad key "a": keyEncoding "binary" does not decode keys as text; ask for bytes.`
        ])
      }
    })

    it.prop("distinguishes text from other bytes like the platform", { bytes: AnyBytes }, ({ bytes }) => {
      for (const encoding of ["utf8", "utf16le"] as const) {
        const label = encoding === "utf8" ? "utf-8" : "utf-16le"
        const decoder = (fatal: boolean) => new TextDecoder(label, { fatal, ignoreBOM: true })
        const strict = Result.try(() => decoder(true).decode(bytes))
        const result = decode(Array.from(bytes), { encoding })
        assert.deepStrictEqual(Result.getOrUndefined(result), Result.getOrUndefined(strict))
        // A half code unit after half a pair is one mistake to the platform, two here.
        const whole = encoding === "utf8" ? bytes : bytes.subarray(0, bytes.length & ~1)
        assert.strictEqual(
          Result.getOrThrow(decode(Array.from(whole), { encoding, errors: "replace" })),
          decoder(false).decode(whole)
        )
      }
    })
  })

  describe("show", () => {
    it.each<[unknown, string]>([
      ["key", `"key"`],
      ["", `""`],
      ["日本 😀", `"日本 😀"`],
      [`say "hi" \\`, `"say \\"hi\\" \\\\"`],
      ["line\nbreak\0", `"line\\nbreak\\u0000"`],
      ["\ud800", `"\\ud800"`],
      ["\u007f\u200b\u2028\u202e", `"\\u{7f}\\u{200b}\\u{2028}\\u{202e}"`],
      ["👩‍💻", `"👩‍💻"`],
      ["k".repeat(50), `"${"k".repeat(50)}"`],
      ["k".repeat(51), `"${"k".repeat(47)}..."`],
      ["😀".repeat(50), `"${"😀".repeat(50)}"`],
      ["😀".repeat(51), `"${"😀".repeat(47)}..."`],
      [utf8("key"), `"key"`],
      [utf8("日本 😀").buffer, `"日本 😀"`],
      [utf8("é".repeat(51)), `"${"é".repeat(47)}..."`],
      [utf8("a\nb"), "0x610a62"],
      [Uint8Array.of(0xff), "0xff"],
      [new DataView(counting(16).buffer), "0x000102030405060708090a0b0c0d0e0f"],
      [counting(17), "0x0001020304050607...(17 bytes)"],
      [utf8("k".repeat(4096)), `"${"k".repeat(47)}..."`],
      [utf8("k".repeat(4097)), "0x6b6b6b6b6b6b6b6b...(4,097 bytes)"],
      [utf8("k".repeat(5000)), "0x6b6b6b6b6b6b6b6b...(5,000 bytes)"],
      [new Uint8Array(100_000), "0x0000000000000000...(100,000 bytes)"]
    ])("%o is shown as %s", (key, shown) => {
      assert.strictEqual(KeyCodec.make().show(key), shown)
    })

    it("decodes bytes in the encoding of the store", () => {
      assert.strictEqual(KeyCodec.make({ encoding: "latin1" }).show(Uint8Array.of(0x63, 0xe9)), `"cé"`)
      assert.strictEqual(KeyCodec.make({ encoding: "utf16le" }).show(Uint8Array.of(0x63, 0, 0xac, 0x20)), `"c€"`)
      assert.strictEqual(KeyCodec.make({ encoding: "ascii" }).show(utf8("é")), "0xc3a9")
      assert.strictEqual(KeyCodec.make({ encoding: "binary" }).show(utf8("é")), `"é"`)
    })

    it("uses formatKey for keys, also in messages", () => {
      const keys = KeyCodec.make({
        format: (key) => typeof key === "string" ? `<${key.length}>` : "<bytes>",
        maxBytes: 2
      })
      assert.strictEqual(keys.show("secret"), "<6>")
      assert.strictEqual(keys.show(new ArrayBuffer(1)), "<bytes>")
      assert.strictEqual(keys.show(42), "42")
      assert.strictEqual(errorOf(keys.encode("secret")).shownKey, "<6>")
      assert.strictEqual(errorOf(keys.decode(Key.ByteString("\xff"))).shownKey, "<bytes>")
    })

    it("uses the default when formatKey throws or does not return a string", () => {
      assert.strictEqual(KeyCodec.make({ format: thrower }).show("key"), `"key"`)
      // @ts-expect-error a program without types passes anything
      assert.strictEqual(KeyCodec.make({ format: "no function" }).show("key"), `"key"`)
      // @ts-expect-error a program without types passes anything
      assert.strictEqual(KeyCodec.make({ format: () => 42 }).show("key"), `"key"`)
    })
  })
})
