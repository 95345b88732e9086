/** Which records of a store a range gives, and in which order. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { Store, type StoreOptions, type StoreService } from "../../../src/index.ts"
import * as SpyEngine from "../../support/engines/spyEngine.ts"
import { start, temporaryFolder, withStore } from "../../support/harness.ts"
import { inRange, type TestKey, type TestRange } from "../../support/streaming.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const collect = Stream.runCollect

const hex = (key: Uint8Array): string => Buffer.from(key).toString("hex")

const collectBytes = (store: StoreService, range: TestRange = {}) =>
  Effect.map(collect(store.keys({ ...range, decodeKeys: false })), (keys) => keys.map(hex))

// -----------------------------------------------------------------------------
// all options together
// -----------------------------------------------------------------------------

/** Characters and bytes at which an order or a prefix may go wrong. */
const Character = Schema.Literals(["\0", "a", "b", "\u007f", "é", "ÿ", "\uffff", "\u{10000}", "\u{10ffff}"])
const Byte = Schema.Literals([0x00, 0x01, 0x61, 0x62, 0x7f, 0x80, 0xfe, 0xff])

const textKey: Arbitrary.Arbitrary<TestKey> = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Character), { minLength: 1, maxLength: 3 }),
  (characters) => characters.join("")
)

const byteKey: Arbitrary.Arbitrary<TestKey> = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Byte), { minLength: 1, maxLength: 3 }),
  (bytes) => Uint8Array.from(bytes)
)

const countArbitrary = Arbitrary.schema(Schema.UndefinedOr(between(0, 8)))

const scenarioOf = (key: Arbitrary.Arbitrary<TestKey>) => {
  const writes = Arbitrary.array(Arbitrary.all([key, Arbitrary.schema(Schema.Boolean)]), { maxLength: 15 })
  const range = Arbitrary.map(
    Arbitrary.all([
      Arbitrary.array(
        Arbitrary.all([Arbitrary.schema(Schema.Literals(["prefix", "gt", "gte", "lt", "lte"])), key]),
        { maxLength: 3 }
      ),
      Arbitrary.schema(Schema.UndefinedOr(Schema.Boolean)),
      countArbitrary,
      countArbitrary
    ]),
    ([ends, reverse, offset, limit]): TestRange => ({
      ...Object.fromEntries(ends),
      reverse,
      ...(offset === undefined ? {} : { offset }),
      ...(limit === undefined ? {} : { limit })
    })
  )
  return {
    stored: writes,
    committing: writes,
    filling: writes,
    ranges: Arbitrary.array(range, { minLength: 10, maxLength: 20 })
  }
}

type Writes = ReadonlyArray<readonly [TestKey, boolean]>

const agrees = (encoding: "utf8" | "utf16le" | "binary", options: Omit<StoreOptions, "path"> = {}) =>
(scenario: {
  readonly stored: Writes
  readonly committing: Writes
  readonly filling: Writes
  readonly ranges: ReadonlyArray<TestRange>
}) =>
  Effect.gen(function*() {
    const text = encoding === "binary" ? "utf8" : encoding
    const { spy, store } = yield* SpyEngine.open({ ...options, keyEncoding: encoding, durability: "noSync" })
    const model = new Map<string, string>()
    const write = Effect.fnUntraced(function*(writes: Writes, name: string) {
      for (const [key, isDeletion] of writes) {
        const bytes = typeof key === "string" ? Buffer.from(key, text) : key
        if (isDeletion) model.delete(hex(bytes))
        else model.set(hex(bytes), `${name} ${hex(bytes)}`)
        yield* isDeletion ? store.delete(key) : store.put(key, `${name} ${hex(bytes)}`)
      }
    })
    yield* write(scenario.stored, "stored")
    yield* store.flush
    const commit = yield* spy.hold("commit")
    yield* write(scenario.committing, "committing")
    yield* start(store.flush)
    yield* write(scenario.filling, "filling")

    const records = Array.from(model, ([key, value]) => [Buffer.from(key, "hex"), value] as const)
    for (const range of scenario.ranges) {
      const expected = inRange(records, range, text)
      for (const snapshot of [true, false]) {
        const given = { ...range, snapshot }
        assert.deepStrictEqual(yield* collectBytes(store, given), expected.map(([key]) => hex(key)))
        assert.deepStrictEqual(yield* collect(store.values(given)), expected.map(([, value]) => value))
        if (encoding === "binary") {
          const entries = yield* collect(store.entries({ ...given, decodeKeys: false }))
          assert.deepStrictEqual(
            entries.map(([key, value]) => [hex(key), value]),
            expected.map(([key, value]) => [hex(key), value])
          )
        } else {
          const entries = yield* collect(store.entries(given))
          assert.deepStrictEqual(entries, expected.map(([key, value]) => [Buffer.from(key).toString(text), value]))
          assert.deepStrictEqual(yield* collect(store.keys(given)), entries.map(([key]) => key))
        }
      }
      assert.strictEqual(yield* store.count(range), expected.length)
    }
    yield* commit.release
  }).pipe(Effect.scoped)

