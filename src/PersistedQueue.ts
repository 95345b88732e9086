/**
 * Keeps the elements of Effect's `PersistedQueue` in a store.
 *
 * It is the subpath `effect-lmdb/PersistedQueue`. All that Effect builds on a `PersistedQueueFactory` works on it, such as
 * `DurableQueue`.
 *
 * **Details**
 *
 * - An offer is on disk when `offer` returns. When `take` returns, it is on disk whether its element was completed, failed
 *   or comes again. Fibers that do this at the same time share commits.
 * - An `offer` inside `withTransaction` of the store belongs to the transaction: it is stored with the other writes, or
 *   not at all.
 * - A `take` inside `withTransaction` fails: its claim must be on disk before its handler runs. Use `withTransaction` in
 *   the handler.
 * - Elements are taken in the order in which they become visible, and then in the order of the offers.
 * - Delivery is at least once. A claim has a lease, which is renewed as long as the handler runs. If the process dies, the
 *   element is free when the next process opens the store. With the option `shared` of the store, it is free within
 *   5 seconds, or when its lease has ended if it is not known whether the process lives. The attempt counts.
 * - No polling: a waiting `take` sleeps until the next element is due. A commit of this process wakes it at once. With the
 *   option `shared` of the store, a commit of another process does when it is noticed.
 * - Every failure is a `PersistedQueueError`. Its `cause` is the error of the store.
 *
 * **Gotchas**
 *
 * An element that was completed is kept without its value, so that an offer with the same id does nothing.
 * `PersistedQueue.layerCleanup` of Effect deletes it later.
 *
 * **Example** (Work that is offered together with the data)
 *
 * ```ts
 * import { Console, Effect, Layer, Schema } from "effect"
 * import { Collection, Store } from "effect-lmdb"
 * import * as LmdbPersistedQueue from "effect-lmdb/PersistedQueue"
 * import { PersistedQueue } from "effect/persistence"
 *
 * const Users = Collection.make("users", { key: Schema.Int, value: Schema.String })
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* Store
 *   const users = yield* Users
 *   const emails = yield* PersistedQueue.make({ name: "emails", schema: Schema.String })
 *   yield* store.withTransaction(Effect.gen(function*() {
 *     yield* users.insert(1, "Ada")
 *     yield* emails.offer("Welcome, Ada!")
 *   }))
 *   yield* emails.take((email) => Console.log(email)) // => Welcome, Ada!
 * })
 *
 * const Live = LmdbPersistedQueue.layer().pipe(Layer.provideMerge(Store.layerTemp()))
 *
 * Effect.runPromise(Effect.provide(program, Live))
 * ```
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type { OpenError } from "./Collection.ts"
import type { Page } from "./CollectionRange.ts"
import * as Damage from "./internal/ports/damage.ts"
import * as EndedClaims from "./internal/ports/endedClaims.ts"
import * as Failed from "./internal/ports/failedElements.ts"
import * as FailedSelections from "./internal/ports/failedSelections.ts"
import { ownLayer } from "./internal/ports/ownLayer.ts"
import * as PollInterval from "./internal/ports/pollInterval.ts"
import { replaceErrors } from "./internal/ports/portError.ts"
import * as Dispatcher from "./internal/ports/queueDispatcher.ts"
import * as QueueElements from "./internal/ports/queueElements.ts"
import * as Leases from "./internal/ports/queueLeases.ts"
import * as Settlement from "./internal/ports/queueSettlement.ts"
import { Store } from "./Store.ts"
import type { StoreService } from "./StoreService.ts"

export * from "./QueueElement.ts"

/**
 * Options of the queues of a store.
 *
 * @category options
 * @since 0.2.0
 */
export interface PersistedQueueOptions {
  /**
   * How long the lease of a claim lasts. It is renewed as long as the handler runs, when a quarter of the time has passed.
   * An element whose lease is not renewed is taken again after this time. At least 1 second. Default: 2 minutes.
   */
  readonly lockExpiration?: Duration.Input | undefined
  /**
   * The time between two checks for commits of other processes. It has an effect only if the store has the option
   * `shared`. Default: 50 milliseconds.
   */
  readonly pollInterval?: Duration.Input | undefined
}

type StoreMethods = PersistedQueue.PersistedQueueStore["Service"]

const orFail = (message: string) =>
  replaceErrors((cause: Error) =>
    new PersistedQueue.PersistedQueueError({ message: `${message}: ${cause.message}`, cause })
  )

/** Refuses a `take` from a queue without a name: the look at it would fail again and again, and no other queue had its turn. */
const refuseWithoutName = (queue: unknown) =>
  Predicate.isString(queue)
    ? Effect.void
    : Effect.fail(
      new PersistedQueue.PersistedQueueError({ message: "Cannot take an element: the name of the queue must be text" })
    )

/**
 * Refuses a `take` inside a transaction. Its claim is a commit of its own, which a transaction that has read before does not
 * see: it would conflict each time it runs, and use up the attempts of the elements.
 */
