/** Indexes that are built on open, and built anew. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Collection, type KeySchema, Store } from "../../src/index.ts"
import { all, at, inStore, openUsers, recordsOf, User, userOf, users } from "../support/fixtures/collections.ts"
import { temporaryFolder, withLog } from "../support/harness.ts"

const plain = { key: Schema.Int, value: User }

/** Opens the users with some of their indexes, or with others. */
const withIndexes = <const I extends Record<string, KeySchema>>(
  indexes: NonNullable<Collection.CollectionOptions<typeof Schema.Int, typeof User, I, never>["indexes"]>
) => Collection.make("users", { ...plain, indexes })

const { byAge, byEmail, byTag } = users.indexes

const many = (count: number) =>
  Array.from({ length: count }, (_, key) => [key, userOf(`u${key}`, key % 10, [`t${key % 3}`])] as const)

/** The users as they are without indexes. */
const stored = (path: string, entries: Iterable<readonly [number, User]>) =>
  at(path, Effect.flatMap(Collection.make("users", plain), ({ putMany }) => putMany(entries)))

describe("an index that is new", () => {
  it.effect("is built from the stored records, and the log reports it", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const count = 1100
        yield* stored(path, many(count))
        assert.lengthOf(log, 0)
        yield* at(
          path,
          Effect.gen(function*() {
            const { indexes, keys, verify } = yield* openUsers
            assert.deepStrictEqual(yield* verify, [])
            assert.strictEqual(yield* indexes.byEmail.count(), count)
            assert.strictEqual(yield* indexes.byTag.count(), count)
            assert.strictEqual(yield* indexes.adults.count(), 0)
            const inOrder = many(count).toSorted(([a], [b]) => a % 10 - b % 10 || a - b).map(([key]) => key)
            assert.deepStrictEqual(yield* all(indexes.byAge.keys()), inOrder)
            assert.strictEqual((yield* all(keys())).length, count)
          })
        )
        const texts = log.map(({ text }) => text)
        assert.isAtLeast(texts.length, 1)
        for (const { level, text } of log) {
          assert.strictEqual(level, "INFO")
          assert.include(text, "\"users\"")
        }
        assert.isTrue(texts.some((text) => /^Building indexes.* 1,024 records/u.test(text)), texts.join("\n"))
        // Once is enough
        yield* at(path, openUsers)
        assert.lengthOf(log, texts.length)
      })
    ))

  it.effect("is built even if it has the name of a property of every object", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* stored(path, many(3))
      const opened = withIndexes({ constructor: byAge, toString: byTag, __proto__: byEmail, valueOf: byEmail })
      yield* at(
        path,
        Effect.gen(function*() {
          const { indexes, verify } = yield* opened
          assert.deepStrictEqual(yield* all(indexes.constructor.keys()), [0, 1, 2])
          assert.deepStrictEqual(yield* all(indexes.valueOf.keys()), [0, 1, 2])
          assert.deepStrictEqual(yield* verify, [])
        })
      )
    }))

  it.effect("is built without changes to the other indexes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.flatMap(withIndexes({ byEmail }), ({ putMany }) => putMany(many(5))))
      const entries = yield* recordsOf(path, "index/users/byEmail")
      assert.lengthOf(entries, 5)
      yield* at(
        path,
        Effect.gen(function*() {
          const { indexes, verify } = yield* withIndexes({ byEmail, byAge })
          assert.deepStrictEqual(yield* all(indexes.byAge.keys()), [0, 1, 2, 3, 4])
          assert.deepStrictEqual(yield* verify, [])
        })
      )
      assert.deepStrictEqual(yield* recordsOf(path, "index/users/byEmail"), entries)
    }))

  it.effect("fails to open when it is unique and two records have the same key; a corrected one opens", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* stored(path, [...many(1200), [5000, userOf("u7", 1)]])
      for (let attempt = 0; attempt < 2; attempt++) {
        const failure = yield* at(path, Effect.flip(openUsers))
        assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "Index", collection: "users" })
        assert.include(failure.message, "7 and 5000 all have \"u7@example.com\" in the unique index \"byEmail\"")
        assert.include(failure.message, "not unique can open")
        const duplicates = failure._tag === "CollectionFailed" ? failure.duplicates : undefined
        assert.deepStrictEqual(duplicates?.duplicates, [
          { index: "byEmail", indexKey: "u7@example.com", keys: [7, 5000] }
        ])
        assert.strictEqual(duplicates?.count, 1)
      }
      const corrected = withIndexes({ byEmail: { ...byEmail, unique: false }, byAge })
      yield* at(
        path,
        Effect.gen(function*() {
          const { delete: remove, indexes, verify } = yield* corrected
          assert.deepStrictEqual(yield* verify, [])
          assert.deepStrictEqual(yield* all(indexes.byEmail.keys({ equals: "u7@example.com" })), [7, 5000])
          yield* remove(5000)
        })
      )
      assert.deepStrictEqual(yield* at(path, Effect.flatMap(openUsers, ({ verify }) => verify)), [])
    }))

  it.effect("fails to open when a record has no key in it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* stored(path, [[1, userOf("Ada", 36)], [2, userOf("Bob", NaN)]])
      const failure = yield* at(path, Effect.flip(openUsers))
      assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "Index", collection: "users" })
      assert.include(failure.message, "NaN")
      assert.deepStrictEqual(yield* at(path, Effect.flatMap(withIndexes({ byEmail }), ({ verify }) => verify)), [])
    }))
})

