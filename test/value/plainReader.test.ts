/** The reader of plain values: what it makes of bytes, whatever they are. What the writer writes it reads in other tests too. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { deepStrictEqual } from "node:assert"
import { maximumDepth } from "../../src/internal/value/messagePack.ts"
import * as PlainReader from "../../src/internal/value/plainReader.ts"
import * as PlainWriter from "../../src/internal/value/plainWriter.ts"
import * as RecordStructures from "../../src/internal/value/recordStructures.ts"
import { Refusal } from "../../src/internal/value/valueGraph.ts"

/** One for all, so that what is left of a value would be found in another. */
const reader = PlainReader.make(RecordStructures.make())

/** Stands for bytes that are no value. */
const refused = Symbol("refused")

const attempt = (memory: Buffer, end: number): unknown =>
  Result.getOrElse(Result.try(() => PlainReader.read(reader, memory, end, false)), (error) => {
    assert.instanceOf(error, Refusal)
    return refused
  })

/** Reads items alone, and in the midst of other bytes, which must not matter. */
const read = (...items: ReadonlyArray<number>): unknown => {
  const alone = Buffer.from([0, ...items])
  const value = attempt(alone, alone.length)
  for (const other of [0x00, 0x41, 0xa3, 0xc1, 0xff]) {
    const memory = Buffer.from([other, ...items, ...Array.from({ length: 40 }, () => other)])
    deepStrictEqual(attempt(memory, alone.length), value)
  }
  return value
}

const zeros = (count: number): ReadonlyArray<number> => Array.from({ length: count }, () => 0)

const pairs = (count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, index) => [0xa2, 0x41 + (index >> 4), 0x41 + (index & 0x0f), index]).flat()

const recordOf = (count: number): Record<string, number> =>
  Object.fromEntries(
    Array.from(
      { length: count },
      (_, index) => [String.fromCharCode(0x41 + (index >> 4), 0x41 + (index & 0x0f)), index]
    )
  )

const numbersTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const letters = (count: number): ReadonlyArray<number> => Array.from({ length: count }, () => 0x78)

/** A text of less than 32 bytes. */
const textItem = (text: string): ReadonlyArray<number> => [0xa0 + Buffer.byteLength(text), ...Buffer.from(text)]

/** Items with a first byte from 0xc0 on, and what they are. */
const items: ReadonlyArray<readonly [item: ReadonlyArray<number>, value: unknown]> = [
  [[0xc0], null],
  [[0xc2], false],
  [[0xc3], true],
  [[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], 1.5],
  [[0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0], -Infinity],
  [[0xcc, 0xfe], 0xfe],
  [[0xcd, 0xfe, 0x01], 0xfe01],
  [[0xce, 0xfe, 0x01, 0x02, 0x03], 0xfe010203],
  [[0xd2, 0x80, 0x01, 0x02, 0x03], -0x7ffefdfd],
  [[0xd2, 0x7f, 0x01, 0x02, 0x03], 0x7f010203],
  [[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 1], -(2n ** 63n) + 1n],
  [[0xd4, 0, 0], undefined],
  [[0xd7, 0xff, ...zeros(7), 2], new Date(2000)],
  [[0xd7, 0xff, 0x3d, 0x09, 0x00, 0x00, ...zeros(3), 1], new Date(1256)],
  [[0xd9, 3, ...letters(3)], "xxx"],
  [[0xda, 1, 1, ...letters(0x101)], "x".repeat(0x101)],
  [[0xdb, 0, 0, 1, 2, ...letters(0x102)], "x".repeat(0x102)],
  [[0xdc, 1, 0, ...zeros(0x100)], Array.from({ length: 0x100 }, () => 0)],
  [[0xdd, 0, 0, 0, 2, 1, 2], [1, 2]],
  [[0xde, 0, 17, ...pairs(17)], recordOf(17)],
  [[0xdf, 0, 0, 0, 2, ...pairs(2)], recordOf(2)]
]