const refuseInTransaction = (store: StoreService, queue: string) =>
  Effect.flatMap(store.inTransaction, (isInside) =>
    isInside
      ? Effect.fail(
        new PersistedQueue.PersistedQueueError({
          message: `Cannot take an element from the queue "${queue}" inside a transaction. ` +
            "Take it outside, and use withTransaction in its handler."
        })
      )
      : Effect.void)

/** The most elements that a transaction of `cleanup` deletes. */
const cleanupBatch = 1000

/** Deletes the elements that have been completed or failed for some time, batch by batch. */
const cleanUp = Effect.fnUntraced(function*(
  { indexes }: QueueElements.Elements,
  state: "completed" | "failed",
  timeToLive: Duration.Duration
) {
  const until = (yield* Clock.currentTimeMillis) - Duration.toMillis(timeToLive)
  const deleteSome = indexes.settled.deleteRange({ prefix: [state], lte: [state, until], limit: cleanupBatch })
  yield* Effect.repeat(deleteSome, { while: (deleted) => deleted === cleanupBatch })
})

/**
 * Makes the store of persisted queues in the store of the context.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeStore = Effect.fnUntraced(
  function*(
    options: PersistedQueueOptions = {}
  ): Effect.fn.Return<StoreMethods, OpenError, Store | Scope.Scope> {
    yield* PollInterval.check(options)
    const store = yield* Store
    const elements = yield* QueueElements.open
    const openings = yield* EndedClaims.open
    const leases = Leases.make({ store, elements, openings }, options.lockExpiration ?? "2 minutes")
    yield* Leases.join(leases)
    const dispatcher = Dispatcher.make(leases)
    const pollOptions = options.pollInterval === undefined ? {} : { pollInterval: options.pollInterval }
    yield* Effect.forEach(
      [
        Leases.keepRenewing(leases),
        EndedClaims.keepFreeing(leases),
        Dispatcher.follow(dispatcher, pollOptions),
        Dispatcher.run(dispatcher)
      ],
      (background) => Effect.forkScoped(background, { startImmediately: true }),
      { discard: true }
    )
    yield* Effect.addFinalizer(() => Dispatcher.close(dispatcher))

    const offer: StoreMethods["offer"] = ({ delay, element, id, name: queue }) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        elements.insert(
          QueueElements.keyOf({ queue, id }),
          {
            queue,
            id,
            element,
            state: "pending",
            attempts: 0,
            sequence: QueueElements.nextSequence(now),
            visibleAt: now + (delay === undefined ? 0 : Duration.toMillis(delay)),
            changedAt: now
          },
          { durable: true }
        )).pipe(
          // The id was offered before. That offer is on disk: no fiber sees an offer before its commit.
          Effect.catchTag("KeyExists", () => Effect.void),
          orFail(`Failed to offer an element to the queue "${queue}"`)
        )

    const take: StoreMethods["take"] = (takeOptions) =>
      Effect.andThen(
        Effect.andThen(refuseWithoutName(takeOptions.name), refuseInTransaction(store, takeOptions.name)),
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(Dispatcher.take(dispatcher, takeOptions, restore), (claim) =>
            Effect.as(
              Effect.addFinalizer((exit) => Settlement.settle(leases, claim, takeOptions, exit)),
              { id: claim.id, attempts: claim.attempts, element: claim.element }
            ))
        )
      )

    const cleanup: StoreMethods["cleanup"] = ({ failedTimeToLive, timeToLive }) =>
      Effect.andThen(
        cleanUp(elements, "completed", timeToLive),
        failedTimeToLive === undefined ? Effect.void : cleanUp(elements, "failed", failedTimeToLive)
      ).pipe(orFail("Failed to clean up the persisted queues"))

    return PersistedQueue.PersistedQueueStore.of({ offer, take, cleanup })
  }
)

/**
 * Provides `PersistedQueueStore` in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerStore = (
  options?: PersistedQueueOptions
): Layer.Layer<PersistedQueue.PersistedQueueStore, OpenError, Store> =>
  Layer.effect(PersistedQueue.PersistedQueueStore, makeStore(options))

/**
 * Describes an element that has failed.
 *
 * @category models
 * @since 0.2.0
 */
export interface FailedElement {
  readonly id: string
  /** What was offered, as the schema of the queue has encoded it to JSON. */
  readonly element: unknown
  /** How often it was taken. */
  readonly attempts: number
  readonly failedAt: DateTime.Utc
  /** Why the last attempt failed, as text. */
  readonly failure: string
}

/**
 * Selects failed elements of a queue: those with the ids, or all.
 *
 * @category options
 * @since 0.2.0
 */
export interface FailedSelection {
  /** The name of the queue. */
  readonly name: string
  /** Ids of elements that have not failed are passed over. */
  readonly ids: ReadonlyArray<string> | "all"
}

