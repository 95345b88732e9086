/** The rate limits of a store against Effect's memory layer, under random calls. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as LmdbRateLimiter from "../../src/RateLimiter.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { temporaryFolder } from "../support/harness.ts"

const Key = Schema.Literals(["a", "b"])
const Tokens = Schema.Literals([0, 0.5, 1, 1, 2, 3, 5])

/** The limit and the milliseconds of one token, by the key: a bucket that has become full forgets an earlier limit. */
const buckets = { a: { limit: 4, refill: 1000 / 3 }, b: { limit: 3, refill: 700 } } as const

const Step = Schema.Union([
  Schema.TaggedStruct("FixedWindow", {
    key: Key,
    tokens: Tokens,
    refill: Schema.Literals([100, 333.4, 1000]),
    limit: Schema.UndefinedOr(Schema.Literals([0, 3, 5]))
  }),
  Schema.TaggedStruct("TokenBucket", { key: Key, tokens: Tokens, allowOverflow: Schema.Boolean }),
  Schema.TaggedStruct("Consume", { key: Key, tokens: Tokens, window: Schema.Literals([1000, 90_000]) }),
  Schema.TaggedStruct("Consume", { key: Key, tokens: Tokens, window: Schema.Literals([1000, 90_000]) }),
  Schema.TaggedStruct("Feedback", {
    key: Key,
    tokens: Tokens,
    status: Schema.Literals([429, 429, 429, 200]),
    retryAfter: Schema.UndefinedOr(Schema.Literals([-5, 0, 1500, 20_000, 7_200_000])),
    isStale: Schema.Literals([false, false, false, true])
  }),
  Schema.TaggedStruct("Pass", { millis: Schema.Literals([1, 99, 333, 700, 2000]) }),
  Schema.TaggedStruct("Pass", { millis: Schema.Literals([20_000, 60_000, 80_001, 3_600_000]) }),
  Schema.TaggedStruct("Reopen", {})
])

type Limits = RateLimiter.RateLimiterStore["Service"]

/** Makes a call to both and checks that they give the same. Returns what they gave. */
const onBoth = Effect.fnUntraced(function*<A>(
  memory: Limits,
  stored: Limits,
  call: (limits: Limits) => Effect.Effect<A, RateLimiter.RateLimiterError>
) {
  const expected = yield* call(memory)
  assert.deepStrictEqual(yield* call(stored), expected)
  return expected
})

const agrees = (
  options: Partial<StoreOptions>,
  open: (options: StoreOptions) => ReturnType<typeof Store.make> = Store.make
) =>
  Effect.fnUntraced(function*({ steps }: { readonly steps: ReadonlyArray<typeof Step.Type> }) {
    const path = yield* temporaryFolder
    const memory = yield* Effect.provide(
      Effect.service(RateLimiter.RateLimiterStore),
      RateLimiter.layerStoreMemory
    )
    const reopen = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(open({ path, durability: "noSync", ...options }), scope)
      return { scope, limits: yield* Effect.provideService(LmdbRateLimiter.makeStore(), Store, store) }
    })
    let opened = yield* reopen
    const epochs = new Map<string, number>()
    for (const step of steps) {
      const stored = opened.limits
      switch (step._tag) {
        case "FixedWindow": {
          const { key, limit, refill, tokens } = step
          yield* onBoth(memory, stored, (limits) =>
            limits.fixedWindow({ key, tokens, limit, refillRate: Duration.millis(refill) }))
          break
        }
        case "TokenBucket": {
          const { allowOverflow, key, tokens } = step
          const { limit, refill } = buckets[key]
          yield* onBoth(memory, stored, (limits) =>
            limits.tokenBucket({ key, tokens, limit, allowOverflow, refillRate: Duration.millis(refill) }))
          break
        }
        case "Consume": {
          const { key, tokens, window } = step
          const consumed = yield* onBoth(memory, stored, (limits) =>
            limits.adaptiveConsume({ key, tokens, fallbackLimit: 5, fallbackWindow: Duration.millis(window) }))
          epochs.set(key, consumed.epoch)
          break
        }
        case "Feedback": {
          const { isStale, key, retryAfter, status, tokens } = step
          const epoch = (epochs.get(key) ?? 0) - (isStale ? 1 : 0)
          const wait = retryAfter === undefined ? undefined : Duration.millis(retryAfter)
          yield* onBoth(memory, stored, (limits) =>
            limits.adaptiveFeedback({ key, epoch, tokens, status, retryAfter: wait }))
          break
        }
        case "Pass":
          yield* TestClock.adjust(step.millis)
          break
        case "Reopen":
          yield* Scope.close(opened.scope, Exit.void)
          opened = yield* reopen
      }
    }
    yield* Scope.close(opened.scope, Exit.void)
  })

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 30, maxLength: 120 }) }
const arbitrary = { runs: 12, size: 120, seed: "rate limits" }

describe("the rate limits of a store agree with those in memory after each call", () => {
  it.effect.prop("on LMDB", workload, agrees({}), { arbitrary })

  it.effect.prop("when the store is shared", workload, agrees({ shared: true }), { arbitrary })

  it.effect.prop("when reads wait", workload, agrees({}, DelayedStore.open), { arbitrary })
})
