/** The change log: changes from a transaction on, after a restart too, and what of them is kept. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { join } from "node:path"
import {
  type Change,
  type ChangeLogOptions,
  ChangesMissed,
  Collection,
  Store,
  type StoreOptions,
  type StoreService,
  type ValueDecoding
} from "../../src/index.ts"
import { below } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns, withStore } from "../support/harness.ts"
import { show } from "../support/subscribing.ts"

const always: ChangeLogOptions = { retention: "Infinity" }

const open = Effect.fnUntraced(function*(options: Partial<StoreOptions> = {}) {
  const path = options.path ?? (yield* temporaryFolder)
  return { path, store: yield* Store.make({ changeLog: always, ...options, path }) }
})

/** The first changes after a transaction. */
const after = (store: StoreService, since: number, count: number) =>
  Stream.runCollect(Stream.take(store.changes({ since }), count))

const shownAfter = (store: StoreService, since: number, count: number) =>
  Effect.flatMap(after(store, since, count), Effect.forEach(show))

const idOf = (changes: ReadonlyArray<{ readonly transactionId: number }>, at = -1): number =>
  changes.at(at)?.transactionId ?? 0

const missed = (store: StoreService, since: number) => Effect.flip(Stream.runDrain(store.changes({ since })))

describe("changes since a transaction", () => {
  it.effect("include every way to write, past and new, without a gap, also after a restart", () =>
    Effect.gen(function*() {
      const { path, store } = yield* open()
      yield* store.put("a", 1)
      yield* store.put("b", 1)
      yield* store.flush
      yield* store.putMany({ b: 2, c: 3 })
      yield* store.withTransaction(Effect.all([store.delete("a"), store.put("d", 4)]))
      yield* store.clear
      yield* store.deleteMany(["none"])
      const all = ["a=1", "b=1", "b=2", "c=3", "-a", "d=4", "clear", "-none"]
      assert.deepStrictEqual(yield* shownAfter(store, 0, 8), all)
      yield* store.close({ strict: true })

      const reopened = yield* Store.make({ path, changeLog: always })
      const first = yield* after(reopened, 0, 8)
      assert.deepStrictEqual(yield* Effect.forEach(first, show), all)
      const kinds = first.flatMap((change) => change._tag === "Put" ? [change.kind] : [])
      assert.deepStrictEqual(kinds, ["insert", "insert", "update", "insert", "insert"])
      const live = yield* start(shownAfter(reopened, idOf(first, 1), 8))
      yield* turns(20)
      yield* reopened.putMany({ live: 1 })
      yield* reopened.putMany({ live: 2 })
      assert.deepStrictEqual(yield* Fiber.join(live), [...all.slice(2), "live=1", "live=2"])
    }))

  it.effect("can be selected by a prefix, of a store or of a collection", () =>
    Effect.gen(function*() {
      const { path, store } = yield* open()
      const users = Collection.make("users", {
        key: Schema.Tuple([Schema.String, Schema.Int]),
        value: Schema.Struct({ name: Schema.String }),
        indexes: { byName: { key: Schema.String, of: ({ name }) => name } }
      })
      yield* Effect.gen(function*() {
        const { putMany } = yield* users
        yield* store.putMany(below(200).map((n) => [`key ${n}`, n] as const))
        yield* putMany([[["a", 1], { name: "Ada" }], [["b", 1], { name: "Alan" }]])
        for (const n of below(100)) yield* store.putMany({ [`key ${n}`]: n })
        yield* putMany([[["a", 2], { name: "Grace" }]])
      }).pipe(Effect.provideService(Store, store))
      yield* store.close({ strict: true })
      yield* Effect.gen(function*() {
        const { changes } = yield* users
        const told = yield* Stream.runCollect(Stream.take(changes({ since: 0, prefix: ["a"] }), 2))
        const values = yield* Effect.forEach(
          told,
          (change) => change._tag === "Put" ? Effect.asSome(change.value) : Effect.succeedNone
        )
        assert.deepStrictEqual(values, [Option.some({ name: "Ada" }), Option.some({ name: "Grace" })])
      }).pipe(Effect.provide(Store.layer({ path, changeLog: always })))
    }))

  it.effect("have the previous values if the log has them", () =>
    Effect.gen(function*() {
      const { path, store } = yield* open({ changeLog: { ...always, previous: true } })
      yield* store.putMany({ a: { n: 1 } })
      yield* store.putMany({ a: { n: 2 }, b: 1 })
      yield* store.deleteMany(["a"])
      const told = yield* Stream.runCollect(Stream.take(store.changes({ since: 0, previous: true }), 4))
      const previous = yield* Effect.forEach(told, (change) =>
        change._tag === "Clear" ? Effect.succeedNone : change.previous)
      assert.deepStrictEqual(previous, [Option.none(), Option.some({ n: 1 }), Option.none(), Option.some({ n: 2 })])
      yield* store.close()
      const without = yield* Store.make({ path, changeLog: always })
      assert.strictEqual((yield* after(without, 0, 4)).length, 4)
      yield* without.close()
      const again = yield* Store.make({ path: yield* temporaryFolder, changeLog: always })
      yield* again.putMany({ a: 1 })
      assert.strictEqual(
        (yield* Effect.flip(Stream.runDrain(again.changes({ since: 0, previous: true }))))._tag,
        "ChangesMissed"
      )
    }))

  it.effect("are complete for a large transaction, and for many that wait for a slow follower", () =>
    Effect.gen(function*() {
      const { store } = yield* open({ durability: "noSync" })
      yield* store.putMany(below(3000).map((n) => [`large ${n}`, "x".repeat(1000)] as const))
      yield* store.putMany({ huge: "y".repeat(2_000_000) })
      for (const n of below(300)) yield* store.putMany({ n })
      const told = yield* after(store, 0, 3301)
      assert.strictEqual(new Set(told.map(({ transactionId }) => transactionId)).size, 302)
      const huge = told[3000]
      if (huge?._tag !== "Put") return assert.fail()
      assert.strictEqual(yield* huge.value, "y".repeat(2_000_000))
    }))

  it.effect("continue in a backup, also in a compact one", () =>
    Effect.gen(function*() {
      const { path, store } = yield* open()
      for (const n of below(20)) yield* store.putMany({ n })
      const position = idOf(yield* after(store, 0, 20))
      for (const compact of [true, false]) {
        yield* store.backup(join(path, `copy ${compact}`), { compact })
        const copy = yield* Store.make({ path: join(path, `copy ${compact}`), changeLog: always })
        assert.strictEqual((yield* after(copy, 0, 20)).length, 20)
        yield* copy.putMany({ copied: 1 })
        assert.deepStrictEqual(yield* shownAfter(copy, position, 1), ["copied=1"])
      }
    }))

  it.effect("end when the store closes, and include the commits of another handle", () =>
    Effect.gen(function*() {
      const { path, store } = yield* open()
      const other = yield* Store.make({ path, changeLog: always })
      const told = yield* start(Stream.runCollect(store.changes({ since: 0 })))
      yield* other.putMany({ a: 1 })
      yield* store.put("b", 2)
      yield* store.close()
      assert.deepStrictEqual(yield* Effect.forEach(yield* Fiber.join(told), show), ["a=1", "b=2"])
      const last = yield* start(Stream.runDrain(other.changes({ since: 0 })))
      yield* turns(5)
      yield* other.close()
      yield* Fiber.join(last)
    }))

  it.effect("produce the state of the store, with concurrent writers and restarts of the follower at any point", () =>
    Effect.gen(function*() {
      const { store } = yield* open({ durability: "noSync", batchSize: 5 })
      const state = new Map<string, unknown>()
      let position = 0
      let hasEnded = false
      const handle = Effect.fnUntraced(function*(changes: ReadonlyArray<Change<string, unknown, ValueDecoding>>) {
        assert.strictEqual(new Set(changes.map(({ transactionId }) => transactionId)).size, 1)
        assert.isAbove(idOf(changes), position)
        for (const change of changes) {
          if (change._tag === "Clear") state.clear()
          else if (change._tag !== "Put") state.delete(change.key)
          else {
            assert.strictEqual(change.kind, state.has(change.key) ? "update" : "insert")
            state.set(change.key, yield* change.value)
          }
        }
        position = idOf(changes)
        hasEnded = state.has("end")
      })
      /** Handles some transactions, each a chunk of the stream, and ends as a process that is restarted. */
      const follow = (count: number) =>
        Effect.suspend(() =>
          Stream.runForEach(Stream.take(Stream.chunks(store.changes({ since: position })), count), handle)
        )
      const following = yield* start(Effect.repeat(follow(3), { until: () => hasEnded }))
      yield* Effect.forEach(below(400), (n) => {
        const key = `key ${n % 20}`
        if (n % 5 === 0) return store.putMany({ [key]: n, [`other ${n}`]: n })
        if (n % 5 === 1) return store.withTransaction(store.put(key, n))
        if (n % 50 === 2) return store.clear
        return n % 5 === 3 ? store.delete(key) : store.put(key, n)
      }, { concurrency: 10, discard: true })
      // The follower ends after three transactions, of which one may be the last.
      for (const n of below(3)) yield* store.putMany({ end: n })
      yield* Fiber.join(following)
      yield* store.putMany({ last: true })
      yield* Effect.repeat(follow(1), { until: () => state.has("last") })
      const stored = yield* Stream.runCollect(store.entries())
      assert.deepStrictEqual(new Map([...state].toSorted(([a], [b]) => a < b ? -1 : 1)), new Map(stored))
    }))
})

