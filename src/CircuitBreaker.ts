/**
 * Keeps the state of Effect's `CircuitBreaker` in a store.
 *
 * It is the subpath `effect-lmdb/CircuitBreaker`. All that Effect builds on a `CircuitBreaker` works on it, such as
 * `HttpClient.withCircuitBreaker`.
 *
 * **Details**
 *
 * - Each call is one step: of the fibers that find a circuit half-open, one gets the probe. With the option `shared` of
 *   the store, this holds for all processes.
 * - Circuits survive a restart. Their writes are buffered: a crash can lose those since the last commit. With `shared`, a
 *   step is on disk when it returns.
 * - A probe holds a lease, which it renews while it runs. If its process dies, another call is the probe when the lease
 *   has ended, and an outcome of the first one changes nothing.
 * - A circuit that has not been used for the time `idleTimeToLive` begins again as closed, and is deleted in the background.
 *   An open circuit and a running probe are kept for that time after their open time or lease.
 * - Every failure of the store is a `CircuitBreakerError` with the reason `CircuitBreakerStoreError`. The `cause` of the
 *   reason is the error of the store. By default a breaker lets the call run then, as its option `onStoreError` says.
 *
 * **Gotchas**
 *
 * Inside `withTransaction` of the store, the calls do not belong to the transaction: a failure counts although the
 * transaction fails with it.
 *
 * **Example** (A circuit that is still open after a restart)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Store } from "effect-lmdb"
 * import * as LmdbCircuitBreaker from "effect-lmdb/CircuitBreaker"
 * import { CircuitBreaker } from "effect/persistence"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.CircuitBreaker
 *   const charge = Effect.fail("unavailable").pipe(breaker.execute({ key: "payments" }))
 *   yield* Effect.ignore(charge)
 *   yield* Effect.ignore(charge)
 *   yield* charge.pipe(
 *     Effect.catchReason("CircuitBreakerError", "CircuitOpen", ({ key }) => Console.log(`${key} is open`))
 *   )
 * })
 *
 * const Live = LmdbCircuitBreaker.layer({ tripPolicy: CircuitBreaker.consecutive(2), openDuration: "30 seconds" }).pipe(
 *   Layer.provide(Store.layerTemp())
 * )
 *
 * Effect.runPromise(Effect.provide(program, Live)) // => payments is open
 * ```
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import type { OpenError } from "./Collection.ts"
import * as Circuit from "./internal/ports/circuit.ts"
import * as Circuits from "./internal/ports/circuits.ts"
import { replaceErrors } from "./internal/ports/portError.ts"
import type { Store } from "./Store.ts"

/**
 * Options of the circuits of a store.
 *
 * @category options
 * @since 0.2.0
 */
export interface CircuitBreakerOptions {
  /** The name of the circuits. Breakers with different names have nothing in common. Default: `"default"`. */
  readonly name?: string | undefined
  /**
   * How long a probe keeps other calls out after its process has died. A running probe renews its lease three times in
   * this time. Default: 10 seconds. At least 1 second.
   */
  readonly probeLease?: Duration.Input | undefined
  /** How long a circuit is kept that is not used. Default: 1 hour. At least 1 millisecond. */
  readonly idleTimeToLive?: Duration.Input | undefined
}

/**
 * Options of a circuit breaker and of its circuits: those of Effect's `CircuitBreaker.layer`, and those of the store.
 *
 * @category options
 * @since 0.2.0
 */
export type CircuitBreakerLayerOptions = CircuitBreakerOptions & Parameters<typeof CircuitBreaker.layer>[0]

type StoreMethods = CircuitBreaker.CircuitBreakerStore["Service"]

const orFail = (what: string) =>
  replaceErrors((cause: Error) =>
    new CircuitBreaker.CircuitBreakerError({
      reason: new CircuitBreaker.CircuitBreakerStoreError({ message: `Failed to ${what}: ${cause.message}`, cause })
    })
  )

