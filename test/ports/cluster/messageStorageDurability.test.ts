/** What is on disk of the messages of a cluster, and how they fail. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as Snowflake from "effect/cluster/Snowflake"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Cluster from "../../../src/Cluster.ts"
import { Collection, Store, type StoreService } from "../../../src/index.ts"
import * as DelayedStore from "../../support/delayedStore.ts"
import {
  ack,
  address,
  chunk,
  type Encoded,
  exit,
  idsOf,
  interrupt,
  onStorage,
  openOn,
  request,
  save,
  shardOf,
  take
} from "../../support/fixtures/cluster.ts"
import { start, temporaryFolder, withStore } from "../../support/harness.ts"
import { withSpans } from "../../support/spans.ts"

/** The failure of a handler. It has a tag that an error of the store has too. */
class HandlerFailed extends Data.TaggedError("TransactionConflict")<{ readonly by: string }> {}

/** The commits of a store from now on. */
const commitsOf = Effect.fnUntraced(function*(store: StoreService) {
  const commits: Array<number> = []
  yield* start(
    Stream.runForEach(store.commits(), ({ transactionId }) => Effect.sync(() => commits.push(transactionId)))
  )
  return commits
})

const squashed = <A, E>(ended: Exit.Exit<A, E>) => ended._tag === "Failure" ? Cause.squash(ended.cause) : undefined

describe("what a call has saved", () => {
  it.effect("is not pending when it returns", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const calls = [
          save(storage, request(1), { primaryKey: "one" }),
          storage.saveReply(chunk(10, 1, 0)),
          save(storage, ack(11, 1, 10)),
          save(storage, interrupt(12, 1)),
          storage.saveReply(exit(13, 1)),
          storage.clearReplies(Snowflake.Snowflake("1")),
          storage.clearAddress(address())
        ]
        const commits = yield* commitsOf(store)
        for (const [index, call] of calls.entries()) {
          yield* call
          assert.strictEqual((yield* store.stats).pending, 0)
          yield* Effect.yieldNow
          assert.strictEqual(commits.length, index + 1)
        }
      })
    ))

  it.effect("is there in the next process, and nothing is claimed", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* TestClock.setTime(1_000_000)
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const storage = yield* openOn(store)
          yield* Effect.forEach([1, 2, 3], (id) => save(storage, request(id)))
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "2", "3"])
          yield* storage.saveReply(exit(10, 2))
        }))
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const storage = yield* openOn(store)
          yield* save(storage, request(4))
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "3", "4"])
          assert.deepStrictEqual(yield* storage.repliesFor(["2"]), [exit(10, 2)])
        }))
    }).pipe(Effect.scoped))

  it.effect("shares commits with what other fibers save at the same time", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const commits = yield* commitsOf(store)
        yield* Effect.forEach(
          Array.from({ length: 100 }, (_, id) => id),
          (id) => save(storage, request(id), { primaryKey: `key ${id}` }),
          { concurrency: "unbounded" }
        )
        yield* Effect.yieldNow
        assert.isBelow(commits.length, 20)
        assert.strictEqual((yield* take(storage)).length, 100)
      })
    ))

  it.effect("is not changed by a look for messages", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        yield* Effect.forEach([1, 2, 3], (id) => save(storage, request(id)))
        const commits = yield* commitsOf(store)
        assert.strictEqual((yield* take(storage)).length, 3)
        yield* storage.unprocessedMessagesById([Snowflake.Snowflake("1")], 0)
        yield* storage.resetShards([shardOf()])
        yield* storage.repliesFor(["1"])
        yield* store.flush
        yield* Effect.yieldNow
        assert.deepStrictEqual(commits, [])
      })
    ))
})