const keyOf = (index: number): string => `${index}`.padStart(5, "0")

const valueOf = (index: number, name: string): string => `${name} ${index} ${"x".repeat((index * 37) % 3000)}`

const arbitrary = { runs: 12, size: 30, seed: "ranges" }

describe("a range gives the same as a sorted list, pending writes and deletions included", () => {
  it.effect.prop("of text in UTF-8", scenarioOf(textKey), agrees("utf8"), { arbitrary })

  it.effect.prop("of text in UTF-16", scenarioOf(textKey), agrees("utf16le"), { arbitrary })

  it.effect.prop("of bytes", scenarioOf(byteKey), agrees("binary"), { arbitrary })

  it.effect.prop(
    "in an encrypted store",
    scenarioOf(byteKey),
    agrees("binary", { encryptionKey: Redacted.make("0123456789abcdef0123456789abcdef") }),
    { arbitrary: { ...arbitrary, runs: 4 } }
  )

  it.effect.each<{ readonly what: string; readonly options: Partial<StoreOptions> }>([
    { what: "a plain store", options: {} },
    { what: "a compressed store", options: { compression: true } }
  ])("of many parts, in $what", ({ options }) =>
    Effect.gen(function*() {
      const store = yield* Store.make({ ...options, path: yield* temporaryFolder, batchSize: 10_000 })
      const model = new Map<string, string>()
      for (let index = 0; index < 3000; index += 2) model.set(keyOf(index), valueOf(index, "stored"))
      yield* store.putMany(model)
      for (let index = 0; index < 3000; index += 7) {
        if (index % 3 === 0) model.delete(keyOf(index))
        else model.set(keyOf(index), valueOf(index, "pending"))
        yield* index % 3 === 0 ? store.delete(keyOf(index)) : store.put(keyOf(index), valueOf(index, "pending"))
      }
      const records = Array.from(model, ([key, value]) => [Buffer.from(key), value] as const)
      const ranges: ReadonlyArray<TestRange> = [
        {},
        { reverse: true },
        { gt: "00300", lte: "02100", offset: 500, limit: 300 },
        { gt: "00300", lte: "02100", offset: 500, limit: 300, reverse: true },
        { offset: 256, limit: 256 },
        { offset: 255, limit: 257, reverse: true },
        { prefix: "01", limit: 256 },
        { prefix: "01", offset: 430, reverse: true }
      ]
      for (const range of ranges) {
        for (const snapshot of [true, false]) {
          assert.deepStrictEqual(
            yield* collect(store.entries({ ...range, snapshot })),
            inRange(records, range).map(([key, value]) => [Buffer.from(key).toString(), value] as const)
          )
        }
        assert.strictEqual(yield* store.count(range), inRange(records, range).length)
      }
    }))
})

// -----------------------------------------------------------------------------
// each option
// -----------------------------------------------------------------------------

const binary = Store.layerTemp({ keyEncoding: "binary" })

