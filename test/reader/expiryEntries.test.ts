/** The bytes of records that expire, and of the entries that say when. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import * as CollectionRecord from "../../src/internal/collection/collectionRecord.ts"
import * as ExpiryEntries from "../../src/internal/reader/expiryEntries.ts"
import * as RecordLayout from "../../src/internal/reader/recordLayout.ts"
import * as ExpiringValue from "../../src/internal/value/expiringValue.ts"
import * as ValueCodec from "../../src/internal/value/valueCodec.ts"
import { ByteString } from "../../src/Key.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

describe("a value that expires", () => {
  it("begins with 6 and the time, which earlier versions refuse", () => {
    const codec = ValueCodec.make()
    const value = Result.getOrThrow(ValueCodec.encode(codec, "a"))
    const bytes = ExpiringValue.join(0x0102_0304_0506, value)
    assert.strictEqual(hex(bytes), `060000010203040506${hex(value)}`)
    assert.strictEqual(RecordLayout.timeOf(bytes), 0x0102_0304_0506)
    assert.strictEqual(Result.getOrThrow(ValueCodec.decode(codec, bytes)), "a")
    assert.isUndefined(RecordLayout.timeOf(value))
  })

  it("comes after the index entries of its record, so that earlier versions can read these", () => {
    const entries: ReadonlyArray<CollectionRecord.IndexEntry> = [["byAge", ByteString("x")]]
    const record = CollectionRecord.join(entries, ExpiringValue.join(5, Uint8Array.of(1, 7)))
    assert.strictEqual(record[0], 4)
    assert.deepStrictEqual(RecordLayout.entriesOf(record), entries)
    assert.strictEqual(RecordLayout.timeOf(record), 5)
    assert.isTrue(RecordLayout.isExpired(record, 5))
    assert.isFalse(RecordLayout.isExpired(record, 4))
    assert.strictEqual(hex(RecordLayout.valueOf(record)), "0600000000000000050107")
  })

  it("that is truncated is refused", () => {
    const codec = ValueCodec.make({ checksums: true })
    const bytes = ExpiringValue.join(5, Result.getOrThrow(ValueCodec.encode(codec, { a: 1 })))
    for (const length of bytes.keys()) {
      assert.isTrue(Result.isFailure(ValueCodec.decode(codec, bytes, length)), `${length}`)
    }
  })
})

describe("the entries of the database `expiry`", () => {
  const times = [0, 1, 255, 256, 2 ** 32 - 1, 2 ** 32, 2 ** 41, 8.64e15]

  it("are sorted by time, and name the record", () => {
    const keys = times.map((time) => ExpiryEntries.toWrite(time, "collection/é", ByteString("a\0b"), 1978))
    assert.deepStrictEqual(keys.map(([, key]) => key).toSorted(), keys.map(([, key]) => key))
    for (const [at, [, key, value]] of keys.entries()) {
      const entry = ExpiryEntries.parse([key, value ?? new Uint8Array()])
      assert.deepStrictEqual(entry, { entry: key, time: times[at], database: "collection/é", key: ByteString("a\0b") })
    }
  })

  it("have the address as their value if it is too long for a key", () => {
    for (const length of [1961, 1962, 1963, 1978]) {
      const long = ByteString("k".repeat(length))
      const [, key, value] = ExpiryEntries.toWrite(7, "records", long, 1978)
      assert.isAtMost(key.length, 1978)
      assert.deepInclude(ExpiryEntries.parse([key, value ?? new Uint8Array()]), {
        time: 7,
        database: "records",
        key: long
      })
      assert.strictEqual((value?.length ?? 0) > 0, length > 1962)
    }
  })

  it("that are damaged are ignored", () => {
    for (const key of ["", "\0", "12345678", "12345678abc"]) {
      assert.isUndefined(ExpiryEntries.parse([ByteString(key), new Uint8Array()]))
    }
  })
})
