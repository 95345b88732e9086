/** Records of a cluster that are damaged in the file: what is not damaged goes on. */
import { assert, describe, it } from "@effect/vitest"
import type { NonEmptyArray } from "effect/Array"
import type * as Envelope from "effect/cluster/Envelope"
import * as EffectMessageStorage from "effect/cluster/MessageStorage"
import type * as EffectRunnerStorage from "effect/cluster/RunnerStorage"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Snowflake from "effect/cluster/Snowflake"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { RunnerStorage } from "../../../src/Cluster.ts"
import { Store, type StoreService } from "../../../src/index.ts"
import * as Mailbox from "../../../src/internal/ports/cluster/mailbox.ts"
import * as Cleanup from "../../../src/internal/ports/cluster/messageCleanup.ts"
import * as MessageStore from "../../../src/internal/ports/cluster/messageStore.ts"
import * as StoreInternals from "../../../src/internal/store/storeInternals.ts"
import { ByteString } from "../../../src/Key.ts"
import {
  ack,
  address,
  chunk,
  type Encoded,
  exit,
  idsOf,
  interrupt,
  openOn,
  request,
  save,
  shardOf,
  take
} from "../../support/fixtures/cluster.ts"
import { damage, recordsOf, tamper } from "../../support/fixtures/collections.ts"
import { type LogEntry, temporaryFolder, withLog, withStore } from "../../support/harness.ts"

const database = (name: string) => `collection/effect.Cluster.${name}`

/** Bytes that are no record of this package. */
const garbage = Buffer.of(0xc1)

/** The bytes of a key that is text. */
const keyOf = (text: string) => ByteString(`\x60${text}\0`)

/** Damages records of a closed store, by their places in the order of the keys. */
const damageAt = Effect.fnUntraced(function*(path: string, name: string, places: ReadonlyArray<number>) {
  const records = yield* recordsOf(path, database(name))
  const keys = places.flatMap((place) => records.slice(place, place + 1).map(([key]) => key))
  assert.strictEqual(keys.length, places.length)
  yield* tamper(path, keys.map((key) => [database(name), key, garbage]))
})

const errorsOf = (log: ReadonlyArray<LogEntry>) => log.filter(({ level }) => level === "ERROR").map(({ text }) => text)

/** Saves messages, damages records, and then tests the storage in the next process. */
const afterDamage = <A, E>(
  saves: (storage: Encoded) => Effect.Effect<unknown, E>,
  [name, ...places]: readonly [string, ...ReadonlyArray<number>],
  test: (storage: Encoded, log: ReadonlyArray<LogEntry>, store: StoreService) => Effect.Effect<A, E, Scope.Scope>
) =>
  withLog((log) =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => Effect.flatMap(openOn(store), saves))
      yield* damageAt(path, name, places)
      yield* withStore({ path }, (store) => Effect.flatMap(openOn(store), (storage) => test(storage, log, store)))
    })
  ).pipe(Effect.scoped)

const snowflakes = (
  first: bigint,
  ...rest: ReadonlyArray<bigint>
): NonEmptyArray<Snowflake.Snowflake> => [Snowflake.Snowflake(first), ...rest.map((id) => Snowflake.Snowflake(id))]

const saveRequests = (storage: Encoded) =>
  Effect.forEach([1, 2, 3, 4], (id) => save(storage, request(id), { primaryKey: `key ${id}` }), { discard: true })

describe("a damaged message", () => {
  it.effect("is not delivered, and the others are; the log tells of it once", () =>
    afterDamage(saveRequests, ["messages", 1], (storage, log) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "3", "4"])
        yield* storage.resetShards([shardOf()])
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "3", "4"])
        assert.deepStrictEqual(idsOf(yield* storage.unprocessedMessagesById(snowflakes(1n, 2n, 3n), 0)), ["1", "3"])
        const told = errorsOf(log)
        assert.strictEqual(told.length, 1)
        assert.match(told[0] ?? "", /message 2 .* damaged .* `clearAddress`/)
      })))

  it.effect("takes no room from the others", () =>
    afterDamage(saveRequests, ["messages", 0, 1], (storage) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(idsOf(yield* take(storage, 0, { limit: 1 })), ["3"])
        assert.deepStrictEqual(idsOf(yield* take(storage, 0, { limit: 1 })), ["4"])
        assert.deepStrictEqual(idsOf(yield* take(storage, 0, { limit: 1 })), [])
      })))

  it.effect("does not stop what is saved, and is deleted with its entity", () =>
    afterDamage(saveRequests, ["messages", 1], (storage, log, store) =>
      Effect.gen(function*() {
        yield* storage.saveReply(exit(10, 1))
        yield* save(storage, request(5))
        yield* storage.clearAddress(address())
        yield* save(storage, request(6))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["6"])
        const mailbox = yield* Effect.orDie(Effect.provideService(Mailbox.open, Store, store))
        assert.strictEqual(yield* Effect.orDie(mailbox.count()), 1)
        assert.deepStrictEqual(errorsOf(log), [])
      })))
})