describe("the reader of plain values", () => {
  it.effect.prop("reads what the writer writes", { given: Schema.Json }, ({ given }) =>
    Effect.sync(() => {
      const value = structuredClone(given)
      const bytes = PlainWriter.write(PlainWriter.make({ plain: 1, structured: 5 }, RecordStructures.make()), value)
      if (bytes === undefined) return
      deepStrictEqual(attempt(Buffer.from(bytes), bytes.length), value)
      for (let end = 0; end < bytes.length; end++) assert.strictEqual(attempt(Buffer.from(bytes), end), refused)
    }), { arbitrary: { runs: 300 } })

  it("recognizes numbers, short lists and records by their first byte", () => {
    for (let first = 0; first < 0x80; first++) assert.strictEqual(read(first), first)
    for (let first = 0xe0; first < 0x100; first++) assert.strictEqual(read(first), first - 0x100)
    for (let count = 0; count < 16; count++) {
      deepStrictEqual(read(0x80 + count, ...pairs(count)), recordOf(count))
      deepStrictEqual(read(0x90 + count, ...numbersTo(count)), numbersTo(count))
    }
  })

  it("recognizes all other items by their first byte, and refuses bytes that are never written", () => {
    for (const [item, value] of items) {
      deepStrictEqual(read(...item), value)
      deepStrictEqual(read(0x92, ...item, ...item), [value, value])
    }
    const known = new Set(items.map(([[first]]) => first))
    for (let first = 0xc0; first < 0xe0; first++) {
      if (known.has(first)) continue
      for (let count = 0; count < 20; count++) {
        assert.strictEqual(read(first, ...zeros(count)), refused, `${first} and ${count} bytes`)
      }
    }
    for (let type = 0; type < 0x100; type++) {
      assert.strictEqual(read(0xd7, type, ...zeros(8)) === refused, type !== 0xff)
      assert.strictEqual(read(0xd4, type, 0) === refused, type !== 0)
      assert.strictEqual(read(0xd4, 0, type) === refused, type !== 0)
    }
  })

  it("refuses truncated bytes, and bytes with a rest", () => {
    for (const [item] of [...items, [[0x81, ...pairs(1)]], [[0x82, ...pairs(2)]], [[0xa3, ...letters(3)]]] as const) {
      for (let count = 0; count < item.length; count++) assert.strictEqual(read(...item.slice(0, count)), refused)
      assert.strictEqual(read(...item, 0), refused)
    }
  })

  it("reads text of every length, with and without characters outside ASCII at any position", () => {
    for (let length = 0; length < 40; length++) {
      const text = Array.from({ length }, (_, index) => String.fromCharCode(0x21 + index)).join("")
      for (const other of ["", "\u007f", "\u0080", "é", "語", "😀"]) {
        for (
          const given of [text + other, other + text, text.slice(0, length >> 1) + other + text.slice(length >> 1)]
        ) {
          const bytes = Buffer.from(given)
          assert.strictEqual(read(0xd9, bytes.length, ...bytes), given)
          if (bytes.length < 32) assert.strictEqual(read(0xa0 + bytes.length, ...bytes), given)
        }
      }
    }
  })

  it("reads each key correctly, also if it is similar to a key of the previous record", () => {
    const names = [
      "id",
      "if",
      "ie",
      "i",
      "identity",
      "identify",
      "id",
      "",
      "x".repeat(16),
      "x".repeat(17),
      "x".repeat(16)
    ]
    for (const name of names) deepStrictEqual(read(0x81, ...textItem(name), 7), { [name]: 7 })
    for (const [first, second] of names.flatMap((name) => names.map((other) => [name, other] as const))) {
      const record = [0x82, ...textItem(first), 1, ...textItem(second), 2]
      deepStrictEqual(
        read(0x92, ...record, ...record),
        [
          { [first]: 1, [second]: 2 },
          { [first]: 1, [second]: 2 }
        ].map((expected) => first === second ? { [first]: 2 } : expected)
      )
    }
    // The key that is likely ends where the bytes do.
    assert.deepStrictEqual(read(0x81, ...textItem("last"), 1), { last: 1 })
    assert.strictEqual(read(0x81, ...textItem("last")), refused)
  })

  it("does not confuse a key with one of the previous record", () => {
    for (const [before, key] of [["Ã©", "é"], ["é", "Ã©"], ["id", "id"]] as const) {
      deepStrictEqual(read(0x81, ...textItem(before), 1), { [before]: 1 })
      deepStrictEqual(read(0x81, ...textItem(key), 2), { [key]: 2 })
    }
    // No UTF-8: what stands for it is the same, whatever was read before.
    deepStrictEqual(read(0x81, ...textItem("é"), 1), { é: 1 })
    deepStrictEqual(read(0x81, 0xa1, 0xe9, 2), { "\ufffd": 2 })
    for (const first of [0x05, 0x25, 0x45, 0x85, 0xc5, 0xe5, 0xd9]) {
      assert.deepStrictEqual(read(0x81, 0xa5, ...Buffer.from("likes"), 1), { likes: 1 })
      assert.strictEqual(read(0x81, first, ...Buffer.from("likes"), 1), refused, String(first))
    }
  })

  it("refuses keys that are not text, or __proto__", () => {
    for (const key of [[0x01], [0xc0], [0x90], [0xc3], [0xd4, 0, 0]]) {
      assert.strictEqual(read(0x81, ...key, 1), refused)
      assert.strictEqual(read(0x82, ...pairs(1), ...key, 1), refused)
    }
    assert.strictEqual(read(0x81, 0xa9, ...Buffer.from("__proto__"), 0x80), refused)
  })

  it("accepts as many levels as are written, and no more", () => {
    for (const head of [[0x91], [0x81, 0xa1, 0x61], [0xdc, 0, 1], [0xdf, 0, 0, 0, 1, 0xa1, 0x61]]) {
      const levels = (count: number) => Array.from({ length: count }, () => head).flat()
      assert.notStrictEqual(read(...levels(maximumDepth), 0), refused)
      assert.strictEqual(read(...levels(maximumDepth + 1), 0), refused)
      assert.strictEqual(read(...levels(10_000), 0), refused)
    }
  })

  it("takes no memory for lengths that bytes only claim", () => {
    const before = process.memoryUsage().rss
    for (const first of [0xdb, 0xdd, 0xdf]) {
      assert.strictEqual(read(first, 0xff, 0xff, 0xff, 0xff, ...zeros(100)), refused)
      // In 32 bits these would be few.
      assert.strictEqual(read(first, 0x80, 0, 0, 1, ...zeros(100)), refused)
    }
    assert.isBelow(process.memoryUsage().rss - before, 200_000_000)
  })
})
