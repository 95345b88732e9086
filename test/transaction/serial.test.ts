/** Many transactions at the same time are as if they had run one after the other. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Store } from "../../src/index.ts"
import * as TransactionOrder from "../../src/testing/TransactionOrder.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { temporaryFolder } from "../support/harness.ts"

describe("any transactions at the same time", () => {
  it.effect.prop(
    "are as if they had run one after the other, in the order in which the changes tell of them",
    { programs: TransactionOrder.Programs },
    ({ programs }) =>
      Effect.gen(function*() {
        const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
        yield* TransactionOrder.check(store, programs)
      }),
    { arbitrary: { runs: 60 } }
  )

  it.effect.prop(
    "are so on a backend whose reads wait, too",
    { programs: TransactionOrder.Programs },
    ({ programs }) =>
      Effect.gen(function*() {
        const store = yield* DelayedStore.open({ path: yield* temporaryFolder, durability: "noSync" })
        yield* TransactionOrder.check(store, programs)
      }),
    { arbitrary: { runs: 60 } }
  )
})