/** Damages the values of messages of a closed store, or all their bytes: then their index entries are lost too. */
const damageMessages = Effect.fnUntraced(function*(path: string, places: ReadonlyArray<number>, isWhole: boolean) {
  const records = yield* recordsOf(path, database("messages"))
  const chosen = places.flatMap((place) => records.slice(place, place + 1))
  assert.strictEqual(chosen.length, places.length)
  yield* tamper(
    path,
    chosen.map(([key, bytes]) => [database("messages"), key, isWhole ? garbage : withValueOf(bytes, garbage)])
  )
})

/** A record of a collection with another value: its index entries, which come before the value, stay. */
const withValueOf = (record: Buffer, value: Uint8Array) =>
  Buffer.concat([record.subarray(0, 5 + record.readUInt32LE(1)), value])

describe.each([["its value", false], ["all of it", true]])(
  "a damaged interrupt or acknowledgement: %s",
  (_, isWhole) => {
    /** A request with a chunk, its acknowledgement and an interrupt, both of them damaged, and a request without. */
    const after = <A, E>(
      test: (storage: Encoded, log: ReadonlyArray<LogEntry>, store: StoreService) => Effect.Effect<A, E, Scope.Scope>
    ) =>
      withLog((log) =>
        Effect.gen(function*() {
          const path = yield* temporaryFolder
          yield* withStore({ path }, (store) =>
            Effect.gen(function*() {
              const storage = yield* openOn(store)
              yield* Effect.forEach([1, 2], (id) => save(storage, request(id)))
              yield* storage.saveReply(chunk(10, 1, 0))
              yield* save(storage, ack(11, 1, 10))
              yield* save(storage, interrupt(12, 1))
            }))
          yield* damageMessages(path, [2, 3], isWhole)
          yield* withStore({ path }, (store) => Effect.flatMap(openOn(store), (storage) => test(storage, log, store)))
        })
      ).pipe(Effect.scoped)

    it.effect("is left out: its request is delivered and answered", () =>
      after((storage, log, store) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "2"])
          yield* storage.saveReply(chunk(13, 1, 1))
          yield* save(storage, ack(14, 1, 13))
          yield* save(storage, interrupt(15, 1))
          yield* storage.resetShards([shardOf()])
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "2", "14", "15"])
          yield* storage.saveReply(exit(16, 1))
          yield* storage.saveReply(exit(17, 2))
          assert.deepInclude(yield* storage.repliesFor(["1", "2"]), exit(16, 1))
          assert.strictEqual(yield* waiting(store), 0)
          const told = errorsOf(log).flatMap((text) => /message (\d+) .* is not delivered/.exec(text)?.[1] ?? [])
          assert.deepStrictEqual(told, ["11", "12"])
        })
      ))

    it.effect("does not keep its request from waiting again", () =>
      after((storage) =>
        Effect.gen(function*() {
          yield* storage.saveReply(exit(13, 1))
          yield* storage.clearReplies(Snowflake.Snowflake("1"))
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "2"])
          assert.deepStrictEqual(yield* storage.repliesForUnfiltered(["1"]), [])
        })
      ))

    it.effect("is deleted with its request", () =>
      after((storage, _log, store) =>
        Effect.gen(function*() {
          yield* storage.saveReply(exit(13, 1))
          yield* storage.saveReply(exit(14, 2))
          const self = yield* Effect.orDie(Effect.provideService(MessageStore.open, Store, store))
          yield* Effect.orDie(Cleanup.deleteAnswered(self, Number.MAX_SAFE_INTEGER))
          assert.strictEqual(yield* Effect.orDie(self.messages.size), 0)
          assert.strictEqual(yield* Effect.orDie(self.replies.size), 0)
          assert.strictEqual(yield* waiting(store), 0)
        })
      ))
  }
)

