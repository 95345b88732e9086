/** A record and its entries in the indexes reach the disk as one. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { cpSync } from "node:fs"
import { join } from "node:path"
import type * as Engine from "../../src/Engine.ts"
import { Collection, Store } from "../../src/index.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { all, at, openUsers, userOf, watchedUsers } from "../support/fixtures/collections.ts"
import { faultyStore, start, temporaryFolder, withLog } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

/** The databases that a batch writes to, each with how many values and how many deletions. */
const databasesOf = (batch: ReadonlyArray<Engine.Write> | undefined) => {
  const counts = new Map<string, string>()
  for (const [database] of batch ?? []) {
    const ofDatabase = (batch ?? []).filter(([name]) => name === database)
    const values = ofDatabase.filter(([, , value]) => value !== null).length
    counts.set(database, `${values} values, ${ofDatabase.length - values} deletions`)
  }
  return Object.fromEntries(counts)
}

const withUsers = Effect.fnUntraced(function*(options: Parameters<typeof faultyStore>[0] = {}) {
  const opened = yield* faultyStore({ flushInterval: "Infinity", ...options })
  return { ...opened, users: yield* Effect.provideService(openUsers, Store, opened.store) }
})

/** Opens what a crash at this moment would leave. */
const afterCrash = <A, E>(path: string, use: Effect.Effect<A, E, Store>) =>
  Effect.gen(function*() {
    const copy = join(yield* temporaryFolder, "copy")
    cpSync(path, copy, { recursive: true })
    return yield* at(copy, use)
  })