describe("a transaction around a handler", () => {
  const Accounts = Collection.make("accounts", { key: Schema.String, value: Schema.Int })

  it.effect("commits what the handler writes together with its reply", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const accounts = yield* Effect.provideService(Accounts, Store, store)
        yield* save(storage, request(1))
        const commits = yield* commitsOf(store)
        const result = yield* storage.withTransaction(Effect.gen(function*() {
          yield* accounts.put("ada", 10)
          yield* storage.saveReply(exit(10, 1))
          return "done"
        }))
        yield* Effect.yieldNow
        assert.strictEqual(result, "done")
        assert.strictEqual(commits.length, 1)
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [exit(10, 1)])
        yield* storage.clearReplies(Snowflake.Snowflake("1"))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
      })
    ))

  it.effect("that fails saves nothing, keeps the claim, and fails as the handler does", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const accounts = yield* Effect.provideService(Accounts, Store, store)
        yield* save(storage, request(1))
        yield* take(storage)
        const failed = yield* Effect.flip(storage.withTransaction(Effect.gen(function*() {
          yield* accounts.put("ada", 10)
          yield* storage.saveReply(exit(10, 1))
          return yield* new HandlerFailed({ by: "handler" })
        })))
        assert.deepInclude(failed, { by: "handler" })
        assert.isFalse(yield* accounts.has("ada"))
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [])
        assert.deepStrictEqual(yield* take(storage), [])
        yield* storage.resetRequests([Snowflake.Snowflake("1")])
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
      })
    ))

  it.effect("runs it once: a conflict is a defect", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const accounts = yield* Effect.provideService(Accounts, Store, store)
        yield* accounts.putMany([["ada", 1]])
        yield* save(storage, request(1))
        let runs = 0
        const outside = yield* Effect.context()
        const ended = yield* Effect.exit(storage.withTransaction(Effect.gen(function*() {
          runs++
          const balance = yield* accounts.getOrFail("ada")
          // A fiber that does not belong to the transaction.
          const other = Effect.runForkWith(outside)(accounts.put("ada", 100, { durable: true }))
          yield* Effect.callback<void>((resume) => void other.addObserver(() => resume(Effect.void)))
          yield* accounts.put("ada", balance + 1)
          yield* storage.saveReply(exit(10, 1))
        })))
        assert.strictEqual(runs, 1)
        assert.deepInclude(squashed(ended), { _tag: "TransactionConflict" })
        assert.strictEqual(yield* accounts.getOrFail("ada"), 100)
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [])
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
      })
    ))

  it.effect("inside another one belongs to it", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1))
        const ended = yield* Effect.exit(storage.withTransaction(Effect.gen(function*() {
          yield* storage.withTransaction(storage.saveReply(exit(10, 1)))
          return yield* Effect.die("at the end")
        })))
        assert.strictEqual(squashed(ended), "at the end")
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [])
      })
    ))

  it.effect("of the program has the messages that it sends", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        yield* Effect.ignore(store.withTransaction(Effect.andThen(save(storage, request(1)), Effect.fail("no"))))
        yield* store.withTransaction(save(storage, request(2)))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["2"])
      })
    ))
})

const calls = (storage: Encoded) => ({
  saveEnvelope: save(storage, request(9), { primaryKey: "nine" }),
  saveReply: storage.saveReply(exit(90, 9)),
  clearReplies: storage.clearReplies(Snowflake.Snowflake("1")),
  clearAddress: storage.clearAddress(address()),
  requestIdForPrimaryKey: storage.requestIdForPrimaryKey("one"),
  repliesFor: storage.repliesFor(["1"]),
  repliesForUnfiltered: storage.repliesForUnfiltered(["1"]),
  unprocessedMessages: take(storage),
  unprocessedMessagesById: storage.unprocessedMessagesById([Snowflake.Snowflake("1")], 0)
})

describe("failures", () => {
  it.effect("of a store that is closed are persistence errors", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const storage = yield* withStore({ path }, openOn)
      for (const [name, call] of Object.entries(calls(storage))) {
        const error = yield* Effect.flip<unknown, { readonly _tag: string; readonly cause: unknown }, never>(call)
        assert.strictEqual(error._tag, "PersistenceError", name)
        assert.deepInclude(error.cause, { _tag: "Closed" }, name)
      }
    }).pipe(Effect.scoped))

  it.effect("of a store that is read-only are those of the writes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => Effect.flatMap(openOn(store), (storage) => save(storage, request(1))))
      yield* withStore({ path, readOnly: true }, (store) =>
        Effect.gen(function*() {
          const storage = yield* openOn(store)
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
          const error = yield* Effect.flip(storage.saveReply(exit(10, 1)))
          assert.deepInclude(error.cause, { _tag: "ReadOnly" })
        }))
    }).pipe(Effect.scoped))

  it.effect("begin no spans, and neither do successes; a handler keeps its own", () =>
    withSpans((spans) =>
      onStorage((storage) =>
        Effect.gen(function*() {
          const before = spans.length
          for (const call of Object.values(calls(storage))) {
            yield* Effect.exit<unknown, unknown, never>(call)
          }
          yield* storage.withTransaction(Effect.withSpan(storage.saveReply(exit(1, 1)), "handler"))
          // The store itself has a span for each commit.
          const names = spans.slice(before).map(({ name }) => name)
          assert.deepStrictEqual(names.filter((name) => name !== "Store.commit"), ["handler"])
        })
      )
    ))
})

describe("other stores", () => {
  it.effect("whose reads take time give the same", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const storage = yield* openOn(yield* DelayedStore.open({ path }))
      yield* Effect.forEach([1, 2, 3], (id) => save(storage, request(id), { primaryKey: `key ${id}` }), {
        concurrency: "unbounded"
      })
      const second = yield* save(storage, request(4), { primaryKey: "key 1" })
      assert.deepInclude(second, { _tag: "Duplicate", originalId: Snowflake.Snowflake("1") })
      yield* storage.saveReply(exit(10, 2))
      assert.sameMembers([...idsOf(yield* take(storage))], ["1", "3"])
    }).pipe(Effect.scoped))

  it.effect("are provided by the layer", () =>
    Effect.gen(function*() {
      const storage = yield* MessageStorage.MessageStorage
      assert.deepStrictEqual(yield* storage.repliesForUnfiltered([Snowflake.Snowflake("1")]), [])
    }).pipe(Effect.provide(Cluster.MessageStorage.layer), Effect.provide(Store.layerTemp())))
})
