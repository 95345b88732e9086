/** Many transactions at the same time are as if they had run one after the other. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Store } from "../../src/index.ts"
import * as TransactionOrder from "../../src/testing/TransactionOrder.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { temporaryFolder } from "../support/harness.ts"

describe("any transactions at the same time", () => {
  it.effect.prop(
    "give the same results as one after the other, in the order of their changes",
    { programs: TransactionOrder.Programs },
    ({ programs }) =>
      Effect.gen(function*() {
        const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
        yield* TransactionOrder.check(store, programs)
      }),
    { arbitrary: { runs: 60 } }
  )

  it.effect.prop(
    "do so on a backend whose reads wait, too",
    { programs: TransactionOrder.Programs },
    ({ programs }) =>
      Effect.gen(function*() {
        const store = yield* DelayedStore.open({ path: yield* temporaryFolder, durability: "noSync" })
        yield* TransactionOrder.check(store, programs)
      }),
    { arbitrary: { runs: 60 } }
  )

  it.effect("are found not to do so without transactions", () =>
    Effect.gen(function*() {
      const increments = Array.from({ length: 4 }, (): TransactionOrder.Program => ({
        start: 0,
        end: "commit",
        steps: [{ call: "get", key: "k0", pauses: 2 }, { call: "put", key: "k0", pauses: 2 }]
      }))
      const open = Effect.flatMap(temporaryFolder, (path) => Store.make({ path }))
      yield* Effect.flatMap(open, (store) => TransactionOrder.check(store, increments))
      const broken = Effect.map(open, (store) => ({
        ...store,
        withTransaction: <A, E, R>(effect: Effect.Effect<A, E, R>) => effect
      }))
      const error = yield* Effect.flip(Effect.flatMap(broken, (store) => TransactionOrder.check(store, increments)))
      assert.propertyVal(error, "_tag", "OrderViolation")
    }))
})