describe.each([["its value", false], ["all of it", true]])("a damaged request: %s", (_, isWhole) => {
  /** Two requests with primary keys, of which the first is damaged when a runner has taken both. */
  const whileHandled = <A, E>(
    test: (storage: Encoded, log: ReadonlyArray<LogEntry>, store: StoreService) => Effect.Effect<A, E, Scope.Scope>
  ) =>
    withLog((log) =>
      Effect.gen(function*() {
        const store = yield* Store
        const storage = yield* openOn(store)
        yield* saveTwo(storage)
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "2"])
        yield* damageFirst(store, isWhole)
        yield* test(storage, log, store)
      })
    ).pipe(Effect.scoped, Effect.provide(Store.layerTemp()))

  it.effect("can be answered by the runner that handles it, once", () =>
    whileHandled((storage, log, store) =>
      Effect.gen(function*() {
        yield* storage.saveReply(exit(10, 1))
        yield* storage.saveReply(exit(11, 2))
        assert.deepStrictEqual(yield* storage.repliesFor(["1", "2"]), [exit(10, 1), exit(11, 2)])
        assert.deepStrictEqual(yield* storage.repliesForUnfiltered(["1"]), [exit(10, 1)])
        assert.deepInclude((yield* Effect.flip(storage.saveReply(exit(12, 1)))).cause, { _tag: "KeyExists" })
        assert.strictEqual(yield* waiting(store), 0)
        assert.strictEqual(errorsOf(log).length, 1)
      })
    ))

  it.effect("can stream: its chunks are acknowledged, and it is interrupted", () =>
    whileHandled((storage) =>
      Effect.gen(function*() {
        yield* storage.saveReply(chunk(10, 1, 0))
        assert.deepStrictEqual(idsOf(yield* take(storage)), [])
        yield* save(storage, ack(11, 1, 10))
        yield* storage.saveReply(chunk(12, 1, 1))
        yield* save(storage, ack(13, 1, 12))
        yield* save(storage, interrupt(14, 1))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["13", "14"])
        yield* storage.saveReply(exit(15, 1))
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [exit(15, 1)])
      })
    ))

  it.effect("keeps its answer: it cannot wait again", () =>
    whileHandled((storage) =>
      Effect.gen(function*() {
        yield* storage.saveReply(exit(10, 1))
        yield* storage.saveReply(exit(11, 2))
        const error = yield* Effect.flip(storage.clearReplies(Snowflake.Snowflake("1")))
        assert.deepInclude(error.cause, { _tag: "RequestDamaged", requestId: 1n })
        assert.match(String(error.cause), /request 1 .* damaged.*primary key.*`clearAddress`/)
        assert.deepStrictEqual(yield* storage.repliesFor(["1"]), [exit(10, 1)])
        yield* storage.clearReplies(Snowflake.Snowflake("2"))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["2"])
      })
    ))

  it.effect("is known by its primary key, and its answer is given for it", () =>
    whileHandled((storage) =>
      Effect.gen(function*() {
        const id = storage.requestIdForPrimaryKey("key 1")
        assert.deepStrictEqual(yield* id, Option.some(Snowflake.Snowflake("1")))
        yield* storage.saveReply(exit(10, 1))
        assert.deepStrictEqual(
          yield* save(storage, request(5), { primaryKey: "key 1" }),
          EffectMessageStorage.SaveResultEncoded.Duplicate({
            originalId: Snowflake.Snowflake("1"),
            lastReceivedReply: Option.some(exit(10, 1))
          })
        )
        // It is whole again, and can be handled again.
        yield* storage.clearReplies(Snowflake.Snowflake("1"))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
      })
    ))

  const afterStart = <A, E>(test: (storage: Encoded) => Effect.Effect<A, E, Scope.Scope>) =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* Effect.flatMap(openOn(store), saveTwo)
      yield* damageFirst(store, isWhole)
      const storage = yield* openOn(store)
      assert.deepStrictEqual(idsOf(yield* take(storage)), ["2"])
      yield* test(storage)
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp()))

  it.effect.each([["its primary key", 5], ["its id", 1]] as const)(
    "is delivered when it is sent again with %s",
    ([, id]) =>
      afterStart((storage) =>
        Effect.gen(function*() {
          yield* save(storage, interrupt(3, 1))
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["3"])
          yield* storage.resetShards([shardOf()])
          yield* save(storage, request(id), { primaryKey: "key 1" })
          // Before its interrupt, although it was stored again after it.
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["1", "2", "3"])
          yield* storage.saveReply(exit(10, 1))
          assert.deepStrictEqual(idsOf(yield* take(storage)), [])
        })
      )
  )

  it.effect("waits for nothing after it was sent again", () =>
    afterStart((storage) =>
      Effect.gen(function*() {
        yield* save(storage, request(5), { primaryKey: "key 1" })
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["1"])
      })
    ))

  it.effect("is forgotten with its entity: its primary key is free", () =>
    afterStart((storage) =>
      Effect.gen(function*() {
        yield* storage.clearAddress(address())
        assert.isTrue(Option.isNone(yield* storage.requestIdForPrimaryKey("key 1")))
        const saved = yield* save(storage, request(6), { primaryKey: "key 1" })
        // If all of the record was damaged, nothing said which place in the index was to be deleted with it.
        assert.deepStrictEqual(
          saved,
          isWhole
            ? EffectMessageStorage.SaveResultEncoded.Duplicate({
              originalId: Snowflake.Snowflake("1"),
              lastReceivedReply: Option.none()
            })
            : EffectMessageStorage.SaveResultEncoded.Success()
        )
        assert.deepStrictEqual(idsOf(yield* take(storage)), [isWhole ? "1" : "6"])
      })
    ))
})

