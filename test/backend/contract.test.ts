/** The contract of backends, on LMDB and on LMDB whose reads wait. */
import * as vitest from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BackendContract from "../../src/testing/BackendContract.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { temporaryFolder } from "../support/harness.ts"

const makePlace = Effect.map(
  temporaryFolder,
  (path) => LocalBackend.make({ path, durability: "noSync", mapSize: "256 KiB", batchSize: 50 })
)

BackendContract.define(vitest, { name: "LMDB", makePlace })

for (const seed of [1, 2]) {
  BackendContract.define(vitest, {
    name: `LMDB, with reads that wait, and the seed ${seed}`,
    makePlace: Effect.map(makePlace, Effect.flatMap((backend) => DelayedBackend.make(backend, { seed })))
  })
}
