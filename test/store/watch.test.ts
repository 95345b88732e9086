/** Live queries: the present state, and then what is committed to it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Closed, Collection, Store, type WatchEvent } from "../../src/index.ts"
import { below, openSeeded } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns, until } from "../support/harness.ts"
import { readByHand } from "../support/streaming.ts"

/** Applies what a watch tells to a state. */
const apply = <K, V>(state: Map<K, V>, event: WatchEvent<K, V>): void => {
  if (event._tag === "Snapshot") {
    state.clear()
    for (const [key, value] of event.entries) state.set(key, value)
    return
  }
  for (const [key, value] of event.changes) {
    if (Option.isSome(value)) state.set(key, value.value)
    else state.delete(key)
  }
}

const sorted = <V>(entries: Iterable<readonly [string, V]>) => [...entries].toSorted(([a], [b]) => a < b ? -1 : 1)

/** Collects what a stream tells in the background. */
const collect = Effect.fnUntraced(function*<A, E>(stream: Stream.Stream<A, E>) {
  const told: Array<A> = []
  const fiber = yield* start(Stream.runForEach(stream, (item) => Effect.sync(() => told.push(item))))
  return { told, ended: Fiber.join(fiber) }
})

describe("watch", () => {
  it.effect("gives the value, pending writes included, and then each new committed value", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.put("a", 10)
      const { ended, told } = yield* collect(store.watch("a"))
      const none = yield* collect(store.watch("new"))
      yield* until(() => told.length === 1 && none.told.length === 1)
      yield* store.putMany({ b: 1, other: 1 })
      yield* store.putMany({ a: 11 })
      yield* until(() => told.length === 2)
      yield* store.putMany({ a: 11 })
      yield* store.deleteMany(["a"])
      yield* until(() => told.length === 3)
      yield* store.withTransaction(Effect.all([store.put("a", 12), store.put("new", 1)]))
      yield* until(() => told.length === 4 && none.told.length === 2)
      yield* store.clear
      yield* until(() => told.length === 5)
      yield* store.close()
      yield* Effect.all([ended, none.ended])
      assert.deepStrictEqual(told, [
        Option.some(10),
        Option.some(11),
        Option.none(),
        Option.some(12),
        Option.none()
      ])
      assert.deepStrictEqual(none.told, [Option.none(), Option.some(1), Option.none()])
    }))

  it.effect("gives a slow consumer the latest value, and never an older value after a newer one", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded({ durability: "noSync" })
      const slow = yield* readByHand(store.watch("count"))
      assert.deepStrictEqual(yield* slow.next, [Option.none()])
      for (const n of below(50)) {
        yield* store.putMany({ count: n })
        yield* turns(5)
      }
      const seen: Array<unknown> = []
      while (seen.at(-1) !== 49) seen.push(Option.getOrThrow((yield* slow.next)[0] ?? Option.none()))
      assert.isBelow(seen.length, 5)
      assert.deepStrictEqual(seen, seen.toSorted((a, b) => Number(a) - Number(b)))
      yield* slow.end
    }))

  it.effect("fails with Closed on a closed store, and with KeyEncoding for a key or an interval that is not valid", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(store.watch(""))))._tag, "KeyEncoding")
      assert.strictEqual(
        (yield* Effect.flip(Stream.runDrain(store.watch("a", { pollInterval: 0 }))))._tag,
        "KeyEncoding"
      )
      assert.strictEqual(
        (yield* Effect.flip(Stream.runDrain(store.commits({ pollInterval: -1 }))))._tag,
        "EngineFailure"
      )
      yield* store.close()
      assert.deepStrictEqual(yield* Effect.flip(Stream.runDrain(store.watch("a"))), new Closed({ path, what: "Store" }))
    }))
})