describe("a record and its entries", () => {
  it.effect("are buffered together, and committed in one transaction", () =>
    Effect.gen(function*() {
      const { batches, store, users } = yield* watchedUsers()
      yield* users.put(1, userOf("Ada", 36, ["a", "b"]))
      assert.lengthOf(batches, 0)
      assert.strictEqual((yield* store.stats).pending, 6)
      yield* store.flush
      assert.lengthOf(batches, 1)
      assert.deepStrictEqual(databasesOf(batches.at(-1)), {
        "collection/users": "1 values, 0 deletions",
        "index/users/byEmail": "1 values, 0 deletions",
        "index/users/byAge": "1 values, 0 deletions",
        "index/users/byTag": "2 values, 0 deletions",
        "index/users/adults": "1 values, 0 deletions"
      })
      yield* users.put(1, userOf("Zoe", 36, ["b"]))
      yield* store.flush
      assert.deepStrictEqual(databasesOf(batches.at(-1)), {
        "collection/users": "1 values, 0 deletions",
        "index/users/byEmail": "1 values, 1 deletions",
        "index/users/byAge": "1 values, 0 deletions",
        "index/users/byTag": "1 values, 1 deletions",
        "index/users/adults": "1 values, 1 deletions"
      })
      yield* users.delete(1)
      yield* store.flush
      assert.deepStrictEqual(databasesOf(batches.at(-1)), {
        "collection/users": "0 values, 1 deletions",
        "index/users/byEmail": "0 values, 1 deletions",
        "index/users/byAge": "0 values, 1 deletions",
        "index/users/byTag": "0 values, 1 deletions",
        "index/users/adults": "0 values, 1 deletions"
      })
    }))

  it.effect("are never separated by the end of a batch", () =>
    Effect.gen(function*() {
      const { batches, store, users } = yield* watchedUsers({ batchSize: 7 })
      for (let round = 0; round < 3; round++) {
        for (let key = 0; key < 20; key++) yield* users.put(key, userOf(`u${round} ${key}`, 20 + round, ["a"]))
      }
      yield* store.flush
      assert.isAbove(batches.length, 5)
      for (const batch of batches) {
        const values = (database: string) =>
          batch.filter(([name, , value]) => name === database && value !== null).length
        const records = values("collection/users")
        assert.isAbove(records, 0)
        for (const index of ["byEmail", "byAge", "byTag", "adults"]) {
          assert.strictEqual(values(`index/users/${index}`), records, index)
        }
      }
    }))

  it.effect("are one transaction for putMany, deleteMany and clear", () =>
    Effect.gen(function*() {
      const { batches, store, users } = yield* watchedUsers()
      yield* users.putMany([[1, userOf("Ada", 36, ["a"])], [2, userOf("Bob", 7)]])
      assert.lengthOf(batches, 1)
      assert.strictEqual(databasesOf(batches.at(-1))["collection/users"], "2 values, 0 deletions")
      assert.strictEqual(databasesOf(batches.at(-1))["index/users/byAge"], "2 values, 0 deletions")
      yield* users.deleteMany([1, 2])
      assert.lengthOf(batches, 2)
      assert.strictEqual(databasesOf(batches.at(-1))["index/users/byAge"], "0 values, 2 deletions")
      yield* users.put(1, userOf("Ada", 36))
      yield* store.flush
      yield* users.clear
      assert.lengthOf(batches, 4)
    }))

  it.effect("stay pending and readable together when a commit fails, and the next commit writes them", () =>
    Effect.gen(function*() {
      const { faulty, open, store, users } = yield* withUsers()
      yield* users.putMany([[1, userOf("Ada", 36, ["a"])], [2, userOf("Bob", 7)]])
      yield* users.put(1, userOf("Zoe", 40, ["b"]))
      yield* users.delete(2)
      yield* faulty.fail("commit", faults.diskFull)
      assert.strictEqual(yield* Effect.flip(store.flush), faults.diskFull)
      const isRight = Effect.gen(function*() {
        const { indexes, verify } = yield* openUsers
        assert.deepStrictEqual(yield* all(indexes.byAge.keys()), [1])
        assert.deepStrictEqual(yield* all(indexes.byTag.keys({ gte: "b" })), [1])
        assert.strictEqual(yield* indexes.byTag.count(), 1)
        assert.isFalse(yield* indexes.byEmail.has("ada@example.com"))
        assert.deepStrictEqual(yield* verify, [])
      })
      yield* Effect.provideService(isRight, Store, store)
      yield* store.flush
      yield* store.close({ strict: true })
      yield* Effect.provideService(isRight, Store, yield* open)
    }))

  it.effect("of a putMany that fails are not written", () =>
    Effect.gen(function*() {
      const { faulty, users } = yield* withUsers()
      yield* users.put(1, userOf("Ada", 36, ["a"]))
      yield* faulty.fail("commit", faults.diskFull)
      yield* Effect.flip(users.putMany([[1, userOf("Zoe", 1)], [2, userOf("Bob", 7)]]))
      assert.deepStrictEqual(yield* all(users.indexes.byEmail.entries()), [[1, userOf("Ada", 36, ["a"])]])
      assert.deepStrictEqual(yield* users.verify, [])
    }))

  it.effect("are read together while they are being committed", () =>
    Effect.gen(function*() {
      const { faulty, store, users } = yield* withUsers()
      yield* users.putMany([[1, userOf("Ada", 36)]])
      const held = yield* faulty.holdCommit
      yield* users.put(1, userOf("Zoe", 40))
      const flushing = yield* start(store.flush)
      yield* held.isWanted
      yield* users.put(1, userOf("Amy", 50))
      assert.deepStrictEqual(yield* users.indexes.byAge.get(40), Option.none())
      assert.deepStrictEqual(yield* users.indexes.byAge.get(50), Option.some(userOf("Amy", 50)))
      assert.deepStrictEqual(yield* users.verify, [])
      yield* held.release
      yield* Fiber.join(flushing)
      assert.deepStrictEqual(yield* all(users.indexes.byAge.keys()), [1])
      assert.deepStrictEqual(yield* users.verify, [])
    }))
})

const notes = Collection.make("notes", {
  key: Schema.Int,
  value: Schema.Struct({ title: Schema.String, text: Schema.String }),
  indexes: { byTitle: { key: Schema.String, of: ({ title }) => title, unique: true } }
})

const note = (title: string, size: number) => ({ title, text: "x".repeat(size) })