describe("an index that has changed", () => {
  it.effect("or was removed costs nothing while it is removed, and is correct after it is added again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.flatMap(openUsers, ({ putMany }) => putMany(many(4))))
      yield* at(
        path,
        Effect.gen(function*() {
          const without = yield* withIndexes({ byEmail })
          assert.deepStrictEqual(yield* without.verify, [])
          yield* without.put(0, userOf("zero", 99))
          yield* without.delete(1)
          yield* without.put(7, userOf("seven", 0, ["t0"]))
        })
      )
      assert.deepStrictEqual(yield* recordsOf(path, "index/users/byAge"), [])
      yield* at(
        path,
        Effect.gen(function*() {
          const { indexes, verify } = yield* openUsers
          assert.deepStrictEqual(yield* verify, [])
          assert.deepStrictEqual(yield* all(indexes.byAge.keys()), [7, 2, 3, 0])
          assert.deepStrictEqual(yield* all(indexes.byTag.keys()), [3, 7, 2])
        })
      )
    }))

  it.effect("is built again when it becomes unique, or is unique no longer", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.flatMap(openUsers, ({ putMany }) => putMany(many(4))))
      for (const [email, tag] of [[false, false], [true, false], [false, false]] as const) {
        yield* at(
          path,
          Effect.gen(function*() {
            const changed = withIndexes({ byEmail: { ...byEmail, unique: email }, byTag: { ...byTag, unique: tag } })
            const { indexes, verify } = yield* changed
            assert.deepStrictEqual(yield* verify, [])
            assert.deepStrictEqual(yield* all(indexes.byEmail.keys({ gte: "u2@example.com" })), [2, 3])
            assert.deepStrictEqual(yield* indexes.byTag.count(), 4)
          })
        )
      }
    }))

  it.effect("is built again when the schema of its keys changes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const twelve = many(12)
      yield* at(
        path,
        Effect.flatMap(
          withIndexes({
            byNumber: {
              key: Schema.String,
              of: (value) => value.name
            }
          }),
          ({
            putMany
          }) => putMany(twelve)
        )
      )
      yield* at(
        path,
        Effect.gen(function*() {
          const { indexes, verify } = yield* withIndexes({
            byNumber: { key: Schema.Number, of: (value) => -Number(value.name.slice(1)) }
          })
          assert.deepStrictEqual(yield* all(indexes.byNumber.keys()), twelve.map(([key]) => key).toReversed())
          assert.deepStrictEqual(yield* verify, [])
        })
      )
    }))
})

describe("rebuildIndexes", () => {
  it.effect("runs at the same time as reads and writes, and loses no write", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* openUsers
      const count = 1100
      yield* collection.putMany(many(count))
      const writing = Effect.forEach(
        Array.from({ length: 100 }, (_, number) => (number * 37) % count),
        (key) => Effect.andThen(collection.put(key, userOf(`u${key}`, 50, ["new"])), Effect.yieldNow)
      )
      const deleting = Effect.forEach([5, 700, 1099], (key) => Effect.andThen(collection.delete(key), Effect.yieldNow))
      yield* Effect.all([collection.rebuildIndexes, writing, deleting], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* collection.verify, [])
      const ages = yield* Stream.runCollect(collection.values().pipe(Stream.map(({ age }) => age)))
      assert.strictEqual(yield* collection.indexes.byAge.count({ equals: 50 }), ages.filter((age) => age === 50).length)
      assert.strictEqual(yield* collection.indexes.byEmail.count(), ages.length)
    })))

  it.effect("that is interrupted continues when the collection is opened again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* stored(path, many(1500))
      yield* at(
        path,
        Effect.gen(function*() {
          const collection = yield* openUsers
          let transactions = 0
          const store = yield* Store
          const interrupting = store.stats.pipe(
            Effect.andThen(Effect.yieldNow),
            Effect.repeat({ until: () => transactions++ > 20 })
          )
          yield* Effect.race(collection.rebuildIndexes, interrupting)
        })
      )
      assert.deepStrictEqual(yield* at(path, Effect.flatMap(openUsers, ({ verify }) => verify)), [])
    }))
})
