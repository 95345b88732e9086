/** What a change says of the time before its transaction: whether it inserted or updated, and what was there. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type ChangeWithPrevious, Collection, Store, type ValueDecoding } from "../../src/index.ts"
import { below, increment, openSeeded } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder } from "../support/harness.ts"

/** A change in few words: `+a=1` inserts, `a:1=2` updates what was 1, `-a:2` deletes what was 2. */
const show = Effect.fnUntraced(function*(change: ChangeWithPrevious<string, unknown, ValueDecoding>) {
  if (change._tag === "Clear") return "clear"
  const before = Option.match(yield* change.previous, { onNone: () => "", onSome: (value) => `:${String(value)}` })
  return change._tag !== "Put"
    ? `-${change.key}${before}`
    : `${change.kind === "insert" ? "+" : ""}${change.key}${before}=${String(yield* change.value)}`
})

describe("a change", () => {
  it.effect("distinguishes an insert from an update, and has the value before its transaction", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* start(Stream.runCollect(store.changes({ previous: true })))
      yield* store.put("a", 10)
      yield* store.put("new", 1)
      yield* store.put("new", 2)
      yield* store.flush
      yield* store.update("a", increment)
      yield* store.delete("b")
      yield* store.delete("none")
      yield* store.flush
      yield* store.putMany({ b: 20, new: 3 })
      yield* store.withTransaction(Effect.all([store.delete("c"), store.put("c", 30), store.put("d", 40)]))
      yield* store.withTransaction(Effect.all([store.clear, store.put("a", 50)]))
      yield* store.close({ strict: true })
      assert.deepStrictEqual(yield* Effect.forEach(yield* Fiber.join(told), show), [
        "a:1=10",
        "+new=2",
        "a:10=11",
        "-b:2",
        "-none",
        "+b=20",
        "new:2=3",
        "c:3=30",
        "+d=40",
        "clear",
        "+a=50"
      ])
    }))

  it.effect("has its kind also without previous, for each subscriber by its own options, and after a commit that grew the map", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, mapSize: "256 KiB" })
      yield* store.putMany({ a: "small" })
      const plain = yield* start(Stream.runCollect(store.changes({ prefix: "a" })))
      const bytes = yield* start(Stream.runCollect(store.changes({ decodeKeys: false, previous: true })))
      yield* store.putMany({ a: "x".repeat(400_000), b: "new" })
      yield* store.close({ strict: true })
      const kinds = (yield* Fiber.join(plain)).map((change) => change._tag === "Put" ? change.kind : change._tag)
      assert.deepStrictEqual(kinds, ["update"])
      const previous = yield* Effect.forEach(
        yield* Fiber.join(bytes),
        (change) => change._tag === "Clear" ? Effect.succeedNone : change.previous
      )
      assert.deepStrictEqual(previous, [Option.some("small"), Option.none()])
    }))

  it.effect("of a collection has kind and previous value, decoded by its schemas", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const options = { key: Schema.Int, value: Schema.DateFromString }
      const days = yield* Effect.provideService(Collection.make("days", options), Store, store)
      yield* days.putMany([[1, new Date(0)]])
      const told = yield* start(Stream.runCollect(days.changes({ previous: true })))
      yield* days.putMany([[1, new Date(1000)], [2, new Date(2000)]])
      yield* days.deleteMany([1])
      yield* store.close({ strict: true })
      const shown = yield* Effect.forEach(yield* Fiber.join(told), (change) =>
        change._tag === "Clear"
          ? Effect.succeed(["Clear"])
          : Effect.map(
            change.previous,
            (before) => [change._tag === "Put" ? change.kind : "delete", change.key, before]
          ))
      assert.deepStrictEqual(shown, [
        ["update", 1, Option.some(new Date(0))],
        ["insert", 2, Option.none()],
        ["delete", 1, Option.some(new Date(1000))]
      ])
    }))

  it.effect("matches the state before it under concurrent writers", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded({ durability: "noSync", batchSize: 7 })
      const told = yield* start(Stream.runCollect(store.changes({ previous: true })))
      yield* Effect.forEach(below(400), (n) => {
        const key = `key ${n % 10}`
        switch (n % 6) {
          case 0:
            return Effect.asVoid(store.withTransaction(store.update(key, () => Option.some(n))))
          case 1:
            return store.putMany({ [key]: n, [`other ${n % 3}`]: n })
          case 2:
            return store.put(key, n)
          case 3:
            return n % 60 === 3 ? store.clear : store.deleteMany([key])
          default:
            return store.delete(key)
        }
      }, { concurrency: 40, discard: true })
      yield* store.close({ strict: true })
      const state = new Map<string, unknown>([["a", 1], ["b", 2], ["c", 3]])
      let compared = 0
      for (const change of yield* Fiber.join(told)) {
        if (change._tag === "Clear") {
          state.clear()
          continue
        }
        assert.deepStrictEqual(yield* change.previous, Option.fromUndefinedOr(state.get(change.key)))
        compared++
        if (change._tag !== "Put") state.delete(change.key)
        else {
          assert.strictEqual(change.kind, state.has(change.key) ? "update" : "insert")
          state.set(change.key, yield* change.value)
        }
      }
      assert.isAbove(compared, 20)
    }))
})