const saveTwo = (storage: Encoded) =>
  Effect.forEach([1, 2], (id) => save(storage, request(id), { primaryKey: `key ${id}` }), { discard: true })

/** Damages the first message of an open store: its value, or all of it. */
const damageFirst = Effect.fnUntraced(function*(store: StoreService, isWhole: boolean) {
  const { backend } = StoreInternals.of(store).access.handle.core
  const first = { from: undefined, to: undefined, reverse: false, values: true, maxRecords: 1, maxBytes: Infinity }
  const { records: [record] } = yield* backend.reader.read(database("messages"), first)
  const [key, bytes] = record ?? assert.fail("no message")
  const damaged = isWhole ? garbage : withValueOf(Buffer.from(bytes.subarray(0, bytes.length)), garbage)
  yield* damage([[database("messages"), key, damaged]])
}, Effect.orDie)

/** The number of messages in the mailbox. */
const waiting = (store: StoreService) =>
  Effect.provideService(Mailbox.open, Store, store).pipe(
    Effect.flatMap((mailbox) => mailbox.count()),
    Effect.orDie
  )

/** Deletes all that can be deleted, and returns the number of messages that are left. */
const leftByCleanup = (store: StoreService) =>
  Effect.gen(function*() {
    const self = yield* Effect.provideService(MessageStore.open, Store, store)
    yield* Cleanup.deleteAnswered(self, Number.MAX_SAFE_INTEGER)
    return yield* self.messages.size
  }).pipe(Effect.orDie)

describe("a damaged message of a workflow", () => {
  const to = "Workflow/Order"
  const of = <A extends Envelope.Encoded>(envelope: A): A => ({
    ...envelope,
    address: { ...envelope.address, entityType: to }
  })
  const saves = (storage: Encoded) =>
    Effect.gen(function*() {
      yield* save(storage, { ...of(request(1)), tag: "run" })
      yield* save(storage, of(request(2)))
      yield* save(storage, of(interrupt(3, 1)))
      yield* storage.saveReply(exit(10, 1))
      yield* storage.saveReply(exit(11, 2))
    })

  it.effect("does not keep the workflow if it is an interrupt of an answered request", () =>
    afterDamage(saves, ["messages", 2], (_storage, _log, store) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* leftByCleanup(store), 0)
      })))

  it.effect("keeps the workflow if it is a request: it may have no answer", () =>
    afterDamage(saves, ["messages", 1], (_storage, _log, store) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* leftByCleanup(store), 3)
      })))
})

describe("a damaged place in the mailbox", () => {
  it.effect("is made again from the message, for the shard of the message only", () =>
    afterDamage(saveRequests, ["mailbox", 0, 2], (storage, log) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* take(storage, 0, {}, [shardOf({ shard: 2 })]), [])
        assert.deepStrictEqual(idsOf(yield* take(storage, 0, { limit: 3 })), ["1", "2", "3"])
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["4"])
        yield* storage.resetShards([shardOf()])
        yield* storage.saveReply(exit(10, 1))
        assert.deepStrictEqual(idsOf(yield* take(storage)), ["2", "3", "4"])
        assert.deepStrictEqual(idsOf(yield* storage.unprocessedMessagesById(snowflakes(3n), 0)), ["3"])
        assert.deepStrictEqual(errorsOf(log), [])
      })))

  it.effect("knows the last chunk again", () =>
    afterDamage(
      (storage) =>
        Effect.gen(function*() {
          yield* save(storage, request(1))
          yield* storage.saveReply(chunk(10, 1, 0))
          yield* save(storage, ack(11, 1, 10))
        }),
      ["mailbox", 0, 1],
      (storage) =>
        Effect.gen(function*() {
          const [first] = yield* take(storage)
          assert.deepInclude(first?.lastSentReply, { _tag: "Some", value: chunk(10, 1, 0) })
        })
    ))
})

