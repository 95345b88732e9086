/** The merge of stored records and pending writes, against a sorted list. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import type { Bound, KeyRange, RangePart, RangeRequest } from "../src/Engine.ts"
import * as RangeReader from "../src/internal/rangeReader.ts"
import type { PendingWrite } from "../src/internal/writeBuffer.ts"
import { ByteString, fromBytes, toBytes } from "../src/Key.ts"
import * as Key from "../src/Key.ts"
import { afterPrefix, contains, toKeyRange } from "../src/Range.ts"
import { EngineFailure } from "../src/StoreError.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Few bytes, so that keys meet, and those at which an order may go wrong. */
const Byte = Schema.Literals([0x00, 0x01, 0x61, 0x7f, 0x80, 0xfe, 0xff])

const keyArbitrary = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Byte), { minLength: 1, maxLength: 3 }),
  (bytes) => fromBytes(Uint8Array.from(bytes))
)

const boundArbitrary = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.Boolean), keyArbitrary, Arbitrary.schema(Schema.Boolean)]),
  ([isOpen, key, inclusive]): Bound | undefined => isOpen ? undefined : { key, inclusive }
)

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a, "latin1"), Buffer.from(b, "latin1"))

const isIn = ({ from, to }: KeyRange, key: ByteString): boolean =>
  (from === undefined || byBytes(key, from.key) >= (from.inclusive ? 0 : 1)) &&
  (to === undefined || byBytes(key, to.key) <= (to.inclusive ? 0 : -1))

const bytes = (text: string): Uint8Array => Buffer.from(text)

/** An engine that gives a few records at a time. */
const makeEngine = (records: ReadonlyMap<ByteString, Uint8Array>, partSizes: ReadonlyArray<number>) => {
  const requests: Array<RangeRequest> = []
  const read = (request: RangeRequest): Result.Result<RangePart> => {
    const size = Math.min(partSizes[requests.length % partSizes.length] ?? 1, request.maxRecords)
    requests.push(request)
    const wanted = [...records]
      .filter(([key]) => isIn(request, key))
      .toSorted(([a], [b]) => request.reverse ? byBytes(b, a) : byBytes(a, b))
      .map(([key, value]) => [key, request.values ? value : new Uint8Array(0)] as const)
    // Like the engine: it does not look whether there is more behind the last one it was asked for
    return Result.succeed({ records: wanted.slice(0, size), isLast: wanted.length < size })
  }
  return { read, requests }
}

const readAll = (read: RangeReader.RangeReader) => {
  const parts: Array<ReadonlyArray<RangeReader.KeyAndBytes>> = []
  for (let part = read();; part = read()) {
    const records = Result.getOrThrow(part)
    if (records === undefined) return parts
    parts.push(records)
  }
}

const shown = (records: Iterable<RangeReader.KeyAndBytes>): ReadonlyArray<readonly [string, string]> =>
  Array.from(records, ([key, value]) => [Buffer.from(toBytes(key)).toString("hex"), Buffer.from(value).toString()])

const scenario = {
  stored: Arbitrary.array(keyArbitrary, { maxLength: 25 }),
  pending: Arbitrary.array(Arbitrary.all([keyArbitrary, Arbitrary.schema(Schema.Boolean)]), { maxLength: 15 }),
  from: boundArbitrary,
  to: boundArbitrary,
  reverse: Schema.Boolean,
  values: Schema.Boolean,
  partSizes: Schema.Array(between(1, 5)).check(Schema.isBetweenLength(1, 4))
}

