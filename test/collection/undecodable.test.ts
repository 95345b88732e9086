/** Values that do not decode, and what streams make of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { expectTypeOf } from "vitest"
import { type Closed, Collection, type EngineFailure, type KeyEncoding, type ValueDecoding } from "../../src/index.ts"
import { ByteString } from "../../src/Key.ts"
import {
  all,
  at,
  type Failure,
  flush,
  inStore,
  openUsers,
  recordsOf,
  tamper,
  userOf
} from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"

/** Text that is encoded as it is, but decoded only where it is long enough. */
const Long = Schema.String.pipe(Schema.decodeTo(Schema.String.check(Schema.isMinLength(3))))

const indexes = {
  byLength: { key: Schema.Int, of: (word: string) => word.length },
  byWord: { key: Schema.String, of: (word: string) => word, unique: true }
} as const

/** What wrote the words before. */
const anyWords = Collection.make("words", { key: Schema.Int, value: Schema.String, indexes })
const words = Collection.make("words", { key: Schema.Int, value: Long, indexes })

/** Words of which the second and the fourth do not decode, by their numbers: those by length are in another order. */
const someWords = Effect.gen(function*() {
  const writer = yield* anyWords
  yield* writer.putMany([[1, "seven__"], [2, "x"], [3, "five_"]])
  yield* writer.put(4, "yy")
  yield* writer.put(5, "four")
  return yield* words
})

/** What a stream gives before it fails, and its failure. */
const untilFailure = Effect.fnUntraced(function*<A, E>(stream: Stream.Stream<A, E>) {
  const given = yield* Ref.make<ReadonlyArray<A>>([])
  const failure = yield* Effect.flip(
    Stream.runForEach(stream, (item) => Ref.update(given, (before) => [...before, item]))
  )
  return [yield* Ref.get(given), failure] as const
})

const isAbout = (key: number, failure: Failure) => {
  assert.include(failure, { _tag: "ValueDecoding", key, shownKey: String(key), collection: "words" })
  assert.include(failure.message, `stored under key ${key} in collection "words" does not fit the schema: `)
  assert.include(failure.detail, "length")
}

/** Shows a result as its value, or as the key of what did not decode. */
const shown = Result.match({
  onSuccess: (word: string) => word,
  onFailure: ({ shownKey }: ValueDecoding) => `!${shownKey}`
})

const shownAll = (results: ReadonlyArray<Result.Result<string, ValueDecoding>>) => results.map(shown)
const shownEntries = (results: ReadonlyArray<readonly [number, Result.Result<string, ValueDecoding>]>) =>
  results.map(([key, value]) => [key, shown(value)])

describe("a value that does not decode", () => {
  it.effect("makes each read fail with the collection and the key", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* someWords
      const reads: ReadonlyArray<Effect.Effect<unknown, Failure>> = [
        collection.get(2),
        collection.getOrFail(2),
        collection.getMany([1, 2]),
        collection.update(2, (current) => current),
        collection.first({ gt: 1 }),
        collection.last({ lt: 3 }),
        collection.indexes.byLength.get(1),
        collection.indexes.byWord.getOrFail("x"),
        collection.rebuildIndexes
      ]
      for (const read of reads) isAbout(2, yield* Effect.flip(read))
      assert.strictEqual(yield* collection.getOrFail(1), "seven__")
    })))

  it.effect("does not affect calls that need no value", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* someWords
      assert.isTrue(yield* collection.has(2))
      assert.deepStrictEqual(yield* all(collection.keys()), [1, 2, 3, 4, 5])
      assert.deepStrictEqual(yield* all(collection.indexes.byLength.keys()), [2, 4, 5, 3, 1])
      assert.strictEqual(yield* collection.count(), 5)
      // It can be written over and deleted, and leaves the indexes
      yield* collection.put(2, "three")
      yield* collection.delete(4)
      assert.deepStrictEqual(yield* all(collection.indexes.byLength.keys()), [5, 2, 3, 1])
      assert.deepStrictEqual(yield* all(collection.indexes.byWord.keys()), [3, 5, 1, 2])
      assert.deepStrictEqual(yield* collection.verify, [])
    })))

  it.effect("ends a stream after the values before it", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* someWords
      for (const commit of [Effect.void, flush]) {
        yield* commit
        for (const range of [undefined, {}, { undecodable: "fail" } as const]) {
          const [given, failure] = yield* untilFailure(collection.values(range))
          assert.deepStrictEqual(given, ["seven__"])
          isAbout(2, failure)
        }
        const [entries, failure] = yield* untilFailure(collection.entries({ reverse: true }))
        assert.deepStrictEqual(entries, [[5, "four"]])
        isAbout(4, failure)
        const { byLength } = collection.indexes
        const [found, other] = yield* untilFailure(byLength.values({ reverse: true }))
        assert.deepStrictEqual(found, ["seven__", "five_", "four"])
        isAbout(4, other)
        const [foundEntries, third] = yield* untilFailure(byLength.entries({ reverse: true, offset: 1 }))
        assert.deepStrictEqual(foundEntries, [[3, "five_"], [5, "four"]])
        isAbout(4, third)
      }
    })))

  it.effect("is left out of a stream with undecodable: skip", () =>
    inStore(Effect.gen(function*() {
      const { entries, indexes: { byLength, byWord }, values } = yield* someWords
      const skip = { undecodable: "skip" } as const
      for (const commit of [Effect.void, flush]) {
        yield* commit
        assert.deepStrictEqual(yield* all(values(skip)), ["seven__", "five_", "four"])
        assert.deepStrictEqual(yield* all(entries({ ...skip, lt: 4 })), [[1, "seven__"], [3, "five_"]])
        assert.deepStrictEqual(yield* all(byLength.values(skip)), ["four", "five_", "seven__"])
        assert.deepStrictEqual(yield* all(byWord.entries(skip)), [[3, "five_"], [5, "four"], [1, "seven__"]])
      }
      const onlySkipped = yield* all(values({ ...skip, equals: 2 }))
      assert.deepStrictEqual(onlySkipped, [])
      type ReadError = KeyEncoding | Closed | EngineFailure
      expectTypeOf(values(skip)).toEqualTypeOf<Stream.Stream<string, ReadError>>()
      expectTypeOf(values()).toEqualTypeOf<Stream.Stream<string, ReadError | ValueDecoding>>()
    })))

  it.effect("is a failed Result in a stream with undecodable: result", () =>
    inStore(Effect.gen(function*() {
      const { entries, indexes: { byLength, byWord }, values } = yield* someWords
      const result = { undecodable: "result" } as const
      for (const commit of [Effect.void, flush]) {
        yield* commit
        assert.deepStrictEqual(shownAll(yield* all(values(result))), ["seven__", "!2", "five_", "!4", "four"])
        assert.deepStrictEqual(shownEntries(yield* all(entries({ ...result, lt: 3 }))), [[1, "seven__"], [2, "!2"]])
        assert.deepStrictEqual(shownAll(yield* all(byLength.values(result))), ["!2", "!4", "four", "five_", "seven__"])
        assert.deepStrictEqual(shownEntries(yield* all(byWord.entries({ ...result, gte: "x" }))), [[2, "!2"], [
          4,
          "!4"
        ]])
      }
    })))

  it.effect("is reported by verify", () =>
    inStore(Effect.gen(function*() {
      const problems = yield* (yield* someWords).verify
      assert.deepStrictEqual(problems.map(({ _tag, key }) => [_tag, key]), [["Undecodable", "2"], ["Undecodable", "4"]])
    })))

  it.effect("is an error of the stream and not of the services of the schema", () =>
    inStore(Effect.gen(function*() {
      const { values } = yield* someWords
      const recovered = yield* all(values().pipe(Stream.catchTag("ValueDecoding", () => Stream.succeed("rest"))))
      assert.deepStrictEqual(recovered, ["seven__", "rest"])
    })))
})

