/**
 * Takes from the limits of a store that other processes take from too, and prints how many calls were admitted: of a
 * window of 250 calls, and of a bucket of 150 tokens. Arguments: the path, and how many calls it makes of each.
 */
import { Duration, Effect, Layer } from "effect"
import { RateLimiter } from "effect/persistence"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import * as LmdbRateLimiter from "../../src/RateLimiter.ts"

const [, , path = "", calls = "0"] = process.argv

const refillRate = Duration.hours(1)

const program = Effect.gen(function*() {
  const limits = yield* RateLimiter.RateLimiterStore
  let windows = 0
  let tokens = 0
  const call = Effect.gen(function*() {
    const [count] = yield* limits.fixedWindow({ key: "a", tokens: 1, limit: 250, refillRate })
    if (count <= 250) windows++
    const bucket = { key: "a", tokens: 1, limit: 150, refillRate, allowOverflow: false }
    const [remaining] = yield* limits.tokenBucket(bucket)
    if (remaining >= 0) tokens++
  })
  yield* Effect.all(Array.from({ length: Number(calls) }, () => call), { concurrency: 4, discard: true })
  process.stdout.write(`${windows} ${tokens}\n`)
})

const Live = LmdbRateLimiter.layerStore().pipe(
  Layer.provide(Store.layer({ path, shared: true, durability: "noSync", lockTimeout: "30 seconds" }))
)

await Effect.runPromise(Effect.provide(program, Live))
