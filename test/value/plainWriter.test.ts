/* oxlint-disable vitest/expect-expect, eslint/no-sparse-arrays, eslint/no-extend-native --
   comesBack asserts, holes are refused, and so is everything while Object.prototype is polluted */
/** The writer of plain values: what it writes msgpackr reads back, and what it leaves to others. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Packr } from "msgpackr"
import { deepStrictEqual } from "node:assert"
import * as PlainWriter from "../../src/internal/value/plainWriter.ts"
import * as RecordStructures from "../../src/internal/value/recordStructures.ts"

const writer = PlainWriter.make({ plain: 7, structured: 8 }, RecordStructures.make())

const packr = new Packr({ useRecords: false, variableMapSize: true, useBigIntExtension: true, copyBuffers: true })

const write = (value: unknown): Uint8Array => PlainWriter.write(writer, value) ?? assert.fail("it was not written")

/** What msgpackr reads behind the first byte. */
const read = (bytes: Uint8Array): unknown => {
  assert.strictEqual(bytes[0], 7)
  const item: unknown = packr.unpack(bytes.slice(1))
  return item
}

const comesBack = (value: unknown): void => deepStrictEqual(read(write(value)), value)

/** How many bytes a value takes, without the first one. */
const sizeOf = (value: unknown): number => write(value).length - 1

const textOf = (length: number): string => "x".repeat(length)

const nested = (depth: number): unknown => depth === 0 ? 1 : [nested(depth - 1)]

const recordOf = (count: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`key ${index}`, index]))

const isOddText = (text: string): boolean => !text.isWellFormed() || text.startsWith("\ufeff")

/** Whether something of JSON is not plain. */
const isOdd = (value: Schema.Json): boolean => {
  if (typeof value === "string") return isOddText(value)
  if (typeof value !== "object" || value === null) return Object.is(value, -0)
  return Object.entries(value).some(([key, part]) => key === "__proto__" || isOddText(key) || isOdd(part))
}