describe("changes are missed", () => {
  it.effect("without a log, with a log that starts later, and after a transaction that does not exist yet", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany({ a: 1 })
          assert.deepStrictEqual(yield* missed(store, 0), new ChangesMissed({ path, capacity: 0, since: 0 }))
        }))
      const store = yield* Store.make({ path, changeLog: always })
      assert.strictEqual((yield* missed(store, 0))._tag, "ChangesMissed")
      yield* store.putMany({ b: 2 })
      const error = yield* missed(store, 1000)
      assert.include(error.message, "does not have all changes after transaction 1000")
    }))

  it.effect("after a process without a log has committed, and then the log starts again", () =>
    Effect.gen(function*() {
      const { path, store } = yield* open()
      yield* store.putMany({ a: 1 })
      const [first] = yield* after(store, 0, 1)
      yield* store.close()
      yield* withStore({ path }, (without) => without.get("a"))
      yield* withStore({ path, changeLog: always }, (same) => shownAfter(same, 0, 1))
      yield* withStore({ path }, (without) => without.putMany({ b: 2 }))
      const again = yield* Store.make({ path, changeLog: always })
      assert.strictEqual((yield* missed(again, idOf([first ?? { transactionId: 0 }])))._tag, "ChangesMissed")
      yield* again.putMany({ c: 3 })
      const [changed] = yield* Stream.runCollect(Stream.take(again.watchRange(), 1))
      assert.strictEqual(changed?.transactionId === undefined, false)
      yield* again.putMany({ d: 4 })
      assert.deepStrictEqual(yield* shownAfter(again, changed?.transactionId ?? 0, 1), ["d=4"])
    }))
})

