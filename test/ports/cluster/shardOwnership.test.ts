/** What a runner cannot do any more when its shards have passed to another one, whether it has noticed or not. */
import { assert, describe, it } from "@effect/vitest"
import type { NonEmptyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Entity from "effect/cluster/Entity"
import type * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Snowflake from "effect/cluster/Snowflake"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Cluster from "../../../src/Cluster.ts"
import { Collection, Store } from "../../../src/index.ts"
import * as ShardLocks from "../../../src/internal/ports/cluster/shardLocks.ts"
import { ShardNotHeld } from "../../../src/internal/ports/cluster/shardOwnership.ts"
import * as StoreInternals from "../../../src/internal/store/storeInternals.ts"
import {
  address,
  chunk,
  type Encoded,
  exit,
  idsOf,
  openOn,
  request,
  save,
  shardOf,
  take
} from "../../support/fixtures/cluster.ts"
import { damage } from "../../support/fixtures/collections.ts"
import { temporaryFolder } from "../../support/harness.ts"

const expiration = 35_000

const shard: NonEmptyArray<string> = [shardOf()]

const openRunners = Effect.provide(
  Cluster.RunnerStorage.makeEncoded,
  ShardingConfig.layer({ shardLockExpiration: expiration })
)

/** Takes the shard for a runner of another process, as if the lock had ended, or releases it. */
const otherProcess = Effect.gen(function*() {
  const { opening } = yield* Store
  const locks = yield* ShardLocks.open
  const runner = { address: "b:1", holder: "another process" }
  return {
    take: ShardLocks.acquire(locks, { ...runner, opening, shardIds: shard, now: 0, endedBefore: Infinity }),
    release: ShardLocks.releaseAll(locks, runner)
  }
})

interface Parts {
  readonly messages: Encoded
  readonly runners: RunnerStorage.Encoded
  readonly other: Effect.Success<typeof otherProcess>
}

/** Runs a test on a runner that holds the shard, and has been given the messages 1 and 2 of it. */
const onRunner = <A, E>(test: (parts: Parts) => Effect.Effect<A, E, Store | Scope.Scope>) =>
  Effect.gen(function*() {
    const messages = yield* openOn(yield* Store)
    const runners = yield* openRunners
    const other = yield* otherProcess
    yield* runners.acquire("a:1", shard)
    yield* save(messages, request(1))
    yield* save(messages, request(2))
    assert.deepStrictEqual(idsOf(yield* take(messages)), ["1", "2"])
    return yield* test({ messages, runners, other })
  }).pipe(Effect.scoped, Effect.provide(Store.layerTemp()))

const Handled = Collection.make("handled", { key: Schema.Int, value: Schema.String })

/** Damages all messages of the store. */
const damageMessages = Effect.gen(function*() {
  const { backend } = StoreInternals.of(yield* Store).access.handle.core
  const all = { from: undefined, to: undefined, reverse: false, values: false, maxRecords: 100, maxBytes: Infinity }
  const name = "collection/effect.Cluster.messages"
  const { records } = yield* backend.reader.read(name, all)
  yield* damage(records.map(([key]) => [name, key, Uint8Array.of(0xc1)]))
}).pipe(Effect.orDie)

/** Runs a handler with a transaction, as Effect does. */
const handle = <A, E, R>(messages: Encoded, handler: Effect.Effect<A, E, R>) =>
  Effect.provideService(messages.withTransaction(handler), Entity.CurrentAddress, address())

describe("a runner whose shard another process has", () => {
  it.effect("cannot save replies, and is given no messages", () =>
    onRunner(({ messages, other, runners }) =>
      Effect.gen(function*() {
        yield* messages.saveReply(chunk(10, 1, 0))
        yield* other.take
        for (const reply of [chunk(11, 2, 0), exit(12, 2)]) {
          const error = yield* Effect.flip(messages.saveReply(reply))
          assert.deepStrictEqual(error.cause, new ShardNotHeld({ shardId: "default:1" }))
        }
        assert.deepStrictEqual(yield* messages.repliesForUnfiltered(["2"]), [])
        yield* messages.resetShards(shard)
        assert.deepStrictEqual(yield* take(messages), [])
        assert.deepStrictEqual(yield* messages.unprocessedMessagesById([Snowflake.Snowflake("2")], 0), [])
        assert.deepStrictEqual(yield* runners.refresh("a:1", shard), [])
        // Nor after the other process has left, before it has acquired the shard again.
        yield* other.release
        assert.deepStrictEqual(yield* take(messages), [])
        assert.deepStrictEqual(
          yield* Effect.exit(messages.saveReply(exit(13, 2))).pipe(Effect.map(({ _tag }) => _tag)),
          "Failure"
        )
        yield* runners.acquire("a:1", shard)
        assert.deepStrictEqual(idsOf(yield* take(messages)), ["2"])
        yield* messages.saveReply(exit(14, 2))
      })
    ))

  it.effect("cannot answer a request whose record is damaged: it took the request from the shard", () =>
    onRunner(({ messages, other }) =>
      Effect.gen(function*() {
        yield* damageMessages
        yield* other.take
        const error = yield* Effect.flip(messages.saveReply(exit(10, 1)))
        assert.deepStrictEqual(error.cause, new ShardNotHeld({ shardId: "default:1" }))
        yield* other.release
      })
    ))

  it.effect("can send messages to it", () =>
    onRunner(({ messages, other }) =>
      Effect.gen(function*() {
        yield* other.take
        yield* save(messages, request(3))
        yield* messages.clearReplies(Snowflake.Snowflake("1"))
        assert.deepStrictEqual(yield* messages.repliesFor(["1"]), [])
      })
    ))

  it.effect("does not run a handler that is a transaction", () =>
    onRunner(({ messages, other }) =>
      Effect.gen(function*() {
        yield* other.take
        let runs = 0
        const ended = yield* Effect.exit(handle(messages, Effect.sync(() => runs++)))
        assert.deepInclude(ended._tag === "Failure" ? Cause.squash(ended.cause) : undefined, { _tag: "ShardNotHeld" })
        assert.strictEqual(runs, 0)
      })
    ))

  it.effect("cannot commit a handler that has begun before", () =>
    onRunner(({ messages, other }) =>
      Effect.gen(function*() {
        const handled = yield* Handled
        const outside = yield* Effect.context<Store>()
        for (const reply of [Effect.void, messages.saveReply(exit(10, 1))]) {
          yield* other.release
          const ended = yield* Effect.exit(handle(
            messages,
            Effect.gen(function*() {
              yield* handled.insert(1, "by a")
              yield* reply
              // A fiber that does not belong to the transaction.
              const taking = Effect.runForkWith(outside)(other.take)
              yield* Effect.callback<void>((resume) => void taking.addObserver(() => resume(Effect.void)))
            })
          ))
          assert.strictEqual(ended._tag, "Failure")
          assert.isFalse(yield* handled.has(1))
          assert.deepStrictEqual(yield* messages.repliesForUnfiltered(["1"]), [])
        }
      })
    ))
})

describe("a runner whose lock has ended", () => {
  it.effect("is given no messages until it has renewed it, and can save replies as long as no other has the shard", () =>
    onRunner(({ messages, runners }) =>
      Effect.gen(function*() {
        yield* save(messages, request(3))
        yield* TestClock.adjust(expiration + 1)
        assert.deepStrictEqual(yield* take(messages, expiration + 1), [])
        yield* messages.saveReply(exit(10, 1))
        assert.deepStrictEqual(yield* runners.refresh("a:1", shard), shard)
        assert.deepStrictEqual(idsOf(yield* take(messages, expiration + 1)), ["3"])
      })
    ))
})

describe("a runner that has been started again with the same address", () => {
  it.effect("takes the shards of the process that had it before", () =>
    onRunner(({ runners }) =>
      Effect.gen(function*() {
        const again = yield* openRunners
        assert.deepStrictEqual(yield* again.acquire("a:1", shard), shard)
        assert.deepStrictEqual(yield* runners.refresh("a:1", shard), [])
        yield* runners.release("a:1", shard[0])
        yield* runners.releaseAll("a:1")
        assert.deepStrictEqual(yield* again.refresh("a:1", shard), shard)
      })
    ))
})

describe("a handler that is a transaction", () => {
  it.effect("is not in conflict with the renewal of locks, and a renewal is not undone with it", () =>
    onRunner(({ messages, other, runners }) =>
      Effect.gen(function*() {
        const handled = yield* Handled
        yield* runners.register("a:1", "runner a", true)
        yield* handle(
          messages,
          Effect.gen(function*() {
            yield* handled.insert(1, "by a")
            yield* TestClock.adjust(1000)
            yield* runners.refresh("a:1", shard)
            yield* runners.acquire("a:1", shard)
            yield* messages.saveReply(exit(10, 1))
          })
        )
        assert.strictEqual(yield* handled.getOrFail(1), "by a")
        yield* TestClock.adjust(expiration)
        yield* Effect.exit(handle(messages, Effect.andThen(runners.refresh("a:1", shard), Effect.die("at the end"))))
        yield* TestClock.adjust(expiration)
        const rival = yield* openRunners
        assert.deepStrictEqual(yield* rival.acquire("c:1", shard), [])
        yield* other.release
      })
    ))
})

describe("a process without runners of its own in the file", () => {
  it.effect("may do everything, before it acquires a shard and after its runner has closed", () =>
    Effect.gen(function*() {
      const messages = yield* openOn(yield* Store)
      yield* Effect.scoped(Effect.gen(function*() {
        yield* (yield* otherProcess).take
        const runners = yield* openRunners
        yield* save(messages, request(1))
        assert.deepStrictEqual(idsOf(yield* take(messages)), ["1"])
        yield* runners.acquire("a:1", ["default:2"])
        assert.strictEqual((yield* Effect.flip(messages.saveReply(exit(10, 1))))._tag, "PersistenceError")
      }))
      yield* messages.saveReply(exit(11, 1))
      yield* save(messages, request(2))
      assert.deepStrictEqual(idsOf(yield* take(messages)), ["2"])
    }).pipe(Effect.provide(Store.layerTemp())))
})

describe("two layers of a store for one path in one process", () => {
  it.effect("are one owner: the messages of one of them know the shards of the runner of the other one", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const [one, two] = [yield* Store.make({ path }), yield* Store.make({ path })]
      const messages = yield* openOn(one)
      yield* save(messages, request(1))
      yield* Effect.gen(function*() {
        const runners = yield* openRunners
        const other = yield* otherProcess
        yield* runners.acquire("a:1", shard)
        assert.deepStrictEqual(idsOf(yield* take(messages)), ["1"])
        yield* other.take
      }).pipe(Effect.provideService(Store, two))
      const error = yield* Effect.flip(messages.saveReply(exit(10, 1)))
      assert.deepStrictEqual(error.cause, new ShardNotHeld({ shardId: "default:1" }))
      yield* messages.resetShards(shard)
      assert.deepStrictEqual(yield* take(messages), [])
    }).pipe(Effect.scoped))
})
