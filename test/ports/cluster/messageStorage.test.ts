/**
 * Messages of a cluster and their replies, in the order in which a runner works on them.
 *
 * It has the cases of the tests of Effect's SQL and memory storages (4.0.0-rc.111). Left out are those about rows, columns and
 * indexes of SQL databases, and about primary keys that earlier versions of Effect have stored.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Array from "effect/Array"
import type * as Reply from "effect/cluster/Reply"
import * as Snowflake from "effect/cluster/Snowflake"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import {
  ack,
  address,
  chunk,
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

const minutes = 60_000

const success = { _tag: "Success" } as const

const duplicate = (lastReceivedReply: Option.Option<Reply.Encoded>) => ({
  _tag: "Duplicate" as const,
  originalId: Snowflake.Snowflake("1"),
  lastReceivedReply
})

const long = (end: string) => `Counter/one/Add/${"\ud800 long ".repeat(500)}${end}`

describe("a request", () => {
  it.effect("waits until its exit is saved, as it was sent", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        assert.deepInclude(yield* save(storage, request(1)), success)
        assert.deepStrictEqual(yield* storage.unprocessedMessagesById([Snowflake.Snowflake("1")], 0), [
          { envelope: request(1), lastSentReply: Option.none() }
        ])
        assert.deepStrictEqual(yield* take(storage), [{ envelope: request(1), lastSentReply: Option.none() }])
        yield* storage.saveReply(exit(2, 1))
        assert.deepStrictEqual(yield* storage.unprocessedMessagesById([Snowflake.Snowflake("1")], 0), [])
        assert.deepStrictEqual(yield* take(storage, 20 * minutes), [])
      })
    ))

  it.effect("has a payload that becomes what JSON makes of it, and may have no trace", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        const { sampled: _sampled, spanId: _spanId, traceId: _traceId, ...untraced } = request(1)
        yield* save(storage, { ...untraced, payload: { a: undefined, b: "\ud800", c: new Date(0) } })
        const [taken] = yield* take(storage)
        assert.deepStrictEqual(taken?.envelope, {
          ...untraced,
          payload: { b: "\ud800", c: "1970-01-01T00:00:00.000Z" }
        })
      })
    ))

  it.effect("is delivered in the order of the calls, not of the ids", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* Effect.forEach([5, 3, 9, 1], (id) => save(storage, request(id)))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["5", "3", "9", "1"])
      })
    ))

  it.effect("is delivered when its time has come, among the others by when it was saved", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1), { deliverAt: 2000 })
        yield* save(storage, request(2))
        yield* save(storage, request(3), { deliverAt: 1000 })
        yield* save(storage, request(4), { deliverAt: 2001 })
        yield* save(storage, request(5), { deliverAt: -1 })
        const ids = Array.map(Array.range(1, 5), (id) => Snowflake.Snowflake(String(id)))
        assert.deepStrictEqual(idsOf(yield* storage.unprocessedMessagesById(ids, 1999)), ["2", "3", "5"])
        assert.deepStrictEqual(idsOf(yield* take(storage, 0, { limit: 1 })), ["2"])
        assert.deepStrictEqual(idsOf(yield* take(storage, 2000)), ["1", "3", "5"])
        assert.deepStrictEqual(idsOf(yield* take(storage, 2001)), ["4"])
      })
    ))

  it.effect("has an id of 63 bits", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        const id = String(2n ** 63n - 1n)
        yield* save(storage, { ...request(1), requestId: id }, { primaryKey: "large" })
        assert.deepStrictEqual(idsOf(yield* take(storage)), [id])
        assert.deepStrictEqual(
          yield* storage.requestIdForPrimaryKey("large"),
          Option.some(Snowflake.Snowflake(id))
        )
      })
    ))
})

describe("a look for messages", () => {
  it.effect("claims what it gives for ten minutes", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1))
        assert.deepStrictEqual(idsOf(yield* take(storage, 1000)), ["1"])
        yield* save(storage, request(2))
        assert.deepStrictEqual(idsOf(yield* take(storage, 2000)), ["2"])
        assert.deepStrictEqual(yield* take(storage, 1000 + 10 * minutes - 1), [])
        assert.deepStrictEqual(idsOf(yield* take(storage, 1000 + 10 * minutes)), ["1"])
      })
    ))

  it.effect("gives each message once, also to looks at the same time", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* Effect.forEach([1, 2, 3], (id) => save(storage, request(id)))
        const looks = yield* Effect.replicateEffect(take(storage), 3, { concurrency: "unbounded" })
        assert.deepStrictEqual(looks.flatMap(idsOf), ["1", "2", "3"])
      })
    ))

  it.effect("claims no more than its limit", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* Effect.forEach([1, 2, 3, 4, 5], (id) => save(storage, request(id)))
        assert.deepStrictEqual(idsOf(yield* take(storage, 0, { limit: 3 })), ["1", "2", "3"])
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["4", "5"])
      })
    ))

  it.effect("gives only what is for the shards, and for the addresses if there are any", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1, { shard: 1, entity: "a" }))
        yield* save(storage, request(2, { shard: 2, entity: "a" }))
        yield* save(storage, request(3, { shard: 1, entity: "b" }))
        const both = [shardOf({ shard: 1 }), shardOf({ shard: 2 })] as const
        const empty = yield* take(storage, 0, { addresses: [] }, both)
        assert.deepStrictEqual(empty, [])
        const some = yield* take(storage, 0, { addresses: [address({ shard: 1, entity: "a" })] }, both)
        assert.deepStrictEqual(idsOf(some), ["1"])
        assert.deepStrictEqual(idsOf(yield* take(storage, 0, {}, [shardOf({ shard: 2 })])), ["2"])
        assert.deepStrictEqual(idsOf(yield* take(storage, 0, {}, both)), ["3"])
      })
    ))

  it.effect("gives again what was released, by request, address or shard", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1, { entity: "a" }))
        yield* save(storage, request(2, { entity: "b" }))
        yield* save(storage, request(3, { entity: "c", shard: 2 }))
        const look = Effect.map(take(storage, 0, {}, [shardOf(), shardOf({ shard: 2 })]), idsOf)
        assert.deepStrictEqual(yield* look, ["1", "2", "3"])
        yield* storage.resetRequests([Snowflake.Snowflake("2")])
        assert.deepStrictEqual(yield* look, ["2"])
        yield* storage.resetAddresses([address({ entity: "a" }), address({ entity: "c", shard: 1 })])
        assert.deepStrictEqual(yield* look, ["1"])
        yield* storage.resetShards([shardOf({ shard: 2 })])
        assert.deepStrictEqual(yield* look, ["3"])
        yield* storage.resetAddresses([])
        assert.deepStrictEqual(yield* look, [])
      })
    ))
})

describe("a primary key", () => {
  it.effect("belongs to one request, and its last reply is told", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        const again = (id: number) => save(storage, request(id), { primaryKey: "Counter/one/Add/key" })
        assert.deepInclude(yield* again(1), success)
        assert.deepInclude(yield* again(2), duplicate(Option.none()))
        yield* storage.saveReply(chunk(10, 1, 0))
        assert.deepInclude(yield* again(3), duplicate(Option.some(chunk(10, 1, 0))))
        yield* save(storage, ack(11, 1, 10))
        assert.deepInclude(yield* again(4), duplicate(Option.some(chunk(10, 1, 0))))
        yield* storage.saveReply(exit(12, 1))
        assert.deepInclude(yield* again(5), duplicate(Option.some(exit(12, 1))))
        assert.deepStrictEqual(yield* take(storage, 20 * minutes), [])
      })
    ))

  it.effect("can be longer than a key of the store", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        assert.deepInclude(yield* save(storage, request(1), { primaryKey: long("a") }), success)
        assert.deepInclude(yield* save(storage, request(2), { primaryKey: long("b") }), success)
        assert.deepInclude(yield* save(storage, request(3), { primaryKey: long("a") }), { _tag: "Duplicate" })
        const found = yield* Effect.forEach(["a", "b", "c"], (end) => storage.requestIdForPrimaryKey(long(end)))
        assert.deepStrictEqual(found, [
          Option.some(Snowflake.Snowflake("1")),
          Option.some(Snowflake.Snowflake("2")),
          Option.none()
        ])
      })
    ))

  it.effect("is given to one of many requests at the same time", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        const results = yield* Effect.forEach(
          Array.range(0, 29),
          (id) => save(storage, request(id), { primaryKey: "one" }),
          { concurrency: "unbounded" }
        )
        const saved = results.flatMap(({ _tag }, id) => _tag === "Success" ? [id] : [])
        assert.strictEqual(saved.length, 1)
        const originals = results.flatMap((result) => result._tag === "Duplicate" ? [String(result.originalId)] : [])
        assert.deepStrictEqual(new Set(originals), new Set(saved.map(String)))
        assert.deepStrictEqual(idsOf(yield* take(storage)), saved.map(String))
      })
    ))

  it.effect("is not needed to find a request that was saved before", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1))
        const again = yield* save(storage, request(1))
        assert.deepInclude(again, { _tag: "Duplicate", originalId: Snowflake.Snowflake("1") })
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
      })
    ))
})

describe("replies", () => {
  it.effect("are an exit, once, and the chunks that are not acknowledged", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* Effect.forEach([1, 2], (id) => save(storage, request(id)))
        yield* storage.saveReply(chunk(10, 1, 0))
        yield* save(storage, ack(11, 1, 10))
        yield* storage.saveReply(chunk(12, 1, 1))
        yield* storage.saveReply(exit(13, 1))
        yield* storage.saveReply(exit(14, 2))
        const pending = [chunk(12, 1, 1), exit(13, 1)]
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), pending)
        assert.deepStrictEqual(yield* storage.repliesFor(["2", "1", "3"]), [exit(14, 2), ...pending])
        assert.deepStrictEqual(yield* storage.repliesForUnfiltered(["1"]), [chunk(10, 1, 0), ...pending])
      })
    ))

  it.effect("with a second exit, or a second chunk of a sequence, are refused", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1))
        yield* storage.saveReply(chunk(10, 1, 0))
        const sequence = yield* Effect.flip(storage.saveReply(chunk(11, 1, 0)))
        yield* storage.saveReply(exit(12, 1, "first"))
        const second = yield* Effect.flip(storage.saveReply(exit(13, 1, "second")))
        assert.deepStrictEqual([sequence._tag, second._tag], ["PersistenceError", "PersistenceError"])
        assert.deepInclude(second.cause, { _tag: "KeyExists" })
        assert.deepStrictEqual(yield* storage.repliesForUnfiltered(["1"]), [chunk(10, 1, 0), exit(12, 1, "first")])
      })
    ))

  it.effect("are kept for a request that is not there any more", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* storage.saveReply(exit(2, 1))
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [exit(2, 1)])
      })
    ))
})

describe("a stream of replies", () => {
  it.effect("holds the messages of its request until each chunk is acknowledged", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1))
        yield* storage.saveReply(chunk(10, 1, 0))
        yield* storage.saveReply(chunk(11, 1, 1))
        yield* save(storage, interrupt(20, 1))
        assert.deepStrictEqual(yield* take(storage), [])
        yield* save(storage, ack(21, 1, 10))
        assert.deepStrictEqual(yield* take(storage), [])
        yield* save(storage, ack(22, 1, 11))
        // The later acknowledgement has replaced the earlier one.
        assert.deepStrictEqual(yield* take(storage), [
          { envelope: request(1), lastSentReply: Option.some(chunk(11, 1, 1)) },
          { envelope: interrupt(20, 1), lastSentReply: Option.none() },
          { envelope: ack(22, 1, 11), lastSentReply: Option.none() }
        ])
      })
    ))

  it.effect("keeps the claim of its request while it is held", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
        yield* storage.saveReply(chunk(10, 1, 0))
        assert.deepStrictEqual(idsOf(yield* take(storage)), [])
        yield* save(storage, ack(21, 1, 10))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["21"])
        yield* storage.resetShards([shardOf()])
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "21"])
      })
    ))

  it.effect("goes on after an acknowledgement of a chunk that it does not have", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1))
        yield* storage.saveReply(chunk(10, 1, 0))
        yield* save(storage, ack(20, 1, 99))
        assert.deepStrictEqual(yield* take(storage), [])
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [chunk(10, 1, 0)])
      })
    ))
})

describe("clearing replies", () => {
  it.effect("makes the request wait again at once, without its interrupts", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1))
        yield* save(storage, interrupt(20, 1))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "20"])
        yield* storage.saveReply(exit(10, 1, "first"))
        yield* storage.clearReplies(Snowflake.Snowflake("1"))
        assert.deepStrictEqual(yield* storage.repliesForUnfiltered(["1"]), [])
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
        yield* storage.saveReply(exit(11, 1, "second"))
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [exit(11, 1, "second")])
      })
    ))

  it.effect("of an expected reply does nothing if that is not the last one", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1))
        yield* save(storage, interrupt(20, 1))
        const clear = (id: number) =>
          storage.clearReplies(Snowflake.Snowflake("1"), { expectedReplyId: Snowflake.Snowflake(String(id)) })
        yield* clear(10)
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "20"])
        yield* storage.saveReply(exit(10, 1))
        yield* clear(9)
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [exit(10, 1)])
        assert.deepStrictEqual(yield* take(storage), [])
        yield* clear(10)
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [])
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "20"])
      })
    ))

  it.effect("of an entity deletes its messages and replies in all shards", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(1, { entity: "a" }), { primaryKey: "one" })
        yield* save(storage, interrupt(2, 1, { entity: "a" }))
        yield* save(storage, request(3, { entity: "a", shard: 2 }))
        yield* save(storage, request(4, { entity: "b" }), { primaryKey: "four" })
        yield* storage.saveReply(exit(10, 1))
        yield* storage.saveReply(exit(11, 4))
        yield* storage.clearAddress(address({ entity: "a" }))
        assert.deepStrictEqual(yield* storage.repliesForUnfiltered(["1", "4"]), [exit(11, 4)])
        const left = yield* take(storage, 0, {}, [shardOf(), shardOf({ shard: 2 })])
        assert.deepStrictEqual(left, [])
        const ids = yield* Effect.forEach(["one", "four"], storage.requestIdForPrimaryKey)
        assert.deepStrictEqual(ids, [Option.none(), Option.some(Snowflake.Snowflake("4"))])
        assert.deepInclude(yield* save(storage, request(5, { entity: "a" }), { primaryKey: "one" }), success)
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["5"])
      })
    ))
})

describe("the claims of a runner", () => {
  it.effect("do not hold a request whose replies another runner clears", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const other = yield* openOn(store)
        yield* save(storage, request(1))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
        yield* storage.saveReply(exit(10, 1))
        yield* other.clearReplies(Snowflake.Snowflake("1"))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
      })
    ))

  it.effect("are its own", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const other = yield* openOn(store)
        yield* save(storage, request(1))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
        assert.deepStrictEqual(idsOf(yield* take(other)), ["1"])
      })
    ))
})
