/** What the engine reads of a range at a time, at present and in a snapshot. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { RangePart, RangeRequest, Reader } from "../../src/Engine.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import { contains } from "../../src/internal/key/keyRange.ts"
import type { ByteString } from "../../src/Key.ts"
import { bytes, key, keysIn, open, valueOf } from "../support/environment.ts"
import { boundArbitrary, keyArbitrary } from "../support/fixtures/byteKeys.ts"
import { writing } from "../support/harness.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const requestArbitrary = Arbitrary.all({
  from: boundArbitrary,
  to: boundArbitrary,
  reverse: Arbitrary.schema(Schema.Boolean),
  values: Arbitrary.schema(Schema.Boolean),
  maxRecords: Arbitrary.schema(between(1, 6)),
  maxBytes: Arbitrary.schema(between(1, 60))
})

type Records = ReadonlyMap<ByteString, Uint8Array>

/** What is to be read: as many records as were asked for, or up to the one that makes their bytes enough. */
const expectedOf = (records: Records, request: RangeRequest): RangePart => {
  const wanted = [...records].filter(([name]) => contains(request, name)).toSorted(([a], [b]) => a < b ? -1 : 1)
  if (request.reverse) wanted.reverse()
  const given: Array<readonly [ByteString, Uint8Array]> = []
  let length = 0
  for (const [name, value] of wanted) {
    given.push([name, request.values ? value : bytes(0)])
    length += request.values ? value.length : 0
    if (given.length < request.maxRecords && length < request.maxBytes) continue
    const bound = { key: name, inclusive: false }
    return {
      records: given,
      rest: request.reverse ? { from: request.from, to: bound } : { from: bound, to: request.to }
    }
  }
  return { records: given, rest: undefined }
}

const plain = ({ records, rest }: RangePart) => ({
  records: records.map(([name, value]) => [name, Array.from(value.subarray(0, value.length))]),
  rest
})

describe("a part of a range", () => {
  it.effect.prop(
    "has at most the requested records, and says whether records are left",
    {
      stored: Arbitrary.array(Arbitrary.all([keyArbitrary, Arbitrary.schema(between(0, 30))]), { maxLength: 20 }),
      requests: Arbitrary.array(requestArbitrary, { minLength: 20, maxLength: 40 })
    },
    ({ requests, stored }) =>
      Effect.gen(function*() {
        const { environment } = yield* open({ durability: "noSync" })
        const records = new Map(stored.map(([name, length]) => [name, bytes(length, length)]))
        yield* environment.commit(writing(...records))
        const snapshot = valueOf(environment.snapshot())
        const keys = [...records.keys()]
        // The snapshot stays as it is
        yield* environment.commit(writing([key("later"), bytes(1)], ...keys.map((name) => [name, bytes(99)] as const)))
        const later = new Map([...keys, key("later")].map((name) => [name, bytes(name === "later" ? 1 : 99)]))
        const firstKeys = requests.map((request) => ({ ...request, reverse: false, values: false, maxRecords: 1 }))
        const check = (reader: Reader, model: Records): void => {
          for (const request of [...requests, ...firstKeys]) {
            const part = valueOf(reader.read(recordsDatabase, request))
            assert.deepStrictEqual(plain(part), plain(expectedOf(model, request)))
          }
        }
        check(snapshot, records)
        check(environment, later)
        yield* environment.commit((inTransaction) => {
          check(inTransaction, later)
          check(snapshot, records)
          return Exit.succeed(undefined)
        })
        check(environment, later)
        check(snapshot, records)
        assert.deepStrictEqual(snapshot.count(recordsDatabase), Exit.succeed(records.size))
        assert.deepStrictEqual(environment.count(recordsDatabase), Exit.succeed(later.size))
        snapshot.release()
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 8, size: 30, seed: "parts" } }
  )

  it.effect("of a missing database is empty, also in a snapshot", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      const snapshot = valueOf(environment.snapshot())
      for (const reader of [environment, snapshot]) {
        assert.deepStrictEqual(keysIn(reader, "missing"), [])
        assert.deepStrictEqual(reader.count("missing"), Exit.succeed(0))
      }
      snapshot.release()
    }))
})