describe("a damaged reply", () => {
  it.effect("is not given, and the others are, until the replies to its request are deleted", () =>
    afterDamage(
      (storage) =>
        Effect.andThen(
          saveRequests(storage),
          Effect.forEach([1, 2, 3], (id) => storage.saveReply(exit(10 + id, id)), { discard: true })
        ),
      ["replies", 1],
      (storage, log) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* storage.repliesFor(["1", "2", "3"]), [exit(11, 1), exit(13, 3)])
          assert.deepStrictEqual(yield* storage.repliesFor(["2"]), [])
          const told = errorsOf(log)
          assert.strictEqual(told.length, 1)
          assert.match(told[0] ?? "", /request 2 .* damaged.* `clearReplies`/)
          // Who asks for one request is not told that it has no answer.
          const error = yield* Effect.flip(storage.repliesForUnfiltered(["2"]))
          assert.deepInclude(error.cause, { _tag: "ValueDecoding" })
          yield* storage.clearReplies(Snowflake.Snowflake("2"))
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["2", "4"])
        })
    ))

  it.effect("stops neither a request that is sent again nor an acknowledgement", () =>
    afterDamage(
      (storage) =>
        Effect.gen(function*() {
          yield* saveTwo(storage)
          yield* storage.saveReply(exit(10, 1))
          yield* storage.saveReply(chunk(11, 2, 0))
          yield* storage.saveReply(chunk(12, 2, 1))
        }),
      ["replies", 0, 1],
      (storage, log) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(
            yield* save(storage, request(5), { primaryKey: "key 1" }),
            EffectMessageStorage.SaveResultEncoded.Duplicate({
              originalId: Snowflake.Snowflake("1"),
              lastReceivedReply: Option.none()
            })
          )
          yield* save(storage, ack(13, 2, 12))
          assert.deepStrictEqual(yield* storage.repliesFor(["1", "2"]), [])
          const told = errorsOf(log).flatMap((text) => /reply to the request (\d+) .* is damaged/.exec(text)?.[1] ?? [])
          assert.deepStrictEqual(told, ["1", "2"])
          yield* storage.clearReplies(Snowflake.Snowflake("2"))
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["2", "13"])
        })
    ))

  it.effect("holds its request if it is the last chunk, and no other request", () =>
    afterDamage(
      (storage) =>
        Effect.gen(function*() {
          yield* save(storage, request(1))
          yield* storage.saveReply(chunk(10, 1, 0))
          yield* save(storage, ack(11, 1, 10))
          yield* save(storage, request(2))
        }),
      ["replies", 0],
      (storage, log) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(idsOf(yield* take(storage)), ["11", "2"])
          assert.match(errorsOf(log).join(), /message 1 .* damaged/)
        })
    ))
})

const expiration = 35_000

const runnersOn = (store: StoreService) =>
  RunnerStorage.makeEncoded.pipe(
    Effect.provideService(Store, store),
    Effect.provide(ShardingConfig.layer({ shardLockExpiration: expiration })),
    Effect.orDie
  )

const shards: NonEmptyArray<string> = ["default:1", "default:2"]