describe("when no more fits", () => {
  it.effect("a deletion is committed first with its entries, and a waiting record keeps its old entries on disk", () =>
    withLog(() =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, maxMapSize: "1 MiB", flushInterval: "Infinity" })
        const collection = yield* Effect.provideService(notes, Store, store)
        yield* collection.putMany([[1, note("large", 600_000)], [2, note("moving", 10)]])
        yield* collection.put(3, note("waiting", 500_000))
        assert.strictEqual((yield* Effect.flip(store.flush))._tag, "MapFull")

        // Made when nothing fits: one of them deletes an entry only as a part of a record that is written
        yield* collection.put(2, note("moved", 20))
        yield* collection.delete(1)
        yield* Effect.ignore(store.flush)
        const isConsistent = Effect.gen(function*() {
          const { indexes, keys, verify } = yield* notes
          assert.deepStrictEqual(yield* verify, [])
          const numbers = yield* all(keys())
          assert.deepStrictEqual((yield* all(indexes.byTitle.keys())).toSorted((a, b) => a - b), numbers)
          assert.notInclude(numbers, 1)
          return numbers
        })
        yield* afterCrash(path, isConsistent)
        yield* Effect.provideService(isConsistent, Store, store)
        yield* store.flush
        assert.deepStrictEqual(yield* afterCrash(path, isConsistent), [2, 3])
      })
    ))

  it.effect("and the process dies after any of the following commits, records and entries agree", () =>
    withLog(() =>
      Effect.gen(function*() {
        const [path, copies] = [yield* temporaryFolder, yield* temporaryFolder]
        let commits = 0
        const { store } = yield* openWith({ path, maxMapSize: "1 MiB", flushInterval: "Infinity" }, ({ commit }) => ({
          commit: (plan) =>
            Effect.tap(commit(plan), () =>
              Effect.sync(() => cpSync(path, join(copies, String(++commits)), { recursive: true })))
        }))
        const collection = yield* Effect.provideService(notes, Store, store)
        yield* collection.putMany([[1, note("large", 600_000)], [2, note("moving", 10)], [4, note("other", 10)]])
        yield* collection.put(3, note("waiting", 500_000))
        assert.strictEqual((yield* Effect.flip(store.flush))._tag, "MapFull")
        commits = 0
        yield* collection.put(2, note("moved", 20))
        yield* collection.delete(4)
        yield* collection.put(5, note("other", 10))
        yield* collection.delete(1)
        yield* store.flush
        assert.isAbove(commits, 1)
        for (let number = 1; number <= commits; number++) {
          const [keys, problems] = yield* at(
            join(copies, String(number)),
            Effect.flatMap(notes, (opened) =>
              Effect.all([all(opened.keys()), opened.verify]))
          )
          assert.deepStrictEqual(problems, [])
          assert.deepStrictEqual(keys, number === commits ? [2, 3, 5] : keys.filter((key) => key !== 1))
        }
      })
    ))

  it.effect("and the disk fails at any following commit, records and entries agree, and in the end no write is missing", () =>
    withLog(() =>
      Effect.gen(function*() {
        const { faulty, path, store } = yield* faultyStore({ maxMapSize: "1 MiB", flushInterval: "Infinity" })
        const collection = yield* Effect.provideService(notes, Store, store)
        yield* collection.putMany([[1, note("large", 600_000)], [2, note("moving", 10)]])
        yield* collection.put(3, note("waiting", 500_000))
        assert.strictEqual((yield* Effect.flip(store.flush))._tag, "MapFull")
        yield* collection.put(2, note("moved", 20))
        yield* collection.delete(1)
        for (let turn = 1; turn <= 4; turn++) {
          yield* faulty.heal
          yield* faulty.fail("commit", faults.inputOutput, turn)
          yield* Effect.ignore(store.flush)
          assert.deepStrictEqual(yield* afterCrash(path, Effect.flatMap(notes, ({ verify }) => verify)), [])
          assert.deepStrictEqual(yield* collection.verify, [])
        }
        yield* faulty.heal
        yield* store.flush
        assert.deepStrictEqual(yield* all(collection.keys()), [2, 3])
      })
    ))

  it.effect("any read of a put fails, the put fails with that error and writes nothing", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const users = yield* Effect.provideService(openUsers, Store, store)
      yield* users.put(1, userOf("Ada", 36))
      yield* store.flush
      for (let call = 1; call <= 20; call++) {
        yield* faulty.failCall({ call, code: 5, lasts: false, isLate: false })
        const result = yield* Effect.result(users.put(1, userOf("Bob", 20)))
        const reads = faulty.allCalls()
        yield* faulty.heal
        if (result._tag === "Success") {
          assert.isAbove(call, 2)
          assert.strictEqual(reads, call - 1)
          return
        }
        assert.propertyVal(result.failure, "code", 5)
        assert.strictEqual((yield* users.getOrFail(1)).name, "Ada")
        assert.deepStrictEqual(yield* users.verify, [])
      }
      assert.fail("the put never succeeded")
    }))

  it.effect("putMany fails with a typed error and writes nothing", () =>
    withLog(() =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, maxMapSize: "1 MiB", flushInterval: "Infinity" })
        const collection = yield* Effect.provideService(notes, Store, store)
        yield* collection.putMany([[1, note("one", 10)]])
        const failure = yield* Effect.flip(collection.putMany([[1, note("uno", 10)], [2, note("two", 2_000_000)]]))
        assert.strictEqual(failure._tag, "MapFull")
        assert.deepStrictEqual(yield* all(collection.indexes.byTitle.entries()), [[1, note("one", 10)]])
        assert.deepStrictEqual(yield* collection.verify, [])
      })
    ))
})
