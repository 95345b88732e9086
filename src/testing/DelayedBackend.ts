/**
 * Wraps a backend so that its reads are delayed, for tests. A program that works with it does not depend on reads that
 * end at once.
 *
 * **Details**
 *
 * Each read ends after a random number of turns of the other fibers, from none to three. Writes and commits go to the
 * wrapped backend unchanged. A read-modify-write step runs as on a database server: a reader records what the step has
 * read. The writes are committed if that is unchanged. Otherwise the step runs again.
 *
 * **Example** (Testing a program on a store whose reads wait)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Store } from "effect-lmdb"
 * import { DelayedBackend, LocalBackend } from "effect-lmdb/testing"
 *
 * const backend = Effect.flatMap(LocalBackend.makeTemp(), (local) => DelayedBackend.make(local, { seed: 1 }))
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* Store
 *   yield* store.put("name", "Ada")
 *   return yield* store.getOrFail("name") // => Ada
 * })
 *
 * Effect.runPromise(Effect.provide(program, Store.layerWithBackend(backend, { name: "delayed" })))
 * ```
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Backend, Reader, Snapshot } from "../Backend.ts"
import * as OptimisticStep from "../internal/transaction/optimisticStep.ts"
import { EngineFailure } from "../StoreError.ts"

/**
 * Options for the delays of reads.
 *
 * @category options
 * @since 0.2.0
 */
export interface DelayOptions {
  /** The seed of the random delays. The same seed gives the same delays. Default: 0. */
  readonly seed?: number | undefined
  /** The maximum number of turns that a read waits. Default: 3. */
  readonly turns?: number | undefined
}

/** Delays a read: by some turns before it begins, and by some turns before its result returns. */
type Delay = <A>(read: () => Effect.Effect<A, EngineFailure>) => Effect.Effect<A, EngineFailure>

const waitTurns = (turns: number): Effect.Effect<void> =>
  turns === 0 ? Effect.void : Effect.andThen(Effect.yieldNow, Effect.suspend(() => waitTurns(turns - 1)))

const makeDelay = (random: Random.Random, mostTurns: number): Delay => {
  const below = (end: number): number => Math.floor(random.nextDoubleUnsafe() * end)
  return (read) =>
    Effect.suspend(() => {
      const turns = below(mostTurns + 1)
      const before = below(turns + 1)
      return Effect.andThen(
        waitTurns(before),
        Effect.tap(Effect.suspend(read), () => waitTurns(turns - before))
      )
    })
}

const delayedReader = (reader: Reader, delay: Delay): Reader => ({
  get: (database, key, decode) => delay(() => reader.get(database, key, decode)),
  getMany: (database, keys, decode) => delay(() => reader.getMany(database, keys, decode)),
  has: (database, key) => delay(() => reader.has(database, key)),
  read: (database, request) => delay(() => reader.read(database, request)),
  count: (database) => delay(() => reader.count(database))
})

const released = new EngineFailure({
  operation: "read a snapshot",
  code: 0,
  detail: "the snapshot was released",
  isRetryable: false
})

const delayedSnapshot = (snapshot: Snapshot, delay: Delay): Snapshot => {
  let isReleased = false
  const delayUnlessReleased: Delay = (read) => delay(() => isReleased ? Effect.fail(released) : read())
  return {
    ...delayedReader(snapshot, delayUnlessReleased),
    release: () => {
      isReleased = true
      snapshot.release()
    }
  }
}

/**
 * Wraps a backend so that each read of it ends after a random number of turns.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make: (inner: Backend, options?: DelayOptions) => Effect.Effect<Backend> = Effect.fnUntraced(function*(
  inner,
  { seed = 0, turns = 3 } = {}
) {
  const delay = makeDelay(yield* Random.withSeed(Random.Random, seed), turns)
  const untilReadable: Effect.Effect<void> = Effect.suspend(() =>
    inner.isReadable() ? Effect.void : Effect.andThen(Effect.yieldNow, untilReadable)
  )
  const delayReadable: Delay = (read) => delay(() => Effect.andThen(untilReadable, Effect.suspend(read)))
  const reader = delayedReader(inner.reader, delayReadable)
  const { commit, transactionSnapshot, whileReadable } = inner
  return {
    ...inner,
    reader,
    // A delayed read needs `whileReadable`, which keeps the file open until the read ends.
    isReadable: () => false,
    // A snapshot must be opened in one turn, to have one state. An interruption after that would leave it open.
    snapshot: () =>
      Effect.map(
        Effect.andThen(delay(() => Effect.void), Effect.suspend(inner.snapshot)),
        (snapshot) => delayedSnapshot(snapshot, delay)
      ),
    nextSnapshot: () =>
      Effect.map(
        Effect.andThen(delay(() => Effect.void), Effect.suspend(inner.nextSnapshot)),
        (snapshot) => ({ ...delayedSnapshot(snapshot, delay), isTentative: snapshot.isTentative })
      ),
    transactionSnapshot: transactionSnapshot === undefined ? undefined : (options) =>
      Effect.map(
        Effect.andThen(delay(() => Effect.void), Effect.suspend(() => transactionSnapshot(options))),
        ({ isOutdated, isTentative, ...snapshot }) => ({ ...delayedSnapshot(snapshot, delay), isTentative, isOutdated })
      ),
    committedSnapshot: () =>
      Effect.map(inner.committedSnapshot(), (snapshot) => ({
        ...delayedSnapshot(snapshot, delay),
        transactionId: snapshot.transactionId
      })),
    databases: () => delayReadable(inner.databases),
    openDatabase: (name) => delayReadable(() => inner.openDatabase(name)),
    stats: delayReadable(() => inner.stats),
    step: (step, options) => OptimisticStep.run({ reader, whileReadable, commit }, step, options)
  }
})