describe("a prefix", () => {
  it.effect("finds the keys that begin with it, for any bytes", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const keys = [
        "00",
        "0000",
        "00ff",
        "01",
        "61",
        "61ff",
        "61ffff",
        "62",
        "fe",
        "feff",
        "ff",
        "ff00",
        "ffff",
        "ffff00"
      ]
      const long = "ff".repeat(1978)
      yield* store.putMany([...keys, long].map((key) => [Buffer.from(key, "hex"), key] as const))
      for (const prefix of [...keys, "61ffffff", long, "ff".repeat(1977)]) {
        const expected = [...keys, long].filter((key) => key.startsWith(prefix)).toSorted()
        assert.deepStrictEqual(yield* collectBytes(store, { prefix: Buffer.from(prefix, "hex") }), expected, prefix)
        assert.deepStrictEqual(
          yield* collectBytes(store, { prefix: Buffer.from(prefix, "hex"), reverse: true }),
          expected.toReversed(),
          prefix
        )
      }
    }).pipe(Effect.provide(binary)))

  it.effect("of text finds astral characters", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany({ "a": 1, "a\uffff": 2, "a\u{10ffff}": 3, "a😀": 4, "b": 5, "😀": 6, "😀x": 7, "😁": 8 })
      assert.deepStrictEqual(yield* collect(store.keys({ prefix: "a" })), ["a", "a\uffff", "a😀", "a\u{10ffff}"])
      assert.deepStrictEqual(yield* collect(store.keys({ prefix: "😀" })), ["😀", "😀x"])
      assert.deepStrictEqual(yield* collect(store.keys({ prefix: "\u{10ffff}" })), [])
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect.each(["utf8", "binary"] as const)(
    "that is empty selects all keys (%s)",
    (keyEncoding) =>
      Effect.gen(function*() {
        const store = yield* Store.make({ path: yield* temporaryFolder, keyEncoding })
        yield* store.putMany([[Uint8Array.of(0), 1], [Uint8Array.of(0xff), 2]])
        assert.deepStrictEqual(yield* collectBytes(store, { prefix: "" }), ["00", "ff"])
        assert.deepStrictEqual(yield* collectBytes(store, { prefix: new Uint8Array(0) }), ["00", "ff"])
      })
  )
})

const Tag = Schema.Struct({ _tag: Schema.String, reason: Schema.optional(Schema.Struct({ _tag: Schema.String })) })

const failureOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(effect), (error) => {
    const { _tag, reason } = Schema.decodeUnknownSync(Tag)(error)
    return reason === undefined ? _tag : `${_tag} ${reason._tag}`
  })

describe("an end of a range", () => {
  it.effect("must be a valid key, and otherwise the stream fails before its first element", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany({ a: 1, b: 2 })
      const bad = ["", "\ud800", "k".repeat(1979)]
      const reasons = ["KeyEncoding Empty", "KeyEncoding LoneSurrogate", "KeyEncoding TooLong"]
      for (const [index, key] of bad.entries()) {
        for (const end of ["gt", "gte", "lt", "lte", "prefix"] as const) {
          if (end === "prefix" && key === "") continue
          const range = { [end]: key }
          const calls = [
            Stream.runDrain(store.keys(range)),
            Stream.runDrain(store.values({ ...range, limit: 0 })),
            Stream.runDrain(store.entries({ ...range, snapshot: false })),
            store.count(range),
            store.deleteRange(range)
          ]
          for (const call of calls) assert.strictEqual(yield* failureOf<unknown, unknown>(call), reasons[index], end)
        }
      }
      assert.strictEqual(yield* store.size, 2)
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("is encoded like a key", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path, keyNormalization: "NFC" }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany({ "caf\u00e9 1": 1, "caf\u00e9 2": 2, "cafe": 3 })
          assert.strictEqual(yield* store.count({ prefix: "cafe\u0301" }), 2)
          assert.deepStrictEqual(yield* collect(store.keys({ gt: "cafe\u0301 1" })), ["caf\u00e9 2"])
        }))
      yield* withStore({ path, keyEncoding: "binary" }, (store) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* failureOf(store.count({ gt: "cafe" })), "KeyEncoding StringNotAllowed")
          assert.strictEqual(yield* store.count({ gt: Buffer.from("cafe") }), 2)
        }))
    }))

  it.effect("may be a missing key, an existing key, or on the wrong side of the other end", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany({ b: 1, d: 2, f: 3 })
      const expected: ReadonlyArray<readonly [TestRange, string]> = [
        [{ gt: "a", lt: "z" }, "bdf"],
        [{ gt: "b", lt: "f" }, "d"],
        [{ gte: "b", lte: "f" }, "bdf"],
        [{ gte: "c", lte: "e" }, "d"],
        [{ gt: "b", gte: "b" }, "df"],
        [{ gt: "a", gte: "d", lt: "z", lte: "d" }, "d"],
        [{ gte: "d", lte: "d" }, "d"],
        [{ gt: "d", lte: "d" }, ""],
        [{ gt: "f" }, ""],
        [{ lt: "b" }, ""],
        [{ gt: "e", lt: "c" }, ""],
        [{ gte: "f", lte: "b" }, ""],
        [{ prefix: "d", gt: "d" }, ""],
        [{ prefix: "d", lte: "d" }, "d"]
      ]
      for (const [range, keys] of expected) {
        assert.strictEqual((yield* collect(store.keys(range))).join(""), keys)
        assert.strictEqual((yield* collect(store.keys({ ...range, reverse: true }))).toReversed().join(""), keys)
      }
    }).pipe(Effect.provide(Store.layerTemp())))
})
