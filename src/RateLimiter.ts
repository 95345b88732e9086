/**
 * Keeps the state of Effect's `RateLimiter` in a store.
 *
 * It is the subpath `effect-lmdb/RateLimiter`. All that Effect builds on a `RateLimiter` works on it, such as
 * `HttpClient.withRateLimiter`.
 *
 * **Details**
 *
 * - Each call is one step: fibers never share a token. With the option `shared` of the store, nor do processes.
 * - Limits survive a restart. Their writes are buffered: a crash can lose those since the last commit. With `shared`, a
 *   step is on disk when it returns.
 * - A window, a bucket that is full again and what was learned from a server are deleted in the background when their
 *   time has passed.
 * - Every failure of the store is a `RateLimiterError` with the reason `RateLimitStoreError`. The `cause` of the reason is
 *   the error of the store.
 *
 * **Gotchas**
 *
 * Inside `withTransaction` of the store, the tokens that are taken belong to the transaction: if it fails, they were not
 * taken.
 *
 * **Example** (A limit that survives a restart)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Store } from "effect-lmdb"
 * import * as LmdbRateLimiter from "effect-lmdb/RateLimiter"
 * import { RateLimiter } from "effect/persistence"
 *
 * const program = Effect.gen(function*() {
 *   const limiter = yield* RateLimiter.RateLimiter
 *   const login = limiter.consume({ key: "login/ada", limit: 2, window: "1 minute" })
 *   yield* login
 *   yield* login
 *   const { reason } = yield* Effect.flip(login)
 *   yield* Console.log(reason._tag) // => RateLimitExceeded
 * })
 *
 * const Live = LmdbRateLimiter.layer().pipe(Layer.provide(Store.layerTemp()))
 *
 * Effect.runPromise(Effect.provide(program, Live))
 * ```
 *
 * @since 0.2.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Predicate from "effect/Predicate"
import type { OpenError } from "./Collection.ts"
import * as AdaptiveLimit from "./internal/ports/adaptiveLimit.ts"
import * as FixedWindow from "./internal/ports/fixedWindow.ts"
import { ownLayer } from "./internal/ports/ownLayer.ts"
import { replaceErrorsOfBuffered } from "./internal/ports/portError.ts"
import * as RateLimits from "./internal/ports/rateLimits.ts"
import * as TokenBucket from "./internal/ports/tokenBucket.ts"
import type { Store } from "./Store.ts"

/**
 * Options of the rate limits of a store.
 *
 * @category options
 * @since 0.2.0
 */
export interface RateLimiterOptions {
  /** The name of the limiter. Limiters with different names have nothing in common. Default: `"default"`. */
  readonly name?: string | undefined
}

type StoreMethods = RateLimiter.RateLimiterStore["Service"]

const storeError = (message: string, cause?: Error) =>
  new RateLimiter.RateLimiterError({
    reason: new RateLimiter.RateLimitStoreError({ message, ...(cause === undefined ? {} : { cause }) })
  })

const orFail = (key: string) =>
  replaceErrorsOfBuffered((cause: Error) =>
    storeError(`Failed to update the rate limit "${key}": ${cause.message}`, cause)
  )

/**
 * Says what is wrong with a limit that is not a number, such as `Number` of a variable that is missing: it would admit
 * everything. Effect gives no limit for `onExceeded: "delay"`, and a time of 0 for a limit that is not a number.
 */
const limitProblem = (key: string, limit: unknown, refillMillis: number) =>
  (limit === undefined ? refillMillis > 0 : Predicate.isNumber(limit) && !Number.isNaN(limit))
    ? undefined
    : storeError(`The rate limit "${key}" needs a number as \`limit\`, and a finite one with \`onExceeded: "delay"\``)

/** Runs a step if no number is such that its limit would stay in the store for ever. */
const withFinite = <A>(
  key: string,
  numbers: Readonly<Record<string, number>>,
  step: Effect.Effect<A, RateLimiter.RateLimiterError>
): Effect.Effect<A, RateLimiter.RateLimiterError> => {
  for (const name in numbers) {
    const number = numbers[name]
    if (Number.isFinite(number)) continue
    const advice = name === "refillRate"
      ? ": give a finite `window`, and a `limit` above 0 with `onExceeded: \"delay\"`"
      : ""
    return Effect.fail(
      storeError(`The rate limit "${key}" needs a finite number as \`${name}\`, not ${number}${advice}`)
    )
  }
  return step
}

/**
 * Makes the store of rate limits in the store of the context.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeStore = Effect.fnUntraced(
  function*(options: RateLimiterOptions = {}): Effect.fn.Return<StoreMethods, OpenError, Store> {
    const limits = yield* RateLimits.make(options.name ?? "default")

    const fixedWindow: StoreMethods["fixedWindow"] = ({ key, limit, refillRate, tokens }) => {
      const refillMillis = Duration.toMillis(refillRate)
      const problem = limitProblem(key, limit, refillMillis)
      if (problem !== undefined) return Effect.fail(problem)
      return withFinite(
        key,
        { tokens, refillRate: refillMillis },
        RateLimits.run(
          limits,
          "FixedWindow",
          key,
          (current, now) => FixedWindow.take(current, now, { key, tokens, refillMillis, limit })
        ).pipe(orFail(key))
      )
    }

    const tokenBucket: StoreMethods["tokenBucket"] = ({ allowOverflow, key, limit, refillRate, tokens }) => {
      const refillMillis = Duration.toMillis(refillRate)
      return withFinite(
        key,
        { tokens, limit, refillRate: refillMillis },
        RateLimits.run(
          limits,
          "TokenBucket",
          key,
          (current, now) => TokenBucket.take(current, now, { key, tokens, limit, refillMillis, allowOverflow })
        ).pipe(orFail(key))
      )
    }

    const adaptiveConsume: StoreMethods["adaptiveConsume"] = ({ fallbackWindow, key, tokens }) => {
      const fallbackMillis = Duration.toMillis(fallbackWindow)
      return withFinite(
        key,
        { tokens, fallbackWindow: fallbackMillis },
        RateLimits.run(
          limits,
          "AdaptiveLimit",
          key,
          (current, now) => AdaptiveLimit.consume(current, now, { tokens, fallbackMillis })
        ).pipe(orFail(key))
      )
    }

    const adaptiveFeedback: StoreMethods["adaptiveFeedback"] = ({ epoch, key, retryAfter, status, tokens }) => {
      if (status !== 429 || retryAfter === undefined) return Effect.void
      const retryAfterMillis = Duration.toMillis(retryAfter)
      return withFinite(
        key,
        { tokens },
        RateLimits.run(
          limits,
          "AdaptiveLimit",
          key,
          (current, now) =>
            [undefined, AdaptiveLimit.refused(current, now, { key, epoch, tokens, retryAfterMillis })] as const
        ).pipe(
          orFail(key)
        )
      )
    }

    return RateLimiter.RateLimiterStore.of({ fixedWindow, tokenBucket, adaptiveConsume, adaptiveFeedback })
  }
)

/**
 * Provides `RateLimiterStore` in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerStore = (
  options?: RateLimiterOptions
): Layer.Layer<RateLimiter.RateLimiterStore, OpenError, Store> =>
  Layer.effect(RateLimiter.RateLimiterStore, makeStore(options))

/**
 * Provides `RateLimiter` of Effect in the store of the context, with `RateLimiterStore`.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options?: RateLimiterOptions
): Layer.Layer<RateLimiter.RateLimiter | RateLimiter.RateLimiterStore, OpenError, Store> =>
  ownLayer(Layer.provideMerge(RateLimiter.layer, layerStore(options)))