const rejected = (key: string, rejection: Circuit.Rejection) =>
  new CircuitBreaker.CircuitBreakerError({
    reason: rejection._tag === "Open"
      ? new CircuitBreaker.CircuitOpen({ key, retryAfter: Duration.millis(rejection.retryAfterMillis) })
      : new CircuitBreaker.CircuitHalfOpen({ key })
  })

/** A shorter lease would be renewed all the time. */
const shortestLease = 1000

const timesOf = ({ idleTimeToLive = "1 hour", probeLease = "10 seconds" }: CircuitBreakerOptions): Circuit.Times => ({
  idle: Math.max(1, Duration.toMillis(Duration.fromInputUnsafe(idleTimeToLive))),
  lease: Math.max(shortestLease, Duration.toMillis(Duration.fromInputUnsafe(probeLease)))
})

/** Logs a failed renewal, which no caller gets, at the level for such errors. */
const logFailedRenewal = (error: CircuitBreaker.CircuitBreakerError): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const level = fiber.getRef(References.UnhandledLogLevel)
    return level === undefined
      ? Effect.void
      : Effect.logWithLevel(level)("A circuit breaker will try again to renew the lease of a probe", Cause.fail(error))
  })

/** Renews the lease of a probe until the call is the probe no more. After a failure it tries again. */
const keepLease = (
  circuits: Circuits.Circuits,
  key: string,
  generation: number,
  times: Circuit.Times
): Effect.Effect<void> =>
  Circuits.run(circuits, key, (current, now) => Circuit.renew(current, now, generation, times)).pipe(
    orFail(`renew the lease of the probe of the circuit "${key}"`),
    Effect.catch((error) => Effect.as(logFailedRenewal(error), true)),
    Effect.delay(times.lease / 3),
    Effect.repeat({ while: (isProbe) => isProbe }),
    Effect.asVoid
  )

/**
 * Makes the store of circuits in the store of the context.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeStore = Effect.fnUntraced(
  function*(options: CircuitBreakerOptions = {}): Effect.fn.Return<StoreMethods, OpenError, Store> {
    const circuits = yield* Circuits.make(options.name ?? "default")
    const times = timesOf(options)

    const admit = Effect.fnUntraced(
      function*(
        key: string
      ): Effect.fn.Return<CircuitBreaker.Admission, CircuitBreaker.CircuitBreakerError, Scope.Scope> {
        const result = yield* Circuits.run(circuits, key, (current, now) => Circuit.admit(current, now, key, times))
          .pipe(
            orFail(`admit a call through the circuit "${key}"`)
          )
        if ("_tag" in result) return yield* rejected(key, result)
        if (result.probe) {
          yield* keepLease(circuits, key, result.generation, times).pipe(Effect.interruptible, Effect.forkScoped)
        }
        return result
      }
    )

    return CircuitBreaker.CircuitBreakerStore.of({
      admit,
      record: (recorded) =>
        Circuits.run(
          circuits,
          recorded.key,
          (current, now) => Circuit.record(current, now, recorded, times)
        ).pipe(orFail(`record an outcome in the circuit "${recorded.key}"`)),
      state: (key) => Circuits.state(circuits, key).pipe(orFail(`read the circuit "${key}"`))
    })
  }
)

/**
 * Provides `CircuitBreakerStore` in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerStore = (
  options?: CircuitBreakerOptions
): Layer.Layer<CircuitBreaker.CircuitBreakerStore, OpenError, Store> =>
  Layer.effect(CircuitBreaker.CircuitBreakerStore, makeStore(options))

/**
 * Provides `CircuitBreaker` of Effect in the store of the context, with `CircuitBreakerStore`.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options: CircuitBreakerLayerOptions
): Layer.Layer<CircuitBreaker.CircuitBreaker | CircuitBreaker.CircuitBreakerStore, OpenError, Store> =>
  Layer.provideMerge(CircuitBreaker.layer(options), layerStore(options))
