/** What a stream reads from: a snapshot, the store as it is, or the transaction that it is in. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { Store } from "../../../src/index.ts"
import { faults } from "../../support/engines/faultyEngine.ts"
import { openUsers, userOf } from "../../support/fixtures/collections.ts"
import { begin } from "../../support/fixtures/transactions.ts"
import { openWith, readByHand, withReads } from "../../support/streaming.ts"

const keyOf = (index: number): string => `key ${String(index).padStart(5, "0")}`

const keys = Array.from({ length: 1000 }, (_, index) => keyOf(index))

/** A store with a thousand keys. */
const filled = Effect.tap(openWith(), ({ store }) => store.putMany(keys.map((key) => [key, 1] as const)))

const tagOf = <A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(effect), ({ _tag }) => _tag)

describe("a stream", () => {
  it.effect("reads a snapshot of its own, except with snapshot: false", () =>
    Effect.gen(function*() {
      const { store } = yield* filled
      const inSnapshot = yield* readByHand(store.keys())
      const asItIs = yield* readByHand(store.keys({ snapshot: false }))
      const first = yield* inSnapshot.next
      assert.deepStrictEqual(yield* asItIs.next, first)
      assert.strictEqual((yield* store.stats).snapshots, 1)
      yield* store.put("z", 1)
      yield* store.delete(keyOf(999))
      assert.deepStrictEqual([...first, ...yield* inSnapshot.rest], keys)
      assert.deepStrictEqual([...first, ...yield* asItIs.rest], [...keys.slice(0, -1), "z"])
      assert.strictEqual((yield* store.stats).snapshots, 0)
    }))

  it.effect("in a transaction reads the earlier writes of the transaction, and ends with it", () =>
    Effect.gen(function*() {
      const { store } = yield* filled
      const { commit, inside } = yield* begin(store)
      yield* inside(store.put("y", 1))
      yield* inside(store.delete(keyOf(999)))
      const read = yield* inside(readByHand(store.keys()))
      const unread = yield* inside(readByHand(store.keys()))
      const first = yield* inside(read.next)
      yield* unread.next
      yield* inside(store.put("z", 1))
      yield* store.put("x", 1)
      assert.deepStrictEqual([...first, ...yield* inside(read.rest)], [...keys.slice(0, -1), "y"])
      // Another has written to the range that it has read
      assert.strictEqual(yield* tagOf(commit), "TransactionConflict")
      assert.strictEqual(yield* tagOf(unread.next), "Closed")
    }))

  it.effect("in a transaction ends with the store", () =>
    Effect.gen(function*() {
      const { store } = yield* filled
      const { inside } = yield* begin(store)
      const read = yield* inside(readByHand(store.keys()))
      yield* inside(read.next)
      yield* store.close()
      assert.strictEqual(yield* tagOf(read.next), "Closed")
    }))

  it.effect("fails with the error of the engine when it reads a part", () =>
    Effect.gen(function*() {
      let isFailing = false
      const { store } = yield* openWith(
        {},
        (environment) => withReads(environment, (part) => isFailing ? Exit.fail(faults.inputOutput) : part)
      )
      yield* store.putMany(keys.map((key) => [key, 1] as const))
      const read = yield* readByHand(store.keys())
      yield* read.next
      isFailing = true
      assert.deepStrictEqual(yield* Effect.flip(read.next), faults.inputOutput)
      isFailing = false
      assert.strictEqual(yield* Stream.runCount(store.keys()), keys.length)
    }))

  it.effect("of an index fails with the error of the engine when it reads a record", () =>
    Effect.gen(function*() {
      let isFailing = false
      const { store } = yield* openWith({}, (environment) => ({
        snapshot: () =>
          Exit.map(environment.snapshot(), (snapshot) => ({
            ...snapshot,
            get: (database, key, decode) =>
              isFailing ? Exit.fail(faults.inputOutput) : snapshot.get(database, key, decode),
            getMany: (database, wanted, decode) =>
              isFailing ? Exit.fail(faults.inputOutput) : snapshot.getMany(database, wanted, decode)
          }))
      }))
      const users = yield* Effect.provideService(openUsers, Store, store)
      yield* users.putMany([[1, userOf("Ada", 36)]])
      isFailing = true
      assert.deepStrictEqual(yield* Effect.flip(Stream.runDrain(users.indexes.byAge.values())), faults.inputOutput)
      assert.deepStrictEqual(yield* Stream.runCollect(users.indexes.byAge.keys()), [1])
    }))
})