describe("a range reader", () => {
  it.effect.prop(
    "gives stored records and pending writes as one sorted list, each key once",
    scenario,
    ({ from, partSizes, pending, reverse, stored, to, values }) =>
      Effect.sync(() => {
        const records = new Map(stored.map((key) => [key, bytes("stored")]))
        const writes = new Map(pending.map(([key, isDeletion]) => [key, isDeletion ? null : bytes("pending")]))
        const { read } = makeEngine(records, partSizes)
        const reader = RangeReader.make({ read, pending: () => writes }, { from, to, reverse, values })
        const parts = readAll(reader)
        const expected = [...new Map<ByteString, PendingWrite>([...records, ...writes])]
          .flatMap(([key, value]) => value !== null && isIn({ from, to }, key) ? [[key, value] as const] : [])
          .toSorted(([a], [b]) => reverse ? byBytes(b, a) : byBytes(a, b))
        const given = shown(parts.flat())
        assert.deepStrictEqual(given.map(([key]) => key), shown(expected).map(([key]) => key))
        if (values) assert.deepStrictEqual(given, shown(expected))
        // What has ended has ended
        assert.deepStrictEqual(reader(), Result.succeed(undefined))
      }),
    { arbitrary: { runs: 400, size: 30, seed: "merge" } }
  )

  it.effect.prop(
    "that is written beside gives keys in order and at most once, and every key that nobody touched",
    {
      ...scenario,
      changes: Arbitrary.array(
        Arbitrary.all([
          keyArbitrary,
          Arbitrary.schema(Schema.Literals(["put", "delete", "commit"])),
          Arbitrary.schema(between(0, 2))
        ]),
        { minLength: 5, maxLength: 20 }
      )
    },
    ({ changes, from, partSizes, pending, reverse, stored, to }) =>
      Effect.sync(() => {
        const records = new Map(stored.map((key) => [key, bytes("stored")]))
        const writes = new Map<ByteString, PendingWrite>(
          pending.map(([key, isDeletion]) => [key, isDeletion ? null : bytes("pending")])
        )
        const commit = () => {
          for (const [key, value] of writes) {
            if (value === null) records.delete(key)
            else records.set(key, value)
          }
          writes.clear()
        }
        const state = () => new Map<ByteString, PendingWrite>([...records, ...writes])
        const before = state()
        const touched = new Set(changes.filter(([, change]) => change !== "commit").map(([key]) => key))
        const source = { read: makeEngine(records, partSizes).read, pending: () => writes }
        const reader = RangeReader.make(source, { from, to, reverse, values: true })
        const given: Array<ByteString> = []
        const rest = [...changes]
        for (let part = reader();; part = reader()) {
          const read = Result.getOrThrow(part)
          if (read === undefined) break
          for (const [key] of read) {
            assert.notStrictEqual(state().get(key) ?? null, null, "a key that is not there")
            given.push(key)
          }
          const [, , count = 0] = rest[0] ?? []
          for (const [key, change] of rest.splice(0, count + 1)) {
            if (change === "commit") commit()
            else writes.set(key, change === "put" ? bytes("changed") : null)
          }
        }
        assert.deepStrictEqual(given, [...new Set(given)].toSorted(reverse ? (a, b) => byBytes(b, a) : byBytes))
        for (const [key, value] of before) {
          if (!touched.has(key)) assert.strictEqual(given.includes(key), value !== null && isIn({ from, to }, key))
        }
        assert.isTrue(given.every((key) => before.has(key) || touched.has(key)))
      }),
    { arbitrary: { runs: 400, size: 30, seed: "written beside" } }
  )

  it("asks for no more than it needs: bounded parts, no values when only keys are wanted", () => {
    const { read, requests } = makeEngine(new Map([[ByteString("a"), bytes("stored")]]), [1])
    readAll(
      RangeReader.make({ read, pending: () => [] }, { from: undefined, to: undefined, reverse: false, values: false })
    )
    assert.isAbove(requests.length, 1)
    for (const { maxBytes, maxRecords, values } of requests) {
      assert.isFalse(values)
      assert.isAtMost(maxRecords, 1000)
      assert.isAtMost(maxBytes, 1024 * 1024)
    }
  })

  it("hands on what the engine fails with, and goes on from there", () => {
    const failure = new EngineFailure({ operation: "read", code: 5, detail: "Input/output error", isRetryable: true })
    const { read } = makeEngine(new Map(["a", "b", "c"].map((key) => [ByteString(key), bytes(key)])), [1])
    let calls = 0
    const reader = RangeReader.make(
      { read: (request) => ++calls === 2 ? Result.fail(failure) : read(request), pending: () => [] },
      { from: undefined, to: undefined, reverse: false, values: true }
    )
    assert.deepStrictEqual(shown(Result.getOrThrow(reader()) ?? []), [["61", "a"]])
    assert.deepStrictEqual(reader(), Result.fail(failure))
    assert.deepStrictEqual(shown(readAll(reader).flat()), [["62", "b"], ["63", "c"]])
  })
})

describe("the end of a prefix", () => {
  it.effect.prop(
    "lies behind all that begin with it, and before everything else behind it",
    { prefix: keyArbitrary, key: keyArbitrary, more: keyArbitrary },
    ({ key, more, prefix }) =>
      Effect.sync(() => {
        const range: KeyRange = { from: { key: prefix, inclusive: true }, to: afterPrefix(prefix) }
        assert.strictEqual(contains(range, key), key.startsWith(prefix))
        assert.isTrue(contains(range, prefix))
        assert.isTrue(contains(range, ByteString(prefix + more)))
        assert.isTrue(contains(range, ByteString(prefix.padEnd(1978, "\u00ff"))))
      }),
    { arbitrary: { runs: 500, seed: "prefix" } }
  )

  it("is none where all its bytes are 0xFF", () => {
    for (const length of [1, 2, 1978]) assert.isUndefined(afterPrefix(ByteString("\u00ff".repeat(length))))
    assert.deepStrictEqual(afterPrefix(ByteString("a\u00ff\u00ff")), { key: ByteString("b"), inclusive: false })
    assert.deepStrictEqual(afterPrefix(ByteString("\u0000")), { key: ByteString("\u0001"), inclusive: false })
  })
})

describe("a range of keys", () => {
  const keys = Key.make({ encoding: "binary" })

  it.effect.prop(
    "holds what all of its ends and its prefix let through",
    {
      ends: Arbitrary.array(
        Arbitrary.all([
          Arbitrary.schema(Schema.Literals(["gt", "gte", "lt", "lte", "prefix"])),
          keyArbitrary
        ]),
        { maxLength: 5 }
      ),
      key: keyArbitrary
    },
    ({ ends, key }) =>
      Effect.sync(() => {
        const given = new Map(ends)
        const range = Object.fromEntries(Array.from(given, ([end, value]) => [end, toBytes(value)]))
        const holds = (end: "gt" | "gte" | "lt" | "lte" | "prefix", check: (end: ByteString) => boolean): boolean => {
          const value = given.get(end)
          return value === undefined || check(value)
        }
        assert.strictEqual(
          contains(Result.getOrThrow(toKeyRange(range, keys)), key),
          holds("gt", (end) => byBytes(key, end) > 0) &&
            holds("gte", (end) => byBytes(key, end) >= 0) &&
            holds("lt", (end) => byBytes(key, end) < 0) &&
            holds("lte", (end) => byBytes(key, end) <= 0) &&
            holds("prefix", (prefix) => key.startsWith(prefix))
        )
      }),
    { arbitrary: { runs: 1000, seed: "ends" } }
  )
})
