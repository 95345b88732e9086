/** What a stream shows of what happens while it runs. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { join } from "node:path"
import * as process from "node:process"
import { Store, type StoreService } from "../../../src/index.ts"
import * as SpyEngine from "../../support/engines/spyEngine.ts"
import { start, temporaryFolder, withStore } from "../../support/harness.ts"
import { type HandRead, openWith, readByHand } from "../../support/streaming.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const keyOf = (index: number): string => `key ${String(index).padStart(5, "0")}`

/** More than a stream reads at a time. */
const entries = (count: number, name: string) =>
  Array.from({ length: count }, (_, index) => [keyOf(index), name] as const)

const count = 1000

/** Starts a stream of a store and reads its first part. */
const halfRead = Effect.fnUntraced(function*<A, E>(stream: Stream.Stream<A, E>) {
  const read = yield* readByHand(stream)
  const first = yield* read.next
  assert.isAbove(first.length, 0)
  assert.isBelow(first.length, count)
  const whole: HandRead<A, E> = { ...read, rest: Effect.map(read.rest, (rest) => [...first, ...rest]) }
  return whole
})

type Change = (store: StoreService) => Effect.Effect<unknown, unknown>

const changes: ReadonlyArray<{ readonly what: string; readonly change: Change }> = [
  { what: "puts", change: (store) => Effect.forEach(entries(count, "new"), ([key, value]) => store.put(key, value)) },
  { what: "deletions", change: (store) => Effect.forEach(entries(count, ""), ([key]) => store.delete(key)) },
  {
    what: "puts that are committed",
    change: (store) => Effect.andThen(store.put(keyOf(count - 1), "new"), store.flush)
  },
  { what: "a putMany", change: (store) => store.putMany(entries(2 * count, "new")) },
  { what: "a deleteMany", change: (store) => store.deleteMany(entries(count, "").map(([key]) => key)) },
  { what: "a deleteRange", change: (store) => store.deleteRange({ prefix: "key" }) },
  { what: "a clear", change: (store) => store.clear },
  {
    what: "a clear and new values, committed twice",
    change: (store) => Effect.all([store.clear, store.putMany(entries(count, "new")), store.clear, store.flush])
  },
  { what: "a growth of the map", change: (store) => store.putMany({ large: new Uint8Array(3_000_000) }) },
  {
    what: "several growths of the map",
    change: (store) =>
      Effect.forEach([1, 2], (round) => store.putMany({ [`large ${round}`]: new Uint8Array(35_000_000) }))
  }
]

describe("a stream shows the state of the store at its start", () => {
  it.effect.each(changes)("with an event in the middle: $what", ({ change }) =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, mapSize: "256 KiB", durability: "noSync", batchSize: 10_000 })
      yield* store.putMany(entries(count / 2, "stored"))
      for (const [key, value] of entries(count, "pending").slice(count / 2)) yield* store.put(key, value)
      yield* store.delete(keyOf(300))
      const expected = [...entries(count / 2, "stored"), ...entries(count, "pending").slice(count / 2)]
        .filter(([key]) => key !== keyOf(300))
      const forward = yield* halfRead(store.entries())
      const backward = yield* halfRead(store.entries({ reverse: true }))
      yield* change(store)
      assert.deepStrictEqual(yield* forward.rest, expected)
      // Once more, now that one of two has ended
      yield* change(store)
      assert.deepStrictEqual(yield* backward.rest, expected.toReversed())
      yield* change(store)
      assert.strictEqual((yield* store.stats).snapshots, 0)
      const now = yield* Stream.runCollect(store.keys())
      assert.strictEqual(now.length, yield* store.size)
      assert.deepStrictEqual((yield* store.getMany(now)).missing, [])
    }))

  it.effect("including writes that were being committed", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 10_000 })
      yield* store.putMany(entries(count, "stored"))
      const commit = yield* spy.hold("commit")
      yield* store.put(keyOf(0), "committing")
      yield* store.delete(keyOf(count - 1))
      const flushing = yield* start(store.flush)
      yield* commit.begun
      yield* store.put(keyOf(1), "filling")
      yield* store.delete(keyOf(count - 2))
      const read = yield* halfRead(store.entries())
      yield* commit.release
      yield* Fiber.join(flushing)
      yield* store.putMany(entries(count, "new"))
      assert.deepStrictEqual(yield* read.rest, [
        [keyOf(0), "committing"],
        [keyOf(1), "filling"],
        ...entries(count, "stored").slice(2, -2)
      ])
    }))

  it.effect("which is the time when it is run, separately for each run", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const keys = Stream.runCollect(store.keys())
      yield* store.put("a", 1)
      assert.deepStrictEqual(yield* keys, ["a"])
      yield* store.put("b", 1)
      yield* store.delete("a")
      assert.deepStrictEqual(yield* keys, ["b"])
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("and a backup in the middle has the state at its own time", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const store = yield* Store.make({ path: join(folder, "store") })
      yield* store.putMany(entries(count, "stored"))
      const read = yield* halfRead(store.entries())
      yield* store.putMany(entries(count + 1, "new"))
      yield* store.backup(join(folder, "copy"))
      yield* store.backup(join(folder, "compact"), { compact: true })
      for (const copy of ["copy", "compact"]) {
        yield* withStore({ path: join(folder, copy), readOnly: true }, (opened) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* Stream.runCollect(opened.entries()), entries(count + 1, "new"))
          }))
      }
      assert.deepStrictEqual(yield* read.rest, entries(count, "stored"))
    }))

  it.effect("also when another process writes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, shared: true })
      yield* store.putMany(entries(count, "stored"))
      const read = yield* halfRead(store.entries())
      yield* runOther(path)
      assert.deepStrictEqual(yield* read.rest, entries(count, "stored"))
      assert.deepStrictEqual(yield* Stream.runCollect(store.entries()), [
        ...entries(count, "stored").slice(0, count / 2),
        ["other", "process"]
      ])
    }))
})

