/* oxlint-disable vitest/expect-expect, eslint/no-sparse-arrays, unicorn/no-new-array --
   comesBack asserts, and holes are among what is stored */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Packr } from "msgpackr"
import { deepStrictEqual } from "node:assert"
import { inspect } from "node:util"
import * as ValueCodec from "../../src/internal/value/valueCodec.ts"
import { asObject, randomOf, randomValue, sameSharing } from "../support/fixtures/randomValues.ts"

const codec = ValueCodec.make()

const encode = (value: unknown): Uint8Array =>
  Result.getOrThrowWith(ValueCodec.encode(codec, value), (failure) => failure)

const decode = (bytes: Uint8Array, length?: number): unknown =>
  Result.getOrThrowWith(ValueCodec.decode(codec, bytes, length), (failure) => failure)

const roundTrip = (value: unknown): unknown => decode(encode(value))

/** Equal, with the same references shared at the same places, and nothing shared with the original. */
const comesBack = (value: unknown, expected: unknown = structuredClone(value)): void => {
  const copy = roundTrip(value)
  deepStrictEqual(copy, expected)
  sameSharing(copy, expected, new Map(), new Set())
}

const detailOf = (value: unknown): string => {
  const result = ValueCodec.encode(codec, value)
  return Result.isFailure(result) ? result.failure.detail : "it was encoded"
}

const wrongWith = (bytes: Uint8Array): string => {
  const result = ValueCodec.decode(codec, bytes)
  return Result.isFailure(result) ? result.failure.detail : "they were decoded"
}

const isRefused = (bytes: Uint8Array, length?: number): boolean =>
  Result.isFailure(ValueCodec.decode(codec, bytes, length))

const property = (value: unknown, key: string): unknown => Reflect.get(asObject(value), key)

const bufferLength = (value: unknown): number => ArrayBuffer.isView(value) ? value.buffer.byteLength : -1

/** The bytes of a message in one of the two formats, written by hand. */
const message = (format: number, value: unknown): Uint8Array =>
  Buffer.concat([Buffer.of(format), new Packr({ useRecords: false }).pack(value)])

const named = (error: Error, name: string): Error =>
  Object.defineProperty(error, "name", { value: name, configurable: true, writable: true })

