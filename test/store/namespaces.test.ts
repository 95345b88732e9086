/** Namespaces of a store: their names, their limits, and what they share with the store and what not. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { NamespaceFailed, Store, type WatchEvent } from "../../src/index.ts"
import { namespaceDatabase, recordsDatabase } from "../../src/internal/databases.ts"
import { entriesOf, stopSweeper, storedIn, swept } from "../support/expiring.ts"
import { inStore, openFour } from "../support/fixtures/namespaces.ts"
import { begin, increment } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, until, withStore } from "../support/harness.ts"
import { show, subscribe, toldBy } from "../support/subscribing.ts"
import { testLimit } from "../support/timeLimits.ts"

describe("a namespace", () => {
  it.effect("has the keys that were written to it, and no others", () =>
    inStore((store) =>
      Effect.gen(function*() {
        const { collection, sessions, settings } = yield* openFour(store)
        assert.strictEqual(sessions.name, "sessions")
        yield* sessions.clear
        yield* settings.deleteRange({ gte: "b" })
        yield* sessions.put("c", 1)
        yield* store.delete("a")
        assert.deepStrictEqual(yield* Stream.runCollect(sessions.entries()), [["c", 1]])
        assert.deepStrictEqual(yield* Stream.runCollect(settings.entries()), [["a", "settings"]])
        assert.deepStrictEqual(yield* Stream.runCollect(store.entries()), [["b", "store"]])
        assert.strictEqual(yield* collection.size, 2)
        yield* store.clear
        assert.deepStrictEqual([yield* store.size, yield* sessions.size, yield* settings.size], [0, 1, 1])
        // The statistics of a store count its own records
        assert.strictEqual((yield* store.stats).entries, 0)
      })
    ))

  it.effect("has the methods of the store for records, with their results", () =>
    inStore((store) =>
      Effect.gen(function*() {
        const records = yield* store.namespace("records")
        yield* records.put("hits", 1, { durable: true })
        assert.strictEqual(
          yield* records.modify("hits", (hits) => [hits, Option.some(2)]).pipe(Effect.map(Option.getOrNull)),
          1
        )
        assert.strictEqual(yield* records.updateOrFail("hits", (hits) => Number(hits) + 1), 3)
        assert.deepStrictEqual(yield* records.update("hits", increment), Option.some(4))
        assert.strictEqual(
          yield* records.modifyEffect("hits", (hits) =>
            Effect.as(store.put("seen", true), ["result", Option.map(hits, () => 5)] as const)),
          "result"
        )
        assert.isTrue(yield* store.has("seen"))
        yield* records.writeMany([{ put: ["a", 1] }, { put: ["b", 2] }, { delete: "hits" }])
        const { found, missing } = yield* records.getMany(["a", "b", "hits"])
        assert.deepStrictEqual([Object.fromEntries(found), missing], [{ a: 1, b: 2 }, ["hits"]])
        assert.deepStrictEqual(yield* Stream.runCollect(records.keys({ reverse: true })), ["b", "a"])
        assert.deepStrictEqual(yield* Stream.runCollect(records.values()), [1, 2])
        yield* Effect.scoped(Effect.gen(function*() {
          const snapshot = yield* records.snapshot
          yield* records.deleteOrFail("a", { durable: true })
          yield* store.put("c", 1)
          assert.deepStrictEqual([yield* snapshot.size, yield* snapshot.getOrFail("a")], [2, 1])
        }))
        yield* records.deleteMany(["a", "b"])
        assert.strictEqual(yield* records.count(), 0)
      })
    ))

  it.effect("commits before a read with autoFlushOnRead, unless the key is pending in it", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({
        path: yield* temporaryFolder,
        flushInterval: "Infinity",
        autoFlushOnRead: true
      })
      const sessions = yield* store.namespace("sessions")
      const pending = Effect.map(store.stats, (stats) => stats.pending)
      yield* sessions.put("a", 1)
      yield* store.put("b", 1)
      yield* Effect.all([sessions.get("a"), sessions.getMany(["a"])])
      assert.strictEqual(yield* pending, 2)
      assert.isFalse(yield* sessions.has("b"))
      assert.strictEqual(yield* pending, 0)
    }))

  it.effect("opens again as another handle on the same records, also after the store was closed", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const [one, other] = [yield* store.namespace("sessions"), yield* store.namespace("sessions")]
          yield* one.put("a", 1)
          assert.strictEqual(yield* other.getOrFail("a"), 1)
        }))
      const again = withStore(
        { path },
        (store) => Effect.flatMap(store.namespace("sessions"), (sessions) => sessions.getOrFail("a"))
      )
      assert.strictEqual(yield* again, 1)
    }))

  it.effect("ends with the handle of the store that has opened it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const [store, other] = [yield* Store.make({ path }), yield* Store.make({ path })]
      const sessions = yield* store.namespace("sessions")
      yield* store.close()
      assert.include(yield* Effect.flip(sessions.get("a")), { _tag: "Closed", what: "Store" })
      assert.include(yield* Effect.flip(store.namespace("sessions")), { _tag: "Closed", what: "Store" })
      assert.strictEqual(yield* Effect.flatMap(other.namespace("sessions"), ({ size }) => size), 0)
    }))
})

describe("the name of a namespace", () => {
  it.effect("is refused if it is empty, too long, or has a character that separates names", () =>
    inStore((store) =>
      Effect.gen(function*() {
        for (const name of ["", "a/b", "/", "a\0", "\ud800", "x".repeat(256), "é".repeat(128)]) {
          const error = yield* Effect.flip(store.namespace(name))
          assert.instanceOf(error, NamespaceFailed)
          assert.strictEqual(error.reason._tag, "BadName", name)
        }
        const { message } = yield* Effect.flip(store.namespace("a/b"))
        assert.strictEqual(
          message,
          `Cannot open the namespace "a/b": a name must be text of at most 255 bytes without "/".`
        )
        assert.strictEqual(yield* store.size, 0)
      })
    ))

  it.effect("may be any other text, also that of a database of the store", () =>
    inStore((store) =>
      Effect.gen(function*() {
        const names = ["x".repeat(255), "a b", "Ünï", "records", "meta", "expiry", "collections", "__proto__", "."]
        for (const name of names) {
          const namespace = yield* store.namespace(name)
          yield* namespace.put("key", name, { ttl: "1 hour" })
        }
        for (const name of names) {
          const namespace = yield* store.namespace(name)
          assert.deepStrictEqual(yield* Stream.runCollect(namespace.entries()), [["key", name]])
        }
        assert.strictEqual(yield* store.size, 0)
        yield* TestClock.adjust("1 hour")
        yield* swept(store, names.length)
      })
    ))
})

it.effect(
  "a store that has as many databases as it can have opens no further namespace, and works on",
  () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, durability: "noSync" })
      const first = yield* store.namespace("first")
      let opened = 1
      let error: unknown
      while (error === undefined && opened < 1100) {
        const result = yield* Effect.result(store.namespace(`namespace ${opened}`))
        if (result._tag === "Failure") error = result.failure
        else opened++
      }
      assert.isAbove(opened, 1000)
      assert.nestedInclude(error, { _tag: "NamespaceFailed", "reason._tag": "TooManyDatabases" })
      assert.include(Cause.pretty(Cause.fail(error)), "tuple key")
      yield* first.put("a", 1)
      yield* store.put("a", 2)
      yield* store.close({ strict: true })
      const again = yield* Store.make({ path, verify: true })
      assert.strictEqual(yield* Effect.flatMap(again.namespace("first"), (records) => records.getOrFail("a")), 1)
    }),
  testLimit
)

type Four = Effect.Success<ReturnType<typeof openFour>>

const writeAll = ({ collection, sessions, settings, store }: Four) =>
  Effect.all([
    store.put("a", "new"),
    sessions.put("a", "new", { ttl: "1 minute" }),
    settings.delete("a"),
    settings.update("b", Option.map(() => "new")),
    collection.put("a", "new")
  ])

const contentOf = ({ collection, sessions, settings, store }: Four) =>
  Effect.all({
    store: Stream.runCollect(store.entries()),
    sessions: Stream.runCollect(sessions.entries()),
    settings: Stream.runCollect(settings.entries()),
    collection: Stream.runCollect(collection.entries())
  })

describe("a transaction", () => {
  it.effect("commits the writes of namespaces, the store and collections together, or none", () =>
    inStore((store) =>
      Effect.gen(function*() {
        const all = yield* openFour(store)
        const before = yield* contentOf(all)
        const seen = yield* Effect.flip(store.withTransaction(Effect.andThen(
          writeAll(all),
          Effect.flatMap(contentOf(all), (content) => Effect.fail(content))
        )))
        assert.deepStrictEqual(yield* contentOf(all), before)
        yield* store.withTransaction(writeAll(all))
        assert.deepStrictEqual<unknown>(yield* contentOf(all), seen)
        assert.deepStrictEqual(yield* contentOf(all), {
          store: [["a", "new"], ["b", "store"]],
          sessions: [["a", "new"], ["b", "sessions"]],
          settings: [["b", "new"]],
          collection: [["a", "new"], ["b", "collection"]]
        })
      })
    ))

  it.effect("conflicts with a write to the namespace that it has read, and not with one to another", () =>
    inStore((store) =>
      Effect.gen(function*() {
        const { sessions, settings } = yield* openFour(store)
        const other = yield* begin(store)
        yield* other.inside(Effect.andThen(sessions.get("a"), store.put("x", 1)))
        yield* Effect.all([settings.put("a", 1), store.put("a", 1)])
        yield* other.commit
        const same = yield* begin(store)
        yield* same.inside(Effect.andThen(sessions.get("a"), store.put("x", 2)))
        yield* sessions.put("a", 1)
        assert.strictEqual((yield* Effect.flip(same.commit))._tag, "TransactionConflict")
        assert.strictEqual(yield* store.getOrFail("x"), 1)
      }).pipe(Effect.scoped)
    ))

  it.effect("may open a namespace, which stays when the transaction fails, without its writes", () =>
    inStore((store) =>
      Effect.gen(function*() {
        const write = Effect.flatMap(store.namespace("late"), (late) =>
          Effect.andThen(late.put("a", 1), late.getOrFail("a")))
        assert.strictEqual(yield* Effect.flip(store.withTransaction(Effect.flatMap(write, Effect.fail))), 1)
        const late = yield* store.namespace("late")
        assert.strictEqual(yield* late.size, 0)
        assert.strictEqual(yield* store.withTransaction(write), 1)
        assert.strictEqual(yield* late.size, 1)
      })
    ))
})

describe("changes", () => {
  it.effect("of a namespace are told by the namespace, and those of the store by the store", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, flushInterval: "Infinity" })
      const { collection, sessions, settings } = yield* openFour(store)
      const told = {
        store: yield* subscribe(store.changes()),
        sessions: yield* subscribe(sessions.changes()),
        settings: yield* subscribe(settings.changes())
      }
      yield* store.withTransaction(Effect.all([
        store.put("c", 0),
        sessions.put("c", 1),
        settings.delete("a"),
        collection.put("c", "2")
      ]))
      yield* sessions.clear
      yield* store.clear
      assert.deepStrictEqual(yield* toldBy(store, told.store), ["c=0", "clear"])
      assert.deepStrictEqual(yield* Effect.forEach(yield* told.sessions, show), ["c=1", "clear"])
      assert.deepStrictEqual(yield* Effect.forEach(yield* told.settings, show), ["-a"])
    }))

  it.effect("are in the change log, with the values before", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const changeLog = { retention: { commits: 100 }, previous: true }
      yield* withStore({ path, changeLog }, (store) => openFour(store))
      const store = yield* Store.make({ path, changeLog })
      const sessions = yield* store.namespace("sessions")
      yield* sessions.put("a", "new")
      yield* store.flush
      const changes = yield* sessions.changes({ since: 0, previous: true }).pipe(
        Stream.take(3),
        Stream.mapEffect((change) =>
          Effect.zip(
            show(change),
            change._tag === "Clear" ? Effect.succeedNone : change.previous
          )
        ),
        Stream.runCollect
      )
      assert.deepStrictEqual(changes, [
        [`a="sessions"`, Option.none()],
        [`b="sessions"`, Option.none()],
        [`a="new"`, Option.some("sessions")]
      ])
    }))

  it.effect("reach a watch of a key and of a range of the namespace only", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, flushInterval: "Infinity" })
      const { sessions } = yield* openFour(store)
      const values: Array<Option.Option<unknown>> = []
      const events: Array<WatchEvent<string, unknown>> = []
      yield* start(Stream.runForEach(sessions.watch("a"), (value) => Effect.sync(() => values.push(value))))
      yield* start(Stream.runForEach(sessions.watchRange(), (event) => Effect.sync(() => events.push(event))))
      yield* until(() => values.length === 1 && events.length === 1)
      yield* store.putMany({ a: "no" })
      yield* Effect.flatMap(store.namespace("settings"), ({ clear }) => clear)
      yield* sessions.putMany({ a: "new" })
      yield* until(() => values.length === 2 && events.length === 2)
      assert.deepStrictEqual(values, [Option.some("sessions"), Option.some("new")])
      assert.deepInclude(events[0], { _tag: "Snapshot", entries: [["a", "sessions"], ["b", "sessions"]] })
      assert.deepInclude(events[1], { _tag: "Changes", changes: [["a", Option.some("new")]] })
    }))
})

describe("expiry", () => {
  it.effect("deletes records of a namespace in the background, and tells of them there", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, flushInterval: "Infinity" })
      const { sessions } = yield* openFour(store)
      const told = yield* subscribe(sessions.changes())
      yield* sessions.put("a", 1, { ttl: "1 minute" })
      yield* sessions.putMany({ c: 2, d: 3 }, { ttl: "2 minutes" })
      yield* TestClock.adjust("1 minute")
      yield* swept(store, 1)
      assert.strictEqual(yield* storedIn(store, namespaceDatabase("sessions")), 3)
      // The record of the store with the same key stays
      assert.isTrue(yield* store.has("a"))
      yield* TestClock.adjust("1 minute")
      yield* swept(store, 3)
      assert.deepStrictEqual(yield* Stream.runCollect(sessions.keys()), ["b"])
      assert.strictEqual(yield* entriesOf(store), 0)
      assert.deepStrictEqual(yield* toldBy(store, told), ["a=1", "c=2", "d=3", "xa", "xc", "xd"])
    }))

  it.effect("deletes what has expired while the store was closed, before the namespace is opened", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          yield* stopSweeper(store)
          const { sessions } = yield* openFour(store)
          yield* sessions.putMany({ a: 1, b: 2, c: 3 }, { ttl: "1 minute" })
        }))
      yield* TestClock.adjust("1 hour")
      const store = yield* Store.make({ path })
      yield* swept(store, 3)
      assert.strictEqual(yield* storedIn(store, namespaceDatabase("sessions")), 0)
      assert.strictEqual(yield* storedIn(store, recordsDatabase), 2)
    }))
})
