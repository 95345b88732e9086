/** The store against a `Map`, under random workloads. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { statSync } from "node:fs"
import { join } from "node:path"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { temporaryFolder } from "../support/harness.ts"
import * as Workload from "../support/workload.ts"

const workload = { steps: Workload.steps({ largest: 30_000, maxLength: 40 }) }

const agrees =
  (options: Omit<StoreOptions, "path">, open: (options: StoreOptions) => ReturnType<typeof Store.make> = Store.make) =>
  ({ steps }: { readonly steps: ReadonlyArray<Workload.Step> }) =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Workload.run(steps, open({ ...options, path, durability: "noSync" }))
    }).pipe(Effect.scoped)

const arbitrary = { runs: 8, size: 40, seed: "model" }

describe("a store agrees with a Map after each step and after reopening", () => {
  it.effect.prop("with the options' defaults", workload, agrees({}), { arbitrary })

  it.effect.prop("when every write starts a commit", workload, agrees({ batchSize: 1 }), { arbitrary })

  it.effect.prop("with small batches", workload, agrees({ batchSize: 3, batchBytes: 5000 }), { arbitrary })

  it.effect.prop("when reads commit first", workload, agrees({ autoFlushOnRead: true, batchSize: 4 }), { arbitrary })

  it.effect.prop(
    "with compression and checksums",
    workload,
    agrees({ compression: true, checksums: true, batchSize: 5 }),
    { arbitrary }
  )

  it.effect.prop("when it is shared", workload, agrees({ shared: true, batchSize: 5 }), { arbitrary })

  it.effect.prop("under a limit", workload, agrees({ maxMapSize: "64 MiB", batchSize: 3 }), { arbitrary })

  it.effect.prop("while the map grows", workload, agrees({ mapSize: "256 KiB", batchSize: 10 }), { arbitrary })

  it.effect.prop(
    "on a backend whose reads wait",
    workload,
    agrees({ batchSize: 4 }, DelayedStore.open),
    { arbitrary }
  )

  it.effect.prop(
    "on a backend whose reads wait, while the map grows",
    workload,
    agrees({ mapSize: "256 KiB", batchSize: 10, autoFlushOnRead: true }, DelayedStore.open),
    { arbitrary }
  )

  it.effect("a workload that needs more than the first map makes it grow", () =>
    Effect.gen(function*() {
      // Says that the property before this one has something to do
      const path = yield* temporaryFolder
      const steps = [{ _tag: "PutMany", entries: Workload.keys.map((_, key) => ({ key, size: 30_000 })) }] as const
      yield* Workload.run(steps, Store.make({ path, mapSize: "256 KiB" }))
      assert.isAbove(statSync(join(path, "data.mdb")).size, 256 * 1024)
    }))
})