/**
 * Looks after elements that have failed: their attempts are used up, or they do not decode.
 *
 * **Details**
 *
 * All calls fail with `PersistedQueueError`.
 *
 * **Example** (Trying everything again)
 *
 * ```ts
 * import { Console, Effect, Layer, Schema } from "effect"
 * import { Store } from "effect-lmdb"
 * import * as LmdbPersistedQueue from "effect-lmdb/PersistedQueue"
 * import { PersistedQueue } from "effect/persistence"
 *
 * const program = Effect.gen(function*() {
 *   const emails = yield* PersistedQueue.make({ name: "emails", schema: Schema.String, maxAttempts: 1 })
 *   yield* emails.offer("Hello", { id: "1" })
 *   yield* Effect.ignore(emails.take(() => Effect.fail("no connection")))
 *
 *   const failed = yield* LmdbPersistedQueue.FailedElements
 *   const { items } = yield* failed.peek({ name: "emails", limit: 20 })
 *   yield* Console.log(items.map(({ id }) => id)) // => [ '1' ]
 *   yield* Console.log(yield* failed.requeue({ name: "emails", ids: "all" })) // => 1
 *   yield* emails.take((email) => Console.log(email)) // => Hello
 * })
 *
 * const Live = LmdbPersistedQueue.layer().pipe(Layer.provideMerge(Store.layerTemp()))
 *
 * Effect.runPromise(Effect.provide(program, Live))
 * ```
 *
 * @category services
 * @since 0.2.0
 */
export class FailedElements extends Context.Service<FailedElements, {
  /**
   * Reads a page of the failed elements, the oldest failure first. `after` is the `next` of the page before. An element that
   * the store cannot decode is left out, and the log tells of it once.
   */
  readonly peek: (options: {
    readonly name: string
    readonly limit: number
    readonly after?: string | undefined
  }) => Effect.Effect<Page<FailedElement>, PersistedQueue.PersistedQueueError>

  /**
   * Puts failed elements back into their queue, as the last ones, with all attempts. Returns their number. On disk when it
   * returns. With `"all"`, they are those that have failed by now, in transactions of 1,000. Elements that the store cannot
   * decode stay.
   */
  readonly requeue: (selection: FailedSelection) => Effect.Effect<number, PersistedQueue.PersistedQueueError>

  /**
   * Deletes failed elements. Their ids can be offered again. Returns their number. On disk when it returns. With `"all"`,
   * they are those that have failed by now, in transactions of 1,000. Elements that the store cannot decode are deleted too.
   */
  readonly purge: (selection: FailedSelection) => Effect.Effect<number, PersistedQueue.PersistedQueueError>
}>()("effect-lmdb/PersistedQueue/FailedElements") {}

/**
 * Makes the service for failed elements in the store of the context. It needs no running queue.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeFailedElements: Effect.Effect<FailedElements["Service"], OpenError, Store> = Effect.gen(
  function*() {
    const self: Failed.FailedElements = {
      store: yield* Store,
      elements: yield* QueueElements.open,
      damage: Damage.make()
    }
    return FailedElements.of({
      peek: (options) =>
        Effect.flatMap(FailedSelections.checkPage(options), () =>
          Failed.page(self, options).pipe(
            Effect.map(({ items, next }) => ({ items: items.map(failedElementOf), next })),
            orFail(`Failed to read the failed elements of the queue "${options.name}"`)
          )),
      requeue: (selection) =>
        Effect.flatMap(FailedSelections.check("requeue", selection), () =>
          Failed.requeue(self, selection).pipe(
            orFail(`Failed to requeue the failed elements of the queue "${selection.name}"`)
          )),
      purge: (selection) =>
        Effect.flatMap(FailedSelections.check("delete", selection), () =>
          Failed.purge(self, selection).pipe(
            orFail(`Failed to delete the failed elements of the queue "${selection.name}"`)
          ))
    })
  }
)

const failedElementOf = (
  { attempts, changedAt, element, id, lastFailure }: QueueElements.Element
): FailedElement => ({ id, element, attempts, failedAt: DateTime.makeUnsafe(changedAt), failure: lastFailure ?? "" })

/**
 * Provides `FailedElements` in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerFailedElements: Layer.Layer<FailedElements, OpenError, Store> = Layer.effect(
  FailedElements,
  makeFailedElements
)

/**
 * Provides `PersistedQueueFactory` of Effect in the store of the context, with `PersistedQueueStore`, which
 * `PersistedQueue.layerCleanup` needs, and `FailedElements`.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options?: PersistedQueueOptions
): Layer.Layer<
  PersistedQueue.PersistedQueueFactory | PersistedQueue.PersistedQueueStore | FailedElements,
  OpenError,
  Store
> =>
  ownLayer(PersistedQueue.layer.pipe(
    Layer.provideMerge(layerStore(options)),
    Layer.merge(layerFailedElements)
  ))