describe("a plain value", () => {
  it.effect.prop("is read back equal", { given: Schema.Json }, ({ given }) =>
    Effect.sync(() => {
      // Some of its records have no prototype
      const value = structuredClone(given)
      const bytes = PlainWriter.write(writer, value)
      assert.strictEqual(bytes === undefined, isOdd(value))
      if (bytes !== undefined) assert.deepStrictEqual(read(bytes), value)
    }), { arbitrary: { runs: 300, seed: "plain writer" } })

  it("has numbers of every size in the fewest possible bytes", () => {
    const sizes: ReadonlyArray<readonly [number, number]> = [
      [0, 1],
      [1, 1],
      [0x7f, 1],
      [0x80, 2],
      [0xff, 2],
      [0x100, 3],
      [0xffff, 3],
      [0x1_0000, 5],
      [0xffff_ffff, 5],
      [0x1_0000_0000, 9],
      [-1, 1],
      [-0x20, 1],
      [-0x21, 5],
      [-0x8000_0000, 5],
      [-0x8000_0001, 9],
      [0.5, 9],
      [Number.MAX_SAFE_INTEGER, 9],
      [Infinity, 9]
    ]
    for (const [number, size] of sizes) {
      comesBack(number)
      comesBack([number, number])
      assert.strictEqual(sizeOf(number), size, String(number))
    }
    assert.isNaN(read(write(Number.NaN)))
    for (const value of [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      comesBack([value])
      assert.strictEqual(sizeOf(value), 9)
    }
  })

  it("has text of every length and script", () => {
    const heads: ReadonlyArray<readonly [number, number]> = [
      [0, 1],
      [31, 1],
      [32, 2],
      [85, 2],
      [86, 3],
      [4096, 3],
      [4097, 3],
      [65_535, 3],
      [65_536, 5],
      [100_000, 5]
    ]
    for (const [length, head] of heads) {
      comesBack(textOf(length))
      comesBack({ [textOf(length)]: textOf(length) })
      assert.strictEqual(sizeOf(textOf(length)), head + length)
    }
    for (const length of [1, 20, 31, 32, 40, 85, 86, 300, 4096, 4097, 30_000]) {
      for (const character of ["\u007f", "\u0080", "é", "ÿ", "Ā", "語", "😀"]) {
        comesBack([character.repeat(length), `ascii first ${character.repeat(length)}`])
      }
    }
  })

  it("has lists and records of every length", () => {
    for (const length of [0, 1, 15, 16, 300, 65_536]) {
      comesBack(Array.from({ length }, (_, index) => index % 100))
      comesBack({ list: Array.from({ length }, () => true), after: "it" })
    }
    for (const count of [0, 1, 15, 16, 300, 65_536]) comesBack(recordOf(count))
    assert.strictEqual(sizeOf([]), 1)
    assert.strictEqual(sizeOf({ a: 1 }), 4)
  })

  it("has items for null, undefined, booleans and dates", () => {
    comesBack([null, undefined, true, false, { a: undefined, b: null }])
    for (const time of [0, 1, 999, 1000, 1_700_000_000_123, 4_294_967_295_999]) comesBack([new Date(time)])
    assert.strictEqual(sizeOf(new Date(5)), 10)
    assert.strictEqual(sizeOf(undefined), 3)
  })

  it("has records with unusual names, and lists with many objects", () => {
    comesBack({ constructor: 1, toString: "x", hasOwnProperty: null, valueOf: [] })
    for (const length of [30, 31, 32, 33, 50]) {
      comesBack(Array.from({ length }, (_, index) => ({ index, inside: [index] })))
    }
  })
})

describe("what is not plain", () => {
  const shared = { a: 1 }
  const cycle: Array<unknown> = []
  cycle.push(cycle)
  const many = Array.from({ length: 50 }, (_, index) => ({ index }))
  const refused: ReadonlyArray<readonly [string, unknown]> = [
    ["negative zero", -0],
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["a bigint of more than 64 bits", 2n ** 63n],
    ["a negative bigint of more than 64 bits", -(2n ** 63n) - 1n],
    ["a lone surrogate", "\ud800"],
    ["a long text with a lone surrogate", `${textOf(100)}\udc00`],
    ["a byte order mark first", "\ufeffx"],
    ["a key that is no text", { "\ud800": 1 }],
    ["__proto__", JSON.parse("{\"__proto__\":1}")],
    ["a Map", new Map()],
    ["a Set", new Set()],
    ["a RegExp", /x/],
    ["an Error", new Error("x")],
    ["bytes", new Uint8Array(2)],
    [
      "an instance of a class",
      new (class Point {
        x = 1
      })()
    ],
    ["a record without prototype", Object.create(null)],
    ["a Proxy", new Proxy({}, {})],
    ["a hole", [1, , 3]],
    ["a list with a named property", Object.assign([1], { name: "x" })],
    ["a subclass of Array", new (class List extends Array {})()],
    ["a subclass of Date", new (class Day extends Date {})(5)],
    ["a point in time before 1970", new Date(-1)],
    ["a point in time after 2106", new Date(4_294_967_296_000)],
    ["no point in time", new Date(Number.NaN)],
    ["an object twice", [shared, shared]],
    ["an object twice among few", [...many.slice(0, 20), many[0]]],
    ["the last of few twice", [...many.slice(0, 20), many[19]]],
    ["an object twice among many", [...many, many[0]]],
    ["the last of many twice", [...many, many[49]]],
    ...[30, 31, 32, 33].map((index) => ["one of many twice", [...many, many[index]]] as const),
    ["a cycle", cycle],
    ["65 levels", nested(65)]
  ]

  for (const [what, value] of refused) {
    it(`is left to the other formats: ${what}, at the top and inside`, () => {
      for (const each of [value, [1, value], { a: { b: value } }]) assert.isUndefined(PlainWriter.write(writer, each))
      comesBack({ after: "it", works: [1, 2] })
    })
  }

  it("starts after 64 levels", () => comesBack(nested(64)))

  it("is every object while all objects have an additional property", () => {
    Object.defineProperty(Object.prototype, "polluted", {
      value: 1,
      enumerable: true,
      configurable: true,
      writable: true
    })
    try {
      assert.isUndefined(PlainWriter.write(writer, { a: 1 }))
    } finally {
      Reflect.deleteProperty(Object.prototype, "polluted")
    }
    comesBack({ a: 1 })
  })
})

describe("the bytes", () => {
  it("of a value are not changed by later values, in this chunk and the next", () => {
    const values = Array.from({ length: 5000 }, (_, index) => ({ index, text: textOf(index % 90) }))
    const all = values.map(write)
    assert.deepStrictEqual(all.map(read), values)
    assert.isAbove(new Set(all.map((bytes) => bytes.buffer)).size, 1)
    assert.isBelow(new Set(all.map((bytes) => bytes.buffer)).size, 100)
  })

  it("of many values keep little more memory than their size", () => {
    for (const length of [100, 1000, 2731, 4000, 4096, 4097]) {
      const all = Array.from({ length: 100 }, () => write({ text: textOf(length) }))
      const kept = [...new Set(all.map((bytes) => bytes.buffer))].reduce((sum, buffer) => sum + buffer.byteLength, 0)
      const chunk = 16_384
      assert.isAtMost(kept, 1.4 * all.reduce((sum, bytes) => sum + bytes.length, 0) + chunk, `texts of ${length}`)
    }
  })

  it("of a value that throws, or is refused late, are removed", () => {
    const fresh = PlainWriter.make({ plain: 7, structured: 8 }, RecordStructures.make())
    const first = PlainWriter.write(fresh, "first") ?? assert.fail()
    const failing = {
      text: textOf(50),
      get x(): never {
        throw new Error("no")
      }
    }
    assert.throws(() => PlainWriter.write(fresh, failing), "no")
    PlainWriter.reset(fresh)
    assert.isUndefined(PlainWriter.write(fresh, { text: textOf(50), late: -0 }))
    const second = PlainWriter.write(fresh, "second") ?? assert.fail()
    assert.strictEqual(second.byteOffset, first.byteOffset + first.length)
    assert.deepStrictEqual([first, second].map(read), ["first", "second"])
  })

  it("of a value that threw are not counted for structures", () => {
    const inner = { a: 1 }
    const failing = {
      inner,
      get x(): never {
        throw new Error("no")
      }
    }
    assert.throws(() => PlainWriter.write(writer, failing), "no")
    PlainWriter.reset(writer)
    comesBack({ inner })
  })

  it("contain the state after a getter has changed the value", () => {
    const shrinking: Record<string, unknown> = {
      get x() {
        delete shrinking["y"]
        return 1
      },
      y: 2
    }
    assert.isUndefined(PlainWriter.write(writer, shrinking))
    const list: Array<unknown> = [1, 2, 3]
    Object.defineProperty(list, 0, {
      enumerable: true,
      get: () => {
        list.length = 2
        return 1
      }
    })
    assert.isUndefined(PlainWriter.write(writer, list))
  })
})
