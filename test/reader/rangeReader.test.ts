/** Stored records and the writes in front of them as one, against a simple model. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import type { KeyRange, RangePart, RangeRequest, Reader } from "../../src/Engine.ts"
import { freeze, fromWrites, type PendingWrite, WriteSet } from "../../src/internal/buffer/writeSet.ts"
import { over } from "../../src/internal/reader/overlay.ts"
import * as RangeReader from "../../src/internal/reader/rangeReader.ts"
import * as Settled from "../../src/internal/settled.ts"
import { ByteString, toBytes } from "../../src/Key.ts"
import { EngineFailure } from "../../src/StoreError.ts"
import { valueOf } from "../support/environment.ts"
import { boundArbitrary, byBytes, keyArbitrary } from "../support/fixtures/byteKeys.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const isIn = ({ from, to }: KeyRange, key: ByteString): boolean =>
  (from === undefined || byBytes(key, from.key) >= (from.inclusive ? 0 : 1)) &&
  (to === undefined || byBytes(key, to.key) <= (to.inclusive ? 0 : -1))

const bytes = (text: string): Uint8Array => Buffer.from(text)

const database = "records"

const failure = new EngineFailure({ operation: "read", code: 5, detail: "Input/output error", isRetryable: true })

const everything: KeyRange = { from: undefined, to: undefined }

/** The rest of a range after a key. */
const restAfter = ({ from, reverse, to }: RangeRequest, key: ByteString): KeyRange => {
  const bound = { key, inclusive: false }
  return reverse ? { from, to: bound } : { from: bound, to }
}

/** An engine that has one database, of which it gives a few records at a time. */
const makeEngine = (records: ReadonlyMap<ByteString, Uint8Array>, partSizes: ReadonlyArray<number>) => {
  const requests: Array<RangeRequest> = []
  const read = (name: string, request: RangeRequest): Exit.Exit<RangePart> => {
    if (name !== database) return Exit.succeed({ records: [], rest: undefined })
    const size = Math.min(partSizes[requests.length % partSizes.length] ?? 1, request.maxRecords)
    requests.push(request)
    const wanted = [...records]
      .filter(([key]) => isIn(request, key))
      .toSorted(([a], [b]) => request.reverse ? byBytes(b, a) : byBytes(a, b))
      .map(([key, value]) => [key, request.values ? value : new Uint8Array(0)] as const)
    // Like the engine: it does not look whether there are records after the last requested one
    const given = wanted.slice(0, size)
    const last = given.at(-1)
    const rest = last === undefined || wanted.length < size ? undefined : restAfter(request, last[0])
    return Exit.succeed({ records: given, rest })
  }
  const valueIn = <A>(name: string, key: ByteString, decode: (value: Uint8Array) => A): A | undefined => {
    const value = name === database ? records.get(key) : undefined
    return value === undefined ? undefined : decode(value)
  }
  const reader: Reader = {
    get: (name, key, decode) => Exit.succeed(valueIn(name, key, decode)),
    getMany: (name, keys, decode) =>
      Exit.succeed(keys.map((key, at) => valueIn(name, key, (value) => decode(value, at)))),
    has: (name, key) => Exit.succeed(name === database && records.has(key)),
    read,
    count: (name) => Exit.succeed(name === database ? records.size : 0)
  }
  return { reader, requests }
}

const readPart = (read: RangeReader.RangeReader) => valueOf(Settled.exitOf(read()))

const itself = (value: Uint8Array): Uint8Array => value

const readAll = (read: RangeReader.RangeReader) => {
  const parts: Array<RangeReader.Part> = []
  for (;;) {
    const records = readPart(read)
    if (records === undefined) return parts
    parts.push(records)
  }
}

const shown = (records: Iterable<RangeReader.Part[number]>): ReadonlyArray<readonly [string, string]> =>
  Array.from(records, ([key, value]) => [Buffer.from(toBytes(key)).toString("hex"), Buffer.from(value).toString()])

