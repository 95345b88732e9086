/** Interrupting any call at any point leaves the store consistent. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Store, type StoreService } from "../../src/index.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const keys = Array.from({ length: 6 }, (_, index) => `key ${index}`)

const Step = Schema.Struct({
  call: Schema.Literals(["put", "delete", "update", "putMany", "deleteMany", "clear", "flush"]),
  key: between(0, keys.length - 1),
  others: between(0, 4),
  pauses: Schema.Union([between(0, 4), between(0, 80)])
})

type State = Readonly<Record<string, unknown>>

const stateOf = (store: StoreService): Effect.Effect<State, unknown> =>
  Effect.map(store.getMany(keys), ({ found }) => Object.fromEntries(found))

/** A call and the state that it leads to when it is not interrupted. */
const plan = (store: StoreService, step: typeof Step.Type, count: number, before: State) => {
  const key = keys[step.key] ?? ""
  const some = keys.slice(step.key, step.key + 3)
  switch (step.call) {
    case "put":
      return { call: store.put(key, count), after: { ...before, [key]: count } }
    case "delete":
      return { call: store.delete(key), after: without(before, [key]) }
    case "update":
      return { call: store.update(key, () => Option.some(count)), after: { ...before, [key]: count } }
    case "putMany": {
      const entries = Object.fromEntries(some.map((name) => [name, count]))
      return { call: store.putMany(entries), after: { ...before, ...entries } }
    }
    case "deleteMany":
      return { call: store.deleteMany(some), after: without(before, some) }
    case "clear":
      return { call: store.clear, after: {} }
    case "flush":
      return { call: store.flush, after: before }
  }
}

const without = (state: State, gone: ReadonlyArray<string>): State =>
  Object.fromEntries(Object.entries(state).filter(([key]) => !gone.includes(key)))

const isEqual = (left: State, right: State): boolean =>
  keys.every((key) => Object.hasOwn(left, key) === Object.hasOwn(right, key) && left[key] === right[key])

describe("interruption", () => {
  it.effect.prop(
    "at random points: each call is atomic, and the store continues to work",
    { steps: Schema.Array(Step).check(Schema.isBetweenLength(20, 50)), batchSize: between(1, 4) },
    ({ batchSize, steps }) =>
      Effect.gen(function*() {
        const open = Effect.map(temporaryFolder, (path) => Store.make({ path, batchSize, durability: "noSync" }))
        const make = yield* open
        const store = yield* make
        let state: State = {}
        let count = 0
        for (const step of steps) {
          // Others keep the buffer full and the engine busy meanwhile
          const others = yield* Effect.forEach(
            Array.from({ length: step.others }, (_, index) => index),
            (index) => start(store.put(`other ${index}`, count))
          )
          const { after, call } = plan(store, step, ++count, state)
          const fiber = yield* start(Effect.asVoid(call))
          yield* turns(step.pauses)
          yield* Fiber.interrupt(fiber)
          const exit = yield* Fiber.await(fiber)
          const seen = yield* stateOf(store)
          assert.isTrue(isEqual(seen, after) || (Exit.isFailure(exit) && isEqual(seen, state)), JSON.stringify(step))
          state = seen
          yield* Fiber.joinAll(others)
        }
        // What was interrupted does not come true later
        assert.isTrue(isEqual(yield* stateOf(store), state))
        yield* store.flush
        yield* store.close({ strict: true })
        const again = yield* make
        assert.isTrue(isEqual(yield* stateOf(again), state))
        yield* again.clear
        yield* again.put("works", 1)
        yield* again.flush
        assert.strictEqual(yield* again.size, 1)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 25, size: 50, seed: "interruption" } }
  )

  it.effect("of many fibers at once loses no acknowledged write", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, batchSize: 3, durability: "noSync" })
      const acknowledged = new Set<string>()
      const fibers = yield* Effect.forEach(
        Array.from({ length: 300 }, (_, index) => `fiber ${index}`),
        (key) =>
          start(Effect.andThen(
            turns(key.length),
            Effect.tap(store.put(key, key), () => Effect.sync(() => acknowledged.add(key)))
          ))
      )
      for (const [index, fiber] of fibers.entries()) {
        if (index % 3 === 0) yield* Fiber.interrupt(fiber)
      }
      yield* Fiber.awaitAll(fibers)
      yield* store.close({ strict: true })
      const again = yield* Store.make({ path })
      const { missing } = yield* again.getMany([...acknowledged])
      assert.deepStrictEqual(missing, [])
      assert.isAtLeast(acknowledged.size, 200)
      assert.strictEqual(yield* again.size, acknowledged.size)
    }))
})