describe("watchRange", () => {
  it.effect("gives the entries, and then their changes by each transaction", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.put("b", 20)
      const { ended, told } = yield* collect(store.watchRange({ gte: "b" }))
      const asBytes = yield* collect(store.watchRange({ prefix: "a", decodeKeys: false }))
      yield* until(() => told.length === 1 && asBytes.told.length === 1)
      yield* store.putMany({ a: 10 })
      yield* store.withTransaction(Effect.all([store.put("d", 40), store.delete("c"), store.put("a", 11)]))
      yield* store.withTransaction(Effect.all([store.clear, store.put("e", 50)]))
      yield* until(() => told.length === 3 && asBytes.told.length === 4)
      yield* store.close()
      yield* Effect.all([ended, asBytes.ended])
      const shown = told.map((event) => event._tag === "Snapshot" ? event.entries : event.changes)
      assert.deepStrictEqual(shown, [
        [["b", 20], ["c", 3]],
        [["d", Option.some(40)], ["c", Option.none()]],
        [["e", 50]]
      ])
      assert.deepStrictEqual(told.map(({ _tag }) => _tag), ["Snapshot", "Changes", "Snapshot"])
      const [first] = asBytes.told
      assert.deepStrictEqual(first?._tag === "Snapshot" ? first.entries : [], [[Uint8Array.of(97), 1]])
    }))

  it.effect("of a collection has typed keys and values", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const options = {
        key: Schema.Tuple([Schema.String, Schema.Int]),
        value: Schema.Struct({ done: Schema.Boolean }),
        indexes: { byDone: { key: Schema.Boolean, of: (task: { readonly done: boolean }) => task.done } }
      }
      const tasks = yield* Effect.provideService(Collection.make("tasks", options), Store, store)
      yield* tasks.put(["a", 1], { done: false })
      const { ended, told } = yield* collect(tasks.watchRange({ prefix: ["a"] }))
      const one = yield* collect(tasks.watch(["a", 1]))
      yield* until(() => told.length === 1 && one.told.length === 1)
      yield* tasks.putMany([[["a", 1], { done: true }], [["b", 1], { done: true }]])
      yield* until(() => told.length === 2 && one.told.length === 2)
      yield* store.close()
      yield* Effect.all([ended, one.ended])
      assert.deepStrictEqual(told.map((event) => event._tag === "Snapshot" ? event.entries : event.changes), [
        [[["a", 1], { done: false }]],
        [[["a", 1], Option.some({ done: true })]]
      ])
      assert.deepStrictEqual(one.told, [Option.some({ done: false }), Option.some({ done: true })])
    }))

  it.effect("reads the range again for a consumer that was too slow", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded({ durability: "noSync" })
      const slow = yield* readByHand(store.watchRange({ capacity: 3 }))
      const state = new Map<string, unknown>()
      for (const event of yield* slow.next) apply(state, event)
      for (const n of below(20)) yield* store.putMany({ [`key ${n}`]: n })
      yield* store.deleteMany(["a"])
      let snapshots = 0
      while (state.size !== 22) {
        for (const event of yield* slow.next) {
          if (event._tag === "Snapshot") snapshots++
          apply(state, event)
        }
      }
      assert.strictEqual(snapshots, 1)
      assert.deepStrictEqual(sorted(state), [...yield* Stream.runCollect(store.entries())])
      yield* slow.end
    }))

  for (const [name, changeLog] of [["without", undefined], ["with", { retention: { commits: 5 } }]] as const) {
    it.effect(`always produces the state after a transaction, under concurrent writers, ${name} a change log`, () =>
      Effect.gen(function*() {
        const { store } = yield* openSeeded({ durability: "noSync", batchSize: 4, changeLog })
        const states = new Map<number, ReadonlyArray<readonly [string, unknown]>>()
        /** What the store has after each transaction, by the stream of changes. */
        const state = new Map<string, unknown>([["a", 1], ["b", 2], ["c", 3]])
        yield* start(Stream.runForEachArray(
          store.changes(),
          Effect.fnUntraced(function*(changes) {
            for (const change of changes) {
              if (change._tag === "Clear") state.clear()
              else if (change._tag !== "Put") state.delete(change.key)
              else state.set(change.key, yield* change.value)
              states.set(change.transactionId, sorted(state))
            }
          })
        ))
        let compared = 0
        const watcher = Effect.fnUntraced(function*(n: number) {
          for (let turn = 0; turn < 7 * n; turn++) yield* Effect.yieldNow
          const watched = new Map<string, unknown>()
          return yield* Stream.runForEach(
            store.watchRange({ capacity: n % 2 === 0 ? 2 : 1000 }),
            Effect.fnUntraced(function*(event) {
              apply(watched, event)
              for (let turn = 0; turn < n % 5; turn++) yield* Effect.yieldNow
              const expected = states.get(event.transactionId)
              if (expected !== undefined) {
                assert.deepStrictEqual(sorted(watched), expected)
                compared++
              }
            })
          ).pipe(Effect.as(watched))
        })
        const watchers = yield* Effect.forEach(below(8), (n) => start(watcher(n)))
        yield* Effect.forEach(below(300), (n) => {
          const key = `key ${n % 12}`
          if (n % 5 === 0) return store.putMany({ [key]: n, [`other ${n % 7}`]: n })
          if (n % 5 === 1) return store.withTransaction(Effect.all([store.put(key, n), store.delete(`other ${n % 7}`)]))
          if (n % 75 === 2) return store.clear
          return n % 5 === 3 ? store.delete(key) : store.put(key, n)
        }, { concurrency: 12, discard: true })
        yield* store.flush
        yield* turns(200)
        const stored = [...yield* Stream.runCollect(store.entries())]
        yield* store.close()
        for (const fiber of watchers) assert.deepStrictEqual(sorted(yield* Fiber.join(fiber)), stored)
        assert.isAbove(compared, 50)
      }))
  }
})