describe("Value", () => {
  describe("any structured-cloneable value is read back equal", () => {
    it.prop("random nested values", { seed: Schema.Int }, ({ seed }) => comesBack(randomValue(seed, false)), {
      arbitrary: { runs: 400 }
    })

    it.prop("random values with shared references and cycles", { seed: Schema.Int }, ({ seed }) => {
      const value = randomValue(seed, true)
      const copy = roundTrip(value)
      sameSharing(copy, structuredClone(value), new Map(), new Set())
      deepStrictEqual(copy, structuredClone(value))
    }, { arbitrary: { runs: 400 } })

    it("primitives, at the top, in objects, in arrays, in maps and in sets", () => {
      const primitives = [
        undefined,
        null,
        true,
        false,
        0,
        -0,
        1,
        -1,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        -32,
        -33,
        -128,
        -129,
        -32_768,
        -32_769,
        2 ** 31,
        -(2 ** 31),
        2 ** 32,
        2 ** 53,
        2 ** 63,
        0.1,
        1e308,
        5e-324,
        NaN,
        Infinity,
        -Infinity,
        "",
        "a",
        "é",
        "☃",
        "😀",
        "\0"
      ]
      for (const primitive of primitives) {
        comesBack(primitive)
        comesBack({ a: primitive, b: [primitive, [primitive]] })
        comesBack(new Map([[primitive, primitive]]))
        comesBack(new Set([primitive]))
      }
    })

    it("bigints of any size and sign", () => {
      for (const exponent of [0n, 7n, 8n, 31n, 32n, 62n, 63n, 64n, 65n, 127n, 128n, 1000n, 70_000n, 300_000n]) {
        for (const near of [-1n, 0n, 1n]) {
          comesBack(2n ** exponent + near)
          comesBack([-(2n ** exponent) + near])
        }
      }
    })

    it("strings of every length around a change of their header", () => {
      for (const length of [31, 32, 63, 64, 65, 255, 256, 65_535, 65_536, 200_000]) {
        for (const character of ["x", "é", "☃", "😀"]) {
          comesBack(character.repeat(length))
          comesBack({ [character.repeat(length)]: [character.repeat(length)] })
        }
      }
    })

    it("strings with lone surrogates or a leading byte order mark, as values and as keys", () => {
      for (const text of ["\ud800", "a\udc00b", "\udc00\ud800", "\ufeff", `\ufeff${"x".repeat(100)}`, "x\ufeff"]) {
        comesBack(text)
        comesBack({ [text]: text, list: [text], map: new Map([[text, text]]) })
      }
    })

    it("a property that is undefined is kept", () => {
      deepStrictEqual(Object.keys(asObject(roundTrip({ a: undefined }))), ["a"])
    })

    it("dates: of any age, to the millisecond, and the invalid one", () => {
      for (
        const time of [
          0,
          1,
          -1,
          999,
          1_000,
          -62_135_596_800_000,
          4_294_967_295_999,
          4_294_967_296_000,
          8.64e15,
          -8.64e15
        ]
      ) {
        comesBack(new Date(time))
        comesBack({ at: new Date(time) })
      }
      // deepStrictEqual of Node 22 takes no invalid date for equal to another.
      const invalid = roundTrip([new Date(NaN), new Map([[1, new Date(NaN)]])])
      assert.match(inspect(invalid), /^\[ Invalid Date, Map\(1\) \{ 1 => Invalid Date \} \]$/)
    })

    it("typed arrays of every kind, only with their own bytes of the buffer", () => {
      const kinds: ReadonlyArray<new(buffer: ArrayBuffer, offset: number, length: number) => ArrayBufferView> = [
        Int8Array,
        Uint8Array,
        Uint8ClampedArray,
        Int16Array,
        Uint16Array,
        Int32Array,
        Uint32Array,
        BigInt64Array,
        BigUint64Array,
        Float32Array,
        Float64Array,
        DataView,
        ...(typeof Float16Array === "undefined" ? [] : [Float16Array])
      ]
      for (const Kind of kinds) {
        const view: ArrayBufferView = new Kind(new ArrayBuffer(64), 16, 3)
        new Uint8Array(view.buffer).forEach((_, index, bytes) => (bytes[index] = index * 37))
        const copy = roundTrip({ view })
        deepStrictEqual(copy, { view })
        assert.strictEqual(bufferLength(property(copy, "view")), view.byteLength)
      }
    })

    it("buffers: an ArrayBuffer, a Buffer as Uint8Array, empty ones, large ones", () => {
      comesBack(Uint8Array.of(1, 2, 3).buffer)
      comesBack(new ArrayBuffer(0))
      comesBack(Buffer.from("abc"), new Uint8Array([97, 98, 99]))
      comesBack({ a: new Uint8Array(0), b: new Uint8Array(300_000).fill(7) })
    })

    it("regular expressions with their flags", () => comesBack([/a\/b/dgimsuy, /[\p{L}--a]/v, new RegExp("")]))

    it("errors with name, message, stack and cause", () => {
      const kinds = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]
      for (const Kind of kinds) {
        const error = new Kind("broken", { cause: new Error("deeper", { cause: { code: 5 } }) })
        comesBack(error)
        const copy = roundTrip(error)
        assert.instanceOf(copy, Kind)
        assert.strictEqual(copy.stack, error.stack)
      }
    })

    it("an error that is its own cause, and one with a name and a message of its class", () => {
      const circular = new TypeError("round")
      circular.cause = circular
      const round = roundTrip(circular)
      assert.instanceOf(round, TypeError)
      assert.strictEqual(round.cause, round)
      class Custom extends Error {
        override readonly name = "Custom"
        override get message(): string {
          return "made by a getter"
        }
      }
      comesBack(Object.defineProperty(new Error("odd"), "name", { value: 5 }), named(new Error("odd"), ""))
      const copy = roundTrip(new Custom())
      assert.instanceOf(copy, Error)
      assert.strictEqual(copy.name, "Custom")
      assert.strictEqual(copy.message, "made by a getter")
    })

    it("boxed primitives", () => comesBack([Object(1), Object(-0), Object("s"), Object(true), Object(5n)]))

    it("maps and sets within each other, with objects as keys", () =>
      comesBack(new Map<unknown, unknown>([[{ a: 1 }, new Set([[1], new Map()])], [new Map(), new Set()], [NaN, -0]])))

    it("arrays with holes, with named properties, and sparse to the limit", () => {
      comesBack([1, , 3])
      comesBack(new Array(5))
      comesBack(/b(?<rest>.)/.exec("abc"))
      comesBack(Object.assign([,], { named: 1 }))
      const sparse: Array<number> = []
      sparse[2 ** 32 - 2] = 1
      const copy = roundTrip(sparse)
      deepStrictEqual([Object.keys(asObject(copy)), property(copy, "length")], [["4294967294"], 2 ** 32 - 1])
    })

    it("keys that are names of Object.prototype, and __proto__, without polluting anything", () => {
      const value: unknown = JSON.parse(
        `{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":1,"hasOwnProperty":2,"toJSON":3,"1":0}`
      )
      comesBack(value)
      comesBack({ nested: [value] })
      assert.isUndefined(Reflect.get({}, "polluted"))
      assert.isTrue(Object.hasOwn(asObject(roundTrip(value)), "__proto__"))
    })

    it("cycles through objects, arrays, maps and sets", () => {
      const object: Record<string, unknown> = {}
      const array: Array<unknown> = [object]
      const map = new Map<unknown, unknown>([[object, array]])
      const set = new Set<unknown>([map, array])
      Object.assign(object, { object, array, map: map.set("map", map), set: set.add(set) })
      for (const root of [object, array, map, set]) comesBack(root)
    })

    it("references shared within a value stay shared", () => {
      const [date, bytes, list] = [new Date(5), new Uint8Array(3), [1]]
      comesBack([list, list])
      comesBack({ a: date, b: [{ c: date }] })
      comesBack({ a: date, b: date, c: bytes, d: bytes, e: [list, list], f: new Map([[list, date]]) })
    })
  })

  describe("the same as with structuredClone", () => {
    class Point {
      readonly x = 1
      readonly #hidden = 2
      get sum(): number {
        return this.x + this.#hidden
      }
      toJSON(): string {
        return "not asked for"
      }
    }

    it("an instance of a class becomes a plain object, and toJSON is not called", () =>
      comesBack({ point: new Point() }, { point: { x: 1 } }))

    it("subclasses of Map, Set, Array and Date become instances of these", () => {
      class Moment extends Date {}
      class Bytes extends Uint8Array {}
      Object.defineProperty(Bytes.prototype, Symbol.toStringTag, { value: "Bytes" })
      comesBack(Bytes.of(1, 2), Uint8Array.of(1, 2))
      class Index extends Map<number, number> {}
      class Group extends Set<number> {}
      class Things extends Array<number> {}
      comesBack(Things.of(1, 2))
      comesBack([new Index([[1, 2]]), new Group([1]), new Moment(5)])
    })

    it("an object without prototype becomes a plain one", () => comesBack(Object.setPrototypeOf({ a: { b: 1 } }, null)))

    it("inherited properties, hidden ones and symbols are left out", () => {
      const value: unknown = Object.create({ inherited: 1 }, {
        own: { value: 1, enumerable: true },
        hidden: { value: 2 }
      })
      comesBack({ value, [Symbol("key")]: () => 1 })
    })

    it("getters are read", () =>
      comesBack({
        get a() {
          return [1]
        }
      }))
  })

  describe("a value that cannot be stored is refused", () => {
    const cases: ReadonlyArray<readonly [unknown, string]> = [
      [() => 1, "it is a function: store its name"],
      [Symbol("s"), "it is a symbol"],
      [Promise.resolve(), "it is a Promise: wait for it first, and put its result"],
      [new WeakMap(), "it is a WeakMap"],
      [new WeakSet(), "it is a WeakSet"],
      [new WeakRef({}), "it is a WeakRef"],
      [(function*() {})(), "it is a Generator"],
      [[][Symbol.iterator](), "it is an Array Iterator"],
      [new Proxy({}, {}), "it is a Proxy"],
      [new SharedArrayBuffer(1), "it is a SharedArrayBuffer"],
      [Object(Symbol("s")), "it is a symbol"],
      [new URL("http://localhost"), "it is a URL: store url.href"],
      [new Intl.NumberFormat(), "it is an Intl.NumberFormat"],
      [{ a: { b: [0, { run: () => 1 }] } }, "it has a function at a.b[1].run: store its name"],
      [{ list: [1, , Symbol("s")] }, "it has a symbol at list.2"],
      [[[new Proxy([], {})]], "it has a Proxy at [0][0]"],
      [new Map([[{ k: Symbol("s") }, 1]]), "it has a symbol at (key 0).k"],
      [
        { m: new Map<unknown, unknown>([[1, 1], [2, [Promise.resolve()]]]) },
        "it has a Promise at m(value 1)[0]: wait for it first, and put its result"
      ],
      [new Set([1, { w: new WeakMap() }]), "it has a WeakMap at (member 1).w"],
      [new Error("e", { cause: { f: () => 1 } }), "it has a function at cause.f: store its name"]
    ]
    for (const [value, detail] of cases) {
      it(`${detail}, and the failure names it`, () => assert.strictEqual(detailOf(value), detail))
    }

    it("a very deep value, with the end of its path", () => {
      let value: unknown = Symbol("s")
      for (let level = 0; level < 20_000; level++) value = [value]
      assert.strictEqual(detailOf(value), `it has a symbol at ...0]${"[0]".repeat(66)}`)
    })

    it("a getter that throws, with the thrown value", () => {
      const cause = new Error("no")
      const value = {
        get broken() {
          throw cause
        }
      }
      for (const outer of [value, [value], new Map([[1, value]])]) {
        const result = ValueCodec.encode(codec, outer)
        assert.isTrue(Result.isFailure(result) && result.failure.cause === cause)
        assert.strictEqual(detailOf(outer), "encoding it threw: no")
      }
    })

    it("a detached buffer", () => {
      const buffer = new ArrayBuffer(8)
      structuredClone(buffer, { transfer: [buffer] })
      assert.match(detailOf({ buffer }), /detached/)
    })

    it("and the codec stays usable", () => {
      const good = { a: [1, "two", { three: 3 }], s: "x".repeat(100) }
      const circular: Record<string, unknown> = { good }
      circular["self"] = circular
      for (
        const bad of [() => 1, {
          a: 1,
          get b() {
            throw new Error("no")
          }
        }, [circular, Symbol("s")]]
      ) {
        assert.isTrue(Result.isFailure(ValueCodec.encode(codec, bad)))
        comesBack(good)
        comesBack(circular)
      }
    })
  })

  describe("a getter that encodes other values", () => {
    const shared = { of: "both" }
    const meanwhile: ReadonlyArray<readonly [string, () => unknown]> = [
      ["plain ones", () => encode({ inner: "value" })],
      ["graphs", () => encode(new Map([[1, new Date(-1)]]))],
      [
        "some that are refused",
        () => [ValueCodec.encode(codec, () => 1), ValueCodec.encode(codec, { a: Symbol("s") }), encode([1])]
      ],
      ["itself", () => encode({ inner: { deeper: encode({ x: 1 }) } })]
    ]

    for (const [which, work] of meanwhile) {
      it(`does no harm: ${which}`, () => {
        const rests: ReadonlyArray<Record<string, unknown>> = [
          { more: "text" },
          { at: new Date(5) },
          { map: new Map([["a", shared]]) },
          { big: 2n ** 70n }
        ]
        for (const rest of rests) {
          const value = {
            before: shared,
            get x() {
              work()
              return 5
            },
            after: shared,
            ...rest
          }
          comesBack(value, structuredClone({ before: shared, x: 5, after: shared, ...rest }))
        }
      })
    }

    it("may change the value that is being encoded, and the changed value is stored", () => {
      const value: Record<string, unknown> = {
        get x() {
          delete value["gone"]
          value["new"] = 1
          return 5
        },
        gone: 1
      }
      const copy = roundTrip(value)
      assert.strictEqual(property(copy, "x"), 5)
      const list: Array<unknown> = [0, 1, 2]
      Object.defineProperty(list, 1, {
        enumerable: true,
        get: () => {
          list.length = 2
          return "one"
        }
      })
      const listCopy = roundTrip(list)
      assert(Array.isArray(listCopy))
      assert.deepStrictEqual(listCopy.slice(0, 2), [0, "one"])
    })
  })

  it("a value whose encoding threw leaves no bytes", () => {
    const inner = { a: 1 }
    const failing = {
      inner,
      get x(): never {
        throw new Error("no")
      }
    }
    assert.strictEqual(detailOf(failing), "encoding it threw: no")
    assert.deepStrictEqual(encode({ inner }), Result.getOrThrow(ValueCodec.encode(ValueCodec.make(), { inner })))
  })

  it("a small value does not keep the memory of a larger earlier value", () => {
    for (const large of ["x".repeat(1_000_000), new Map([["x", "x".repeat(1_000_000)]])]) {
      encode(large)
      for (const small of ["small", new Map([[1, 2]])]) {
        assert.isAtMost(encode(small).buffer.byteLength, 64 * 1024)
      }
    }
  })

  describe("bytes", () => {
    const samples = [
      1,
      "text",
      { a: 1, b: [true, null, undefined], c: "é".repeat(50) },
      [1n, 2n ** 90n, new Date(5)],
      new Map([[{ a: -0 }, new Set(["\ud800"])]]),
      [new Float64Array(3), /a/g, new TypeError("t", { cause: [1] })]
    ]

    it("are not changed by later encodings", () => {
      const encoded = samples.map((sample) => [encode(sample), Buffer.from(encode(sample))] as const)
      for (let index = 0; index < 3000; index++) ValueCodec.encode(codec, { index, text: "x".repeat(index) })
      for (const [bytes, copy] of encoded) deepStrictEqual(Buffer.from(bytes), copy)
    })

    it("are not shared with decoded values, which are new copies", () => {
      for (const sample of [...samples, new Uint8Array([1, 2]), { a: Buffer.from("abc"), b: "long ".repeat(50) }]) {
        const bytes = encode(sample)
        const [first, second] = [decode(bytes), decode(bytes)]
        deepStrictEqual(first, second)
        if (typeof first === "object") assert.notStrictEqual(first, second)
        bytes.fill(0xff)
        deepStrictEqual(first, second)
        deepStrictEqual(second, roundTrip(sample))
      }
    })

    it("begin below 250, where the marks of LMDB's library begin", () => {
      for (const sample of samples) assert.isBelow(encode(sample)[0] ?? 255, 250)
    })

    it("decode from a larger buffer, with a length and with an overridden length", () => {
      for (const sample of samples) {
        const bytes = encode(sample)
        const large = Buffer.alloc(bytes.length + 1000, 0x91)
        large.set(bytes)
        deepStrictEqual(decode(large, bytes.length), roundTrip(sample))
        Object.defineProperty(large, "length", { value: bytes.length, writable: true })
        deepStrictEqual(decode(large), roundTrip(sample))
        deepStrictEqual(decode(large.subarray(0, bytes.length)), roundTrip(sample))
        assert.isTrue(isRefused(large, bytes.length + 500))
      }
    })

    it("that are truncated anywhere, or have a rest, are refused", () => {
      for (const sample of samples) {
        const bytes = encode(sample)
        for (let length = 0; length < bytes.length; length++) {
          assert.isTrue(isRefused(bytes, length))
          assert.isTrue(isRefused(Uint8Array.from(bytes.subarray(0, length))))
        }
        assert.isTrue(isRefused(Uint8Array.from(bytes), bytes.length + 1))
        assert.isTrue(isRefused(Buffer.concat([bytes, Buffer.of(0)])))
      }
    })

    it("that are empty, or of no format, are refused with a reason", () => {
      assert.strictEqual(wrongWith(new Uint8Array(0)), "there are none")
      assert.strictEqual(wrongWith(Uint8Array.of(3, 0, 0, 0, 0)), "there are none")
      assert.strictEqual(wrongWith(Uint8Array.of(9, 1)), "no value begins with 9")
      assert.strictEqual(
        wrongWith(Uint8Array.of(3, 1, 2)),
        "they are damaged, cut off, or were not written by this package"
      )
    })

    it("of other programs are refused: empty, text, JSON, MessagePack, and every unknown first byte", () => {
      assert.isTrue(isRefused(new Uint8Array(0)))
      for (const foreign of ["text", "{\"a\":1}", "\u0001\u0002\u0003"]) assert.isTrue(isRefused(Buffer.from(foreign)))
      assert.isTrue(isRefused(new Packr().pack({ a: 1 })))
      for (let first = 0; first < 256; first++) {
        if (first !== 1 && first !== 5) assert.isTrue(isRefused(Uint8Array.of(first, 1)))
      }
    })

    it("with extensions that this package does not write are refused: records, references, bundles, errors", () => {
      const record = new Packr().pack({ a: 1 })
      for (const bytes of [record, new Packr({ structuredClone: true, moreTypes: true }).pack([/a/, new Error("e")])]) {
        assert.isTrue(isRefused(Buffer.concat([Buffer.of(1), bytes])))
        assert.isTrue(isRefused(Buffer.concat([Buffer.of(2), bytes])))
      }
    })

    it("that claim a large length take no memory for it", () => {
      const claims = [0xdd, 0xdf, 0xdb, 0xc6, 0xc9].map((first) => Buffer.of(first, 0x01, 0xff, 0xff, 0xff))
      const nested = Buffer.concat(Array.from({ length: 60 }, () => Buffer.of(0xdd, 0x01, 0xff, 0xff, 0xff)))
      const before = process.memoryUsage().rss
      for (const claim of [...claims, nested]) {
        for (const format of [1, 2]) assert.isTrue(isRefused(Buffer.concat([Buffer.of(format), claim])))
      }
      const sparse = decode(message(2, Array.from({ length: 200 }, () => [3, 30_000_000, "5", 1])))
      assert.strictEqual(property(sparse, "length"), 30_000_000)
      assert.isBelow(process.memoryUsage().rss - before, 200_000_000)
    })

    it("of graphs with missing nodes, or with slots that are not valid, are refused", () => {
      const graphs = [
        1,
        {},
        [],
        [1],
        [[99]],
        [["1"]],
        [[2, [7]]],
        [[2, [-1]]],
        [[2, ["x"]]],
        [[1, 1, 1]],
        [[3, -1]],
        [[3, "x"]],
        [[6]],
        [[7, "(", ""]],
        [[7, "a", "zz"]],
        [[8, "Error"]],
        [[9, 1]],
        [[10, "Object", new Uint8Array(1)]],
        [[10, "Float64Array", new Uint8Array(7)]],
        [[2, { a: 1 }]],
        [[2, new Date(1)]]
      ]
      for (const graph of graphs) assert.isTrue(isRefused(message(2, graph)), JSON.stringify(graph))
    })

    it("nested too deeply are refused", () => {
      assert.isTrue(isRefused(Buffer.concat([Buffer.of(1), Buffer.alloc(100_000, 0x91), Buffer.of(1)])))
    })

    it("cannot pollute a prototype", () => {
      const value = decode(message(2, [[1, "__proto__", [1]], [1, "polluted", 1]]))
      assert.isTrue(Object.hasOwn(asObject(value), "__proto__"))
      assert.isTrue(isRefused(message(1, JSON.parse("{\"a\":{\"__proto__\":{\"polluted\":1}}}"))))
      decode(message(1, { constructor: { prototype: { polluted: 1 } } }))
      assert.isUndefined(Reflect.get({}, "polluted"))
    })

    it.prop("at random after a valid first byte give a value or a failure", { seed: Schema.Int }, ({ seed }) => {
      const random = randomOf(seed)
      for (let run = 0; run < 100; run++) {
        const bytes = Uint8Array.from({ length: 1 + random(80) }, () => random(256))
        bytes[0] = 1 + random(2)
        ValueCodec.decode(codec, bytes)
      }
      comesBack({ a: [1, "two"], long: "x".repeat(200), map: new Map([[1, "\ud800"]]) })
    }, { arbitrary: { runs: 100 } })

    it.prop(
      "damaged in some places give a value or a failure, and the codec stays usable",
      { seed: Schema.Int },
      ({ seed }) => {
        const random = randomOf(seed)
        const value = randomValue(seed, random(2) === 0)
        const bytes = encode(value)
        for (let run = 0; run < 30; run++) {
          const damaged = Uint8Array.from(bytes)
          for (let count = 1 + random(4); count > 0; count--) damaged[random(damaged.length)] = random(256)
          ValueCodec.decode(codec, damaged)
        }
        deepStrictEqual(decode(bytes), structuredClone(value))
      },
      { arbitrary: { runs: 100 } }
    )
  })
})