const sizeOfLog = (store: StoreService, since: number) =>
  Effect.map(after(store, since, 1), ([first]) => first?.transactionId ?? 0)

describe("the retention", () => {
  it.effect("by commits: the oldest are deleted, and a subscriber that has handled them continues", () =>
    Effect.gen(function*() {
      const { store } = yield* open({ changeLog: { retention: { commits: 10 } }, durability: "noSync" })
      for (const n of below(30)) yield* store.putMany({ n })
      assert.strictEqual((yield* missed(store, 0))._tag, "ChangesMissed")
      const snapshot = yield* Stream.runHead(store.watchRange())
      const position = Option.getOrThrow(snapshot).transactionId
      const told = yield* shownAfter(store, position - 10, 10)
      assert.deepStrictEqual(told, below(10).map((n) => `n=${n + 20}`))
      assert.strictEqual((yield* missed(store, position - 12))._tag, "ChangesMissed")
      yield* store.putMany({ n: 30 })
      assert.isAbove(yield* sizeOfLog(store, position), position)
    }))

  it.effect("by age, on the clock of the program, and a large excess is deleted in steps", () =>
    Effect.gen(function*() {
      const { store } = yield* open({ changeLog: { retention: "1 hour" }, durability: "noSync" })
      for (const n of below(50)) yield* store.putMany({ n })
      yield* TestClock.adjust("59 minutes")
      yield* store.putMany({ n: 50 })
      assert.strictEqual((yield* after(store, 0, 51)).length, 51)
      yield* TestClock.adjust("2 minutes")
      yield* store.putMany({ n: 51 })
      assert.strictEqual((yield* missed(store, 0))._tag, "ChangesMissed")
      for (const n of below(4)) yield* store.putMany({ n: 52 + n })
      const position = Option.getOrThrow(yield* Stream.runHead(store.watchRange())).transactionId
      assert.deepStrictEqual(yield* shownAfter(store, position - 6, 6), below(6).map((n) => `n=${n + 50}`))
      assert.strictEqual((yield* missed(store, position - 7))._tag, "ChangesMissed")
    }))

  it.effect("by bytes: the file does not grow", () =>
    Effect.gen(function*() {
      const { store } = yield* open({ changeLog: { retention: { bytes: "1 MiB" } }, durability: "noSync" })
      for (const n of below(20)) yield* store.putMany({ a: "x".repeat(300_000), n })
      const before = (yield* store.stats).fileBytes
      for (const n of below(100)) yield* store.putMany({ a: "y".repeat(300_000), n })
      assert.isBelow((yield* store.stats).fileBytes, before + 2_000_000)
      assert.strictEqual((yield* missed(store, 0))._tag, "ChangesMissed")
    }))

  it.effect("yields to deletions in a full file", () =>
    Effect.gen(function*() {
      const { store } = yield* open({ maxMapSize: "2 MiB", flushInterval: "Infinity" })
      yield* store.putMany({ a: "x".repeat(600_000) })
      const full = yield* Effect.flip(
        Effect.forEach(below(100), (n) => store.putMany({ [`key ${n}`]: "y".repeat(20_000) }))
      )
      assert.strictEqual(full._tag, "MapFull")
      yield* store.delete("a")
      yield* store.flush
      yield* store.delete("key 0")
      yield* store.flush
      assert.isTrue(Option.isNone(yield* store.get("a")))
      assert.isAtMost((yield* store.stats).fileBytes, 2 * 1024 * 1024)
      yield* store.putMany({ fits: "z".repeat(100_000) })
      const position = Option.getOrThrow(yield* Stream.runHead(store.watchRange())).transactionId
      yield* store.putMany({ after: 1 })
      assert.deepStrictEqual(yield* shownAfter(store, position, 1), ["after=1"])
    }))

  it.effect("that is not valid is refused when the store is opened", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const bad: ReadonlyArray<ChangeLogOptions> = [
        { retention: 0 },
        { retention: {} },
        { retention: { commits: 0 } },
        { retention: { commits: 1.5 } },
        { retention: { bytes: 0 } },
        { retention: { age: undefined } }
      ]
      for (const changeLog of bad) {
        const error = yield* Effect.flip(Effect.scoped(Effect.asVoid(Store.make({ path, changeLog }))))
        assert.propertyVal(error, "option", "changeLog")
      }
    }))
})