describe("a damaged runner", () => {
  it.effect("is not given, and the others are; its machine id stays its own", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* withStore({ path }, (store) =>
          Effect.gen(function*() {
            const storage = yield* runnersOn(store)
            yield* Effect.forEach(["a:1", "b:1", "c:1"], (one) => storage.register(one, `runner ${one}`, true))
          }))
        yield* damageAt(path, "runners", [1])
        yield* withStore({ path }, (store) =>
          Effect.gen(function*() {
            const storage = yield* runnersOn(store)
            // They were registered in an earlier opening of the store, and go on in this one.
            yield* Effect.forEach(["a:1", "c:1"], (one) => storage.refresh(one, []))
            const known = [["runner a:1", true], ["runner c:1", true]] as const
            assert.deepStrictEqual(yield* storage.getRunners, [...known])
            assert.deepStrictEqual(yield* storage.getRunners, [...known])
            yield* storage.refresh("b:1", [])
            yield* storage.setRunnerHealth("b:1", false)
            assert.strictEqual(yield* storage.register("d:1", "runner d:1", true), 4)
            assert.strictEqual(errorsOf(log).length, 1)
            // Started again, it has the machine id that it had.
            assert.strictEqual(yield* storage.register("b:1", "runner b:1", true), 2)
            assert.strictEqual((yield* storage.getRunners).length, 4)
          }))
      })
    ).pipe(Effect.scoped))

  it.effect("keeps its machine id, in whatever order the damaged runners and new ones register", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const [a, b, c, d] = yield* Effect.all([runnersOn(store), runnersOn(store), runnersOn(store), runnersOn(store)])
      yield* a.register("a:1", "runner a", true)
      yield* b.register("b:1", "runner b", true)
      yield* c.register("c:1", "runner c", true)
      yield* damage(["a:1", "b:1"].map((one) => [database("runners"), keyOf(one), garbage]))
      const again = yield* runnersOn(store)
      const ids = [
        yield* again.register("a:1", "runner a", true),
        yield* d.register("d:1", "runner d", true),
        // The second runner lives on, and stores itself again.
        yield* Effect.andThen(b.refresh("b:1", []), b.register("b:1", "runner b", true)),
        yield* c.register("c:1", "runner c", true)
      ]
      assert.deepStrictEqual(ids, [1, 4, 2, 3])
      assert.strictEqual((yield* a.getRunners).length, 4)
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())))

  it.effect("keeps its machine id from new runners also if the record of the machine id is damaged", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const register = (one: string) =>
        withStore(
          { path },
          (store) => Effect.flatMap(runnersOn(store), (storage) => storage.register(one, one, true))
        )
      assert.deepStrictEqual(yield* Effect.forEach(["a:1", "b:1"], register), [1, 2])
      yield* damageAt(path, "runners", [0])
      yield* damageAt(path, "machineIds", [0])
      assert.deepStrictEqual(yield* Effect.forEach(["c:1", "b:1"], register), [3, 2])
    }).pipe(Effect.scoped))

  it.effect("is stored again by its process", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const storage = yield* runnersOn(store)
      const machineId = yield* storage.register("a:1", "runner a", true)
      yield* damage([[database("runners"), keyOf("a:1"), garbage]])
      assert.deepStrictEqual(yield* storage.getRunners, [])
      yield* storage.refresh("a:1", [])
      assert.deepStrictEqual(yield* storage.getRunners, [["runner a", true]])
      assert.strictEqual(yield* storage.register("a:1", "runner a", true), machineId)
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())))
})

/** Runs a test on a runner that holds both shards. */
const onLocks = <A, E>(test: (storage: EffectRunnerStorage.Encoded) => Effect.Effect<A, E, Store | Scope.Scope>) =>
  Effect.gen(function*() {
    const storage = yield* runnersOn(yield* Store)
    assert.deepStrictEqual(yield* storage.acquire("a:1", shards), [...shards])
    return yield* test(storage)
  }).pipe(Effect.scoped, Effect.provide(Store.layerTemp()))

describe("a damaged shard lock", () => {
  it.effect("without its owner belongs to a runner until it ends, and stops no other lock", () =>
    onLocks((storage) =>
      Effect.gen(function*() {
        yield* damage([[database("shardLocks"), keyOf("default:1"), garbage]])
        assert.deepStrictEqual(yield* storage.refresh("a:1", [...shards]), ["default:2"])
        yield* storage.release("a:1", "default:1")
        assert.deepStrictEqual(yield* storage.acquire("b:1", [...shards, "default:3"]), ["default:3"])
        yield* TestClock.adjust(expiration + 1)
        assert.deepStrictEqual(yield* storage.acquire("b:1", ["default:1"]), ["default:1"])
        assert.deepStrictEqual(yield* storage.refresh("b:1", ["default:1"]), ["default:1"])
      })
    ))

  it.effect("without its time begins again", () =>
    onLocks((storage) =>
      Effect.gen(function*() {
        yield* TestClock.adjust(expiration + 1)
        yield* damage([[database("shardLeases"), keyOf("default:1"), garbage]])
        assert.deepStrictEqual(yield* storage.acquire("b:1", shards), ["default:2"])
        yield* TestClock.adjust(expiration)
        assert.deepStrictEqual(yield* storage.acquire("b:1", ["default:1"]), [])
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(yield* storage.acquire("b:1", ["default:1"]), ["default:1"])
      })
    ))
})