const setOf = (writes: Iterable<readonly [key: ByteString, write: PendingWrite]>): WriteSet =>
  fromWrites(Array.from(writes, ([key, write]) => [database, key, write]))

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
    ({ from, partSizes, pending: written, reverse, stored, to, values }) =>
      Effect.sync(() => {
        const records = new Map(stored.map((key) => [key, bytes("stored")]))
        const writes = new Map(written.map(([key, isDeletion]) => [key, isDeletion ? null : bytes("pending")]))
        const engine = makeEngine(records, partSizes)
        const pending = over(setOf(writes), engine.reader)
        const reader = RangeReader.make(pending, database, { from, to, reverse, values })
        const parts = readAll(reader)
        const expected = [...new Map<ByteString, PendingWrite>([...records, ...writes])]
          .flatMap(([key, value]) => value !== null && isIn({ from, to }, key) ? [[key, value] as const] : [])
          .toSorted(([a], [b]) => reverse ? byBytes(b, a) : byBytes(a, b))
        const given = shown(parts.flat())
        assert.deepStrictEqual(given.map(([key]) => key), shown(expected).map(([key]) => key))
        if (values) assert.deepStrictEqual(given, shown(expected))
        // What has ended has ended
        assert.deepStrictEqual(reader(), Exit.succeed(undefined))
      }),
    { arbitrary: { runs: 400, size: 30, seed: "merge" } }
  )

  it.effect.prop(
    "during concurrent writes gives keys in order and at most once, and every unchanged key",
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
        const writes = setOf(pending.map(([key, isDeletion]) => [key, isDeletion ? null : bytes("pending")]))
        const commit = () => {
          for (const [key, value] of writes.entriesOf(database)) {
            if (value === null) records.delete(key)
            else records.set(key, value)
          }
          writes.removeAll(database)
        }
        const state = () => new Map<ByteString, PendingWrite>([...records, ...writes.entriesOf(database)])
        const before = state()
        const touched = new Set(changes.filter(([, change]) => change !== "commit").map(([key]) => key))
        const source = over(writes, makeEngine(records, partSizes).reader)
        const reader = RangeReader.make(source, database, { from, to, reverse, values: true })
        const given: Array<ByteString> = []
        const rest = [...changes]
        for (;;) {
          const read = readPart(reader)
          if (read === undefined) break
          for (const [key] of read) {
            assert.notStrictEqual(state().get(key) ?? null, null, "a key that is not there")
            given.push(key)
          }
          const [, , count = 0] = rest[0] ?? []
          for (const [key, change] of rest.splice(0, count + 1)) {
            if (change === "commit") commit()
            else writes.set(database, key, change === "put" ? bytes("changed") : null)
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

  it("gives many writes between two records in parts, each once", () => {
    const { reader } = makeEngine(new Map([[ByteString("a"), bytes("stored")], [ByteString("z"), bytes("stored")]]), [
      9
    ])
    const keys = Array.from({ length: 1000 }, (_, index) => ByteString(`key ${String(index).padStart(4, "0")}`))
    const pending = over(setOf(keys.map((key) => [key, bytes("pending")])), reader)
    const parts = readAll(RangeReader.make(pending, database, { ...everything, reverse: false, values: true }))
    assert.isAtLeast(parts.length, 4)
    for (const part of parts) assert.isAtMost(part.length, 256)
    assert.deepStrictEqual(parts.flat().map(([key]) => key), [ByteString("a"), ...keys, ByteString("z")])
  })

  it("reads bounded parts, and no values if only keys are requested", () => {
    const { reader, requests } = makeEngine(new Map([[ByteString("a"), bytes("stored")]]), [1])
    readAll(RangeReader.make(reader, database, { ...everything, reverse: false, values: false }))
    assert.isAbove(requests.length, 1)
    for (const { maxBytes, maxRecords, values } of requests) {
      assert.isFalse(values)
      assert.isAtMost(maxRecords, 1000)
      assert.isAtMost(maxBytes, 1024 * 1024)
      assert.isAtLeast(maxRecords, 100)
      assert.isAtLeast(maxBytes, 64 * 1024)
    }
  })

  it("reads only the requested records, and whole parts if deletions hide records", () => {
    const keys = Array.from({ length: 600 }, (_, index) => ByteString(`key ${String(index).padStart(4, "0")}`))
    const requests: Array<number> = []
    const engine = makeEngine(new Map(keys.map((key) => [key, bytes("stored")])), [1000])
    const spied: Pick<Reader, "read"> = {
      read: (name, request) => {
        requests.push(request.maxRecords)
        return engine.reader.read(name, request)
      }
    }
    const wanting = { ...everything, reverse: false, values: true, wanted: () => 2 }
    assert.strictEqual(readPart(RangeReader.make(spied, database, wanting))?.length, 2)
    assert.deepStrictEqual(requests.splice(0), [2])
    const hidden = over(setOf(keys.slice(0, 500).map((key) => [key, null])), { ...engine.reader, ...spied })
    const reader = RangeReader.make(hidden, database, wanting)
    let found: RangeReader.Part = []
    while (found.length === 0) found = readPart(reader) ?? assert.fail("nothing was found")
    assert.strictEqual(found[0]?.[0], keys[500])
    assert.deepStrictEqual(requests, [2, 256, 256])
  })

  it("passes on the error of the engine, and can continue from there", () => {
    const engine = makeEngine(new Map(["a", "b", "c"].map((key) => [ByteString(key), bytes(key)])), [1])
    let calls = 0
    const reader = RangeReader.make(
      {
        read: (name, request) => ++calls === 2 ? Exit.fail(failure) : engine.reader.read(name, request)
      },
      database,
      { ...everything, reverse: false, values: true }
    )
    assert.deepStrictEqual(shown(readPart(reader) ?? []), [["61", "a"]])
    assert.deepStrictEqual(reader(), Exit.fail(failure))
    assert.deepStrictEqual(shown(readAll(reader).flat()), [["62", "b"], ["63", "c"]])
  })
})

const changeArbitrary = Arbitrary.all([
  keyArbitrary,
  Arbitrary.schema(Schema.Literals(["put", "put", "delete", "clear"]))
])

const changesArbitrary = Arbitrary.array(changeArbitrary, { maxLength: 12 })

const applyTo =
  (set: WriteSet, model: Map<ByteString, Uint8Array>, name: string) =>
  ([key, change]: readonly [ByteString, "put" | "delete" | "clear"]): void => {
    if (change === "clear") {
      set.clear(database)
      model.clear()
    } else {
      const value = change === "put" ? bytes(name) : null
      set.set(database, key, value)
      if (value === null) model.delete(key)
      else model.set(key, value)
    }
  }

const assertReads = (
  reader: Reader,
  model: ReadonlyMap<ByteString, Uint8Array>,
  keys: ReadonlyArray<ByteString>,
  options: RangeReader.ReadOptions
): void => {
  for (const key of keys) {
    assert.deepStrictEqual(reader.get(database, key, itself), Exit.succeed(model.get(key)))
    assert.deepStrictEqual(reader.has(database, key), Exit.succeed(model.has(key)))
  }
  const values = keys.map((key) => model.get(key))
  assert.deepStrictEqual(reader.getMany(database, keys, itself), Exit.succeed(values))
  assert.deepStrictEqual(reader.count(database), Exit.succeed(model.size))
  const expected = [...model]
    .filter(([key]) => isIn(options, key))
    .toSorted(([a], [b]) => options.reverse ? byBytes(b, a) : byBytes(a, b))
    .map(([key, value]) => [key, options.values ? value : new Uint8Array(0)] as const)
  assert.deepStrictEqual(shown(readAll(RangeReader.make(reader, database, options)).flat()), shown(expected))
}

describe("a reader over writes", () => {
  it.effect.prop(
    "over another reader merges both in order, and gives only its own writes after a clear",
    {
      stored: Arbitrary.array(keyArbitrary, { maxLength: 20 }),
      layers: Arbitrary.array(changesArbitrary, { minLength: 1, maxLength: 3 }),
      from: boundArbitrary,
      to: boundArbitrary,
      reverse: Schema.Boolean,
      values: Schema.Boolean,
      partSizes: Schema.Array(between(1, 5)).check(Schema.isBetweenLength(1, 4))
    },
    ({ from, layers, partSizes, reverse, stored, to, values }) =>
      Effect.sync(() => {
        const engine = makeEngine(new Map(stored.map((key) => [key, bytes("stored")])), partSizes)
        const model = new Map(stored.map((key) => [key, bytes("stored")]))
        const keys = [...stored, ...layers.flat().map(([key]) => key)]
        const options = { from, to, reverse, values }
        const sets: Array<WriteSet> = []
        let reader = engine.reader
        for (const [index, changes] of layers.entries()) {
          const set = new WriteSet()
          sets.push(set)
          reader = over(set, reader)
          changes.forEach(applyTo(set, model, `layer ${index}`))
          assertReads(reader, model, keys, options)
        }
        const frozen = over(freeze(sets), engine.reader)
        assertReads(frozen, model, keys, options)
        // What is written later shows through none but those that are written to.
        for (const set of sets) set.clear(database)
        assertReads(frozen, model, keys, options)
        assertReads(reader, new Map(), keys, options)
      }),
    { arbitrary: { runs: 300, size: 30, seed: "layers" } }
  )

  it("passes on their errors", () => {
    const { reader } = makeEngine(new Map(), [1])
    const fails = () => Exit.fail(failure)
    const request: RangeRequest = { ...everything, reverse: false, values: true, maxRecords: 1, maxBytes: 1 }
    const writes = setOf([[ByteString("a"), bytes("pending")]])
    const failing = over(writes, { get: fails, getMany: fails, has: fails, read: fails, count: fails })
    assert.deepStrictEqual(failing.get(database, ByteString("a"), itself), Exit.succeed(bytes("pending")))
    assert.deepStrictEqual(failing.get(database, ByteString("b"), itself), Exit.fail(failure))
    assert.deepStrictEqual(failing.getMany(database, [ByteString("a"), ByteString("b")], itself), Exit.fail(failure))
    assert.deepStrictEqual(failing.has(database, ByteString("b")), Exit.fail(failure))
    assert.deepStrictEqual(failing.read(database, request), Exit.fail(failure))
    assert.deepStrictEqual(failing.count(database), Exit.fail(failure))
    // What is pending is counted by whether it is stored already
    assert.deepStrictEqual(over(writes, { ...reader, getMany: fails }).count(database), Exit.fail(failure))
    writes.clear(database)
    assert.deepStrictEqual(failing.count(database), Exit.succeed(0))
    assert.deepStrictEqual(failing.read(database, request), Exit.succeed({ records: [], rest: undefined }))
  })

  it("keeps databases apart", () => {
    const engine = makeEngine(new Map([[ByteString("a"), bytes("stored")]]), [1])
    const writes = fromWrites([["other", ByteString("a"), bytes("other")], ["other", ByteString("b"), null]])
    writes.clear("cleared")
    const reader = over(writes, engine.reader)
    assertReads(reader, new Map([[ByteString("a"), bytes("stored")]]), [ByteString("a"), ByteString("b")], {
      ...everything,
      reverse: false,
      values: true
    })
    assert.deepStrictEqual(reader.get("other", ByteString("a"), itself), Exit.succeed(bytes("other")))
    assert.deepStrictEqual(reader.count("other"), Exit.succeed(1))
    assert.deepStrictEqual(reader.count("cleared"), Exit.succeed(0))
  })
})
