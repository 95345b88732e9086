/** Records that have the same key in a unique index: what cannot be built, and how it is repaired. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expectTypeOf } from "vitest"
import {
  type Closed,
  Collection,
  DuplicateKeys,
  type EngineFailure,
  type KeyEncoding,
  type MapFull,
  type ReadOnly,
  Store,
  type TransactionConflict,
  type ValueDecoding
} from "../../src/index.ts"
import * as CollectionRecord from "../../src/internal/collection/collectionRecord.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { all, at, damage, inStore, openUsers, recordsOf, userOf, users } from "../support/fixtures/collections.ts"
import { faultyStore, start, temporaryFolder, withLog } from "../support/harness.ts"

const { byAge, byEmail } = users.indexes

const withIndexes = { key: users.key, value: users.value }

/** The users without an index that is unique. */
const older = Collection.make("users", { ...withIndexes, indexes: { byEmail: { ...byEmail, unique: false }, byAge } })

const count = 1500

/** Users of whom every 500th has the address of the first. */
const many = Array.from(
  { length: count },
  (_, key) => [key, userOf(key % 500 === 0 ? "Ada" : `u${key}`, key)] as const
)

const adas = { index: "byEmail", indexKey: "ada@example.com", keys: [0, 500, 1000] }

describe("an index that becomes unique over records that have the same key", () => {
  const withDuplicates = Effect.gen(function*() {
    const path = yield* temporaryFolder
    yield* at(path, Effect.flatMap(older, ({ putMany }) => putMany(many)))
    return path
  })

  it.effect("keeps the program from opening and lists them, and the older program repairs them with its own index", () =>
    Effect.gen(function*() {
      const path = yield* withDuplicates
      const before = yield* recordsOf(path, "index/users/byEmail")
      for (let attempt = 0; attempt < 2; attempt++) {
        const failure = yield* at(path, Effect.flip(openUsers))
        assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "Index", collection: "users" })
        if (failure._tag !== "CollectionFailed") return
        assert.deepStrictEqual(failure.duplicates?.duplicates, [adas])
        assert.strictEqual(failure.duplicates?.count, 2)
        assert.include(failure.message, "2 records")
        assert.include(failure.message, "delete all records but one")
      }
      // What was there is as it was, and nothing else is left
      assert.deepStrictEqual(yield* recordsOf(path, "index/users/byEmail"), before)
      assert.deepStrictEqual(yield* recordsOf(path, "index/users/byEmail/2"), [])
      yield* at(
        path,
        Effect.gen(function*() {
          const { delete: remove, indexes, verify } = yield* older
          assert.deepStrictEqual(yield* verify, [])
          assert.deepStrictEqual(yield* all(indexes.byEmail.keys({ equals: "ada@example.com" })), [0, 500, 1000])
          yield* remove(500)
          yield* remove(1000)
          assert.deepStrictEqual(yield* verify, [])
        })
      )
      yield* at(
        path,
        Effect.gen(function*() {
          const { indexes, verify } = yield* openUsers
          assert.deepStrictEqual(yield* verify, [])
          assert.strictEqual((yield* indexes.byEmail.getOrFail("ada@example.com")).age, 0)
        })
      )
    }))

  it.effect("lists those of an earlier part after the build was interrupted", () =>
    withLog(() =>
      Effect.gen(function*() {
        const path = yield* withDuplicates
        const { faulty, store } = yield* faultyStore({ path, flushInterval: "Infinity" })
        // The first part, which has one of them, is built
        yield* faulty.fail("commit", faults.inputOutput, 3)
        assert.strictEqual(yield* Effect.flip(Effect.provideService(openUsers, Store, store)), faults.inputOutput)
        yield* store.close()
        const failure = yield* at(path, Effect.flip(openUsers))
        assert.deepStrictEqual(failure._tag === "CollectionFailed" && failure.duplicates?.duplicates, [adas])
      })
    ))

  it.effect("lists at most a hundred, and counts all", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const twins = Array.from({ length: 300 }, (_, key) => [key, userOf(`u${key >> 1}`, key)] as const)
      yield* at(path, Effect.flatMap(older, ({ putMany }) => putMany(twins)))
      const failure = yield* at(path, Effect.flip(openUsers))
      if (failure._tag !== "CollectionFailed") return assert.fail(failure._tag)
      assert.lengthOf(failure.duplicates?.duplicates ?? [], 100)
      assert.strictEqual(failure.duplicates?.count, 150)
    }))
})