describe("bytes that are not a value", () => {
  it.effect("give a typed error, and verify reports them", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(
        path,
        Effect.flatMap(openUsers, ({ putMany }) => putMany([[1, userOf("Ada", 36)], [2, userOf("Bob", 7)]]))
      )
      const [[key, bytes] = yield* Effect.die("there is a record")] = yield* recordsOf(path, "collection/users")
      for (
        const damaged of [
          Buffer.alloc(0),
          Buffer.of(4),
          Buffer.of(4, 255, 255, 255, 255),
          bytes.subarray(0, 9),
          Buffer.of(9)
        ]
      ) {
        yield* tamper(path, [["collection/users", key, damaged]])
        yield* at(
          path,
          Effect.gen(function*() {
            const collection = yield* openUsers
            const failure = yield* Effect.flip(collection.get(1))
            assert.include(failure, { _tag: "ValueDecoding", shownKey: "1", collection: "users" })
            assert.deepStrictEqual(yield* all(collection.values({ undecodable: "skip" })), [userOf("Bob", 7)])
            const [problem] = yield* collection.verify
            assert.include(problem, { _tag: "Undecodable", key: "1" })
            assert.deepStrictEqual(yield* collection.getMany([2, 3]).pipe(Effect.map(({ missing }) => missing)), [3])
          })
        )
      }
      // Written over, its old entries stay behind, and can be mended
      yield* at(
        path,
        Effect.gen(function*() {
          const collection = yield* openUsers
          yield* collection.put(1, userOf("Eve", 20))
          yield* collection.rebuildIndexes
          assert.deepStrictEqual(yield* collection.verify, [])
          assert.deepStrictEqual(yield* all(collection.indexes.byAge.keys()), [2, 1])
        })
      )
    }))

  it.effect("and bytes that are not a key end a stream of keys, and verify reports them", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.flatMap(anyWords, ({ putMany }) => putMany([[1, "one"], [2, "two"]])))
      const [[, bytes] = yield* Effect.die("there is a record")] = yield* recordsOf(path, "collection/words")
      yield* tamper(path, [["collection/words", ByteString("\xff"), bytes]])
      yield* at(
        path,
        Effect.gen(function*() {
          const collection = yield* anyWords
          const [given, failure] = yield* untilFailure(collection.keys())
          assert.deepStrictEqual(given, [1, 2])
          assert.nestedInclude(failure, { _tag: "KeyEncoding", "reason._tag": "NotDecodable", collection: "words" })
          assert.deepStrictEqual(yield* all(collection.values({ lte: 2 })), ["one", "two"])
          assert.isAbove((yield* collection.verify).length, 0)
        })
      )
    }))
})
