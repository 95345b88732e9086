/** The bytes of a record of a collection, with and without entries in indexes. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { entriesOf, type IndexEntry, join, nameOf, valueOf } from "../../src/internal/collection/collectionRecord.ts"
import { ByteString, fromBytes } from "../../src/Key.ts"

const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))

/** Bytes, at times more than a length of one byte can tell. */
const Bytes = Arbitrary.map(
  Arbitrary.all([Arbitrary.array(Arbitrary.schema(Byte), { maxLength: 6 }), Arbitrary.schema(Schema.Boolean)]),
  ([bytes, isLong]) => Uint8Array.from(isLong ? Array.from({ length: 300 }, (_, at) => bytes[at] ?? at % 256) : bytes)
)

const Entry = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.Literals(["a", "", "ä€😀", "x".repeat(255)])), Bytes]),
  ([index, key]): IndexEntry => [index, fromBytes(key)]
)

const Entries = Arbitrary.array(Entry, { maxLength: 4 })

/** The bytes of a value: it begins with 1 or 2. */
const ValueBytes = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.Literals([1, 2])), Bytes]),
  ([format, bytes]) => Uint8Array.of(format, ...bytes)
)

/** The same bytes in the middle of others, as the engine gives them. */
const inTheMiddle = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.from(Buffer.concat([Buffer.alloc(3, 4), bytes, Buffer.alloc(5, 1)])).subarray(3, 3 + bytes.length)

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

describe("a record", () => {
  it.prop(
    "decodes to its value and its entries, at any position in memory",
    { entries: Entries, value: ValueBytes },
    ({ entries, value }) => {
      for (const record of [join(entries, value), inTheMiddle(join(entries, value))]) {
        assert.strictEqual(hex(valueOf(record)), hex(value))
        assert.deepStrictEqual(entriesOf(record), entries)
      }
    }
  )

  it.prop("that is truncated gives its complete entries", { entries: Entries, value: ValueBytes }, ({
    entries,
    value
  }) => {
    const record = join(entries, value)
    let whole = 0
    for (let length = 0; length < record.length; length++) {
      const found = entriesOf(inTheMiddle(record.subarray(0, length)))
      assert.isAtLeast(found.length, whole)
      whole = found.length
      assert.deepStrictEqual(found, entries.slice(0, whole))
    }
  })

  it("without entries consists of its value", () => {
    const value = Uint8Array.of(1, 2, 3)
    assert.strictEqual(join([], value), value)
    assert.strictEqual(valueOf(value), value)
    assert.deepStrictEqual(entriesOf(value), [])
    for (const short of [Uint8Array.of(), Uint8Array.of(4), Uint8Array.of(4, 0, 0, 0)]) {
      assert.strictEqual(valueOf(short), short)
      assert.deepStrictEqual(entriesOf(short), [])
    }
  })

  it("whose entries claim more bytes than it has has no value", () => {
    const record = Uint8Array.of(4, 255, 255, 255, 255, 1, 0, 97, 1, 0, 98, 1)
    assert.strictEqual(valueOf(record).length, 0)
    assert.strictEqual(valueOf(Uint8Array.of(4, 0, 0, 0, 0)).length, 0)
    assert.deepStrictEqual(entriesOf(record), [["a", ByteString("b")]])
  })

  it("always has the same bytes", () => {
    const record = join([["é", ByteString("\xff\0")], ["b", ByteString("")]], Uint8Array.of(1, 7))
    assert.strictEqual(hex(record), "040d0000000200c3a90200ff0001006200000107")
    assert.strictEqual(nameOf(["a", ByteString("b")]), "a\0b")
  })
})