/** Another process deletes the second half of the keys and puts one. */
const runOther = (path: string) =>
  Effect.callback<void>((resume) => {
    const program = new URL("../../programs/changeRange.ts", import.meta.url).pathname
    const child = spawn(process.execPath, [program, path, keyOf(count / 2)], { stdio: "inherit" })
    child.on("close", (exitCode) => {
      assert.strictEqual(exitCode, 0)
      resume(Effect.void)
    })
  })

describe("without a snapshot a stream", () => {
  const repositioned = Effect.fnUntraced(function*(options: { readonly reverse: boolean }) {
    const { path, store } = yield* openWith({ mapSize: "256 KiB", batchSize: 10_000, durability: "noSync" })
    yield* store.putMany(entries(count, "stored"))
    const read = yield* halfRead(store.entries({ ...options, snapshot: false }))
    return { path, read, store }
  })

  it.effect("shows writes to keys that it has not reached, not to keys that it has passed, and keeps no reader open", () =>
    Effect.gen(function*() {
      const { read, store } = yield* repositioned({ reverse: false })
      assert.strictEqual((yield* store.stats).snapshots, 0)
      yield* store.put(keyOf(0), "too late")
      yield* store.put("a", "too late")
      yield* store.put(keyOf(600), "in time")
      yield* store.delete(keyOf(601))
      yield* store.flush
      yield* store.put(keyOf(700), "in time")
      yield* store.delete(keyOf(701))
      yield* store.put("z", "in time")
      const expected = new Map<string, string>([...entries(count, "stored"), ["z", "in time"]])
      for (const index of [600, 700]) expected.set(keyOf(index), "in time")
      for (const index of [601, 701]) expected.delete(keyOf(index))
      assert.deepStrictEqual(yield* read.rest, [...expected])
    }))

  it.effect("does the same in reverse", () =>
    Effect.gen(function*() {
      const { read, store } = yield* repositioned({ reverse: true })
      yield* store.put("z", "too late")
      yield* store.put("a", "in time")
      assert.deepStrictEqual(yield* read.rest, [...entries(count, "stored").toReversed(), ["a", "in time"]])
    }))

  it.effect("continues during a growth of the map, and ends after a clear", () =>
    Effect.gen(function*() {
      const { read, store } = yield* repositioned({ reverse: false })
      yield* store.putMany({ large: new Uint8Array(3_000_000) })
      assert.isAbove((yield* read.next).length, 0)
      yield* store.clear
      assert.deepStrictEqual(yield* read.next, [])
    }))

  it.effect("waits while the map is resized", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ mapSize: "256 KiB" })
      yield* store.putMany(entries(count, "stored"))
      const read = yield* halfRead(store.entries({ snapshot: false }))
      const resize = yield* spy.hold("resize")
      const growing = yield* start(store.putMany({ large: new Uint8Array(3_000_000) }))
      yield* resize.begun
      const started = yield* start(Stream.runCount(store.keys()))
      const rest = yield* start(read.rest)
      yield* resize.release
      yield* Fiber.join(growing)
      assert.isAtLeast((yield* Fiber.join(rest)).length, count)
      assert.isAtLeast(yield* Fiber.join(started), count)
    }))

  const Step = Schema.Struct({
    call: Schema.Literals(["put", "delete", "putMany", "deleteMany", "flush", "read", "read"]),
    key: between(0, 999),
    others: between(0, 500)
  })

  it.effect.prop(
    "gives keys in order, each at most once, and each unchanged key",
    { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 5, maxLength: 20 }), reverse: Schema.Boolean },
    ({ reverse, steps }) =>
      Effect.gen(function*() {
        const store = yield* Store
        const keys = Array.from({ length: count }, (_, index) => keyOf(index))
        const stored = keys.filter((_, index) => index % 3 !== 0)
        yield* store.putMany(stored.map((key) => [key, "stored"] as const))
        const touched = new Set<string>()
        const read = yield* readByHand(store.keys({ reverse, snapshot: false }))
        const given: Array<string> = [...yield* read.next]
        for (const { call, key, others } of steps) {
          const some = call.endsWith("Many") ? keys.slice(key, key + others) : [keyOf(key)]
          if (call !== "flush" && call !== "read") { for (const name of some) touched.add(name) }
          if (call === "put") yield* store.put(keyOf(key), "changed")
          else if (call === "delete") yield* store.delete(keyOf(key))
          else if (call === "putMany") yield* store.putMany(some.map((name) => [name, "changed"] as const))
          else if (call === "deleteMany") yield* store.deleteMany(some)
          else if (call === "flush") yield* store.flush
          else given.push(...yield* read.next)
        }
        given.push(...yield* read.rest)
        const inOrder = [...new Set(given)].toSorted()
        assert.deepStrictEqual(given, reverse ? inOrder.toReversed() : inOrder)
        const untouched = (some: ReadonlyArray<string>) => some.filter((key) => !touched.has(key)).toSorted()
        assert.deepStrictEqual(untouched(given), untouched(stored))
      }).pipe(Effect.scoped, Effect.provide(Store.layerTemp({ durability: "noSync" }))),
    { arbitrary: { runs: 15, size: 30, seed: "repositioned" } }
  )
})