/**
 * Users on a store that is open, of whom two have the same address, as processes wrote them that did not know of
 * each other; what the second replaced has left an entry behind.
 */
const openTwins = Effect.fnUntraced(function*(path: string) {
  yield* at(
    path,
    Effect.flatMap(
      openUsers,
      ({ putMany }) => putMany([[1, userOf("Ada", 36)], [2, userOf("Bob", 7)], [9, userOf("Eve", 8)]])
    )
  )
  const records = yield* recordsOf(path, "collection/users")
  const [[, ada] = yield* Effect.die("there is one"), , [nine] = yield* Effect.die("there are three")] = records
  const email = CollectionRecord.entriesOf(ada).find(([index]) => index === "byEmail")?.[1] ??
    (yield* Effect.die("there is one"))
  return [
    ["collection/users", nine, ada],
    ["index/users/byEmail", email, Buffer.from(nine, "latin1")]
  ] as const
})

describe("rebuildIndexes of records that have the same key in a unique index", () => {
  it.effect("lists them, corrects the other entries, and the collection opens to repair them", () =>
    withLog((log) =>
      Effect.gen(function*() {
        for (const repair of ["put", "delete"]) {
          const path = yield* temporaryFolder
          const writes = yield* openTwins(path)
          yield* at(
            path,
            Effect.gen(function*() {
              const collection = yield* openUsers
              yield* damage(writes)
              assert.isAbove((yield* collection.verify).length, 1)
              for (let attempt = 0; attempt < 2; attempt++) {
                const failure = yield* Effect.flip(collection.rebuildIndexes)
                if (!(failure instanceof DuplicateKeys)) return assert.fail(failure._tag)
                assert.deepStrictEqual(failure.duplicates, [
                  { index: "byEmail", indexKey: "ada@example.com", keys: [9, 1] }
                ])
                assert.strictEqual(failure.count, 1)
                assert.include(failure.message, "9 and 1 all have \"ada@example.com\" in the unique index \"byEmail\"")
                // The index leads to one of them; all else is right
                assert.deepStrictEqual(yield* collection.verify, [
                  { _tag: "MissingEntry", key: "1", index: "byEmail", indexKey: "\"ada@example.com\"" }
                ])
                assert.deepStrictEqual(yield* all(collection.indexes.byEmail.keys()), [9, 2])
                assert.deepStrictEqual(yield* all(collection.indexes.byAge.keys()), [2, 1, 9])
              }
            })
          )
          const warnings = log.length
          yield* at(
            path,
            Effect.gen(function*() {
              const collection = yield* openUsers
              // To open it again is no reason to look at all of it again
              assert.lengthOf(log, warnings)
              if (repair === "put") yield* collection.put(1, userOf("Lady", 36))
              else yield* Effect.andThen(collection.delete(9), collection.rebuildIndexes)
              assert.deepStrictEqual(yield* collection.verify, [])
              assert.strictEqual(yield* collection.indexes.byEmail.count(), repair === "put" ? 3 : 2)
            })
          )
        }
      })
    ))

  it.effect("fails with the errors of its type", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* openUsers
      expectTypeOf<Effect.Error<typeof collection.rebuildIndexes>>().toEqualTypeOf<
        | KeyEncoding
        | ValueDecoding
        | DuplicateKeys
        | ReadOnly
        | Closed
        | MapFull
        | EngineFailure
        | TransactionConflict
      >()
      yield* collection.rebuildIndexes
    })))

  it.effect("writes nothing if all entries are exact, and leaves the indexes in use while it runs", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      yield* Effect.gen(function*() {
        const collection = yield* openUsers
        yield* collection.putMany(many.filter(([key]) => key % 500 !== 0 || key === 0))
        yield* faulty.failAlways("commit", faults.inputOutput)
        const rebuilding = yield* start(collection.rebuildIndexes)
        for (let turn = 0; turn < 50; turn++) {
          assert.strictEqual(yield* collection.indexes.byEmail.count(), count - 2)
          yield* Effect.yieldNow
        }
        yield* Effect.exit(Effect.asVoid(Effect.suspend(() => collection.rebuildIndexes)))
        yield* faulty.heal
        assert.strictEqual(rebuilding.pollUnsafe()?._tag ?? "Success", "Success")
      }).pipe(Effect.provideService(Store, store))
    }))
})
