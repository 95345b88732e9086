/** The contract of backends, on LMDB and on LMDB whose reads wait. */
import * as vitest from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { StoreOptions } from "../../src/index.ts"
import * as BackendContract from "../../src/testing/BackendContract.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { temporaryFolder } from "../support/harness.ts"

const placeOf = (options: Pick<StoreOptions, "changeLog">) =>
  Effect.map(
    temporaryFolder,
    (path) => LocalBackend.make({ path, durability: "noSync", mapSize: "256 KiB", batchSize: 50, ...options })
  )

const makePlace = placeOf({})

BackendContract.define(vitest, { name: "LMDB", makePlace })

BackendContract.define(vitest, {
  name: "LMDB, with a change log",
  makePlace: placeOf({ changeLog: { retention: { commits: 10, bytes: "100 kB" }, previous: true } })
})

for (const seed of [1, 2]) {
  BackendContract.define(vitest, {
    name: `LMDB, with reads that wait, and the seed ${seed}`,
    makePlace: Effect.map(makePlace, Effect.flatMap((backend) => DelayedBackend.make(backend, { seed })))
  })
}
