/**
 * What tests of transactions need: one whose steps the test takes by hand, and all
 * that a store holds.
 */
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Closed, StoreService, TransactionConflict } from "../src/index.ts"
import type { CommitError } from "../src/internal/committer.ts"
import * as SpyEngine from "./spyEngine.ts"

/** A store with three records on disk, on a watched engine. */
export const openSeeded: typeof SpyEngine.open = (options) =>
  Effect.tap(SpyEngine.open(options), ({ store }) => Effect.orDie(store.putMany(seed)))

/** The records of that store. */
export const seed = { a: 1, b: 2, c: 3 }

/** A transaction that goes on when the test says so. It runs once: a conflict is an error at once. */
export interface HandTransaction {
  /** Takes a step in it. */
  readonly inside: <A, E, R>(step: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Ends it, and waits for its commit. */
  readonly commit: Effect.Effect<void, TransactionConflict | CommitError | Closed>
}

/** Begins a transaction; the scope ends it at the latest. */
export const begin: (store: StoreService) => Effect.Effect<HandTransaction, never, Scope.Scope> = Effect.fnUntraced(
  function*(store: StoreService) {
    const entered = yield* Deferred.make<Context.Context<never>>()
    const ended = yield* Deferred.make<void>()
    const body = Effect.context().pipe(
      Effect.flatMap((context) => Deferred.succeed(entered, context)),
      Effect.andThen(Deferred.await(ended))
    )
    const fiber = yield* Effect.forkScoped(store.withTransaction(body, { retry: Schedule.recurs(0) }))
    const context = yield* Deferred.await(entered)
    return {
      inside: (step) => Effect.provideContext(step, context),
      commit: Effect.andThen(Deferred.succeed(ended, undefined), Fiber.join(fiber))
    }
  }
)

/** All that a store holds, in the order of the keys. */
export const contentOf = (store: StoreService) =>
  Effect.map(Stream.runCollect(store.entries()), (entries) => Object.fromEntries<unknown>(entries))

/** Reads a number; 0 where there is none. */
export const numberOf = (store: StoreService, key: string) =>
  Effect.map(store.get(key), (value) => Number(Option.getOrElse(value, () => 0)))

/** Adds one to a number. */
export const increment = (value: Option.Option<unknown>): Option.Option<number> =>
  Option.some(Number(Option.getOrElse(value, () => 0)) + 1)

/** The numbers below another. */
export const below = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

/** Gives what takes steps outside of any transaction, also when it is used inside of one. */
export const leaving = Effect.map(
  Effect.context(),
  (context) => <A, E>(step: Effect.Effect<A, E>): Effect.Effect<A, E> => Effect.updateContext(step, () => context)
)
