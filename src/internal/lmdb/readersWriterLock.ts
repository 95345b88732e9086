/**
 * A readers/writer lock: any number of readers at a time, or one writer alone.
 *
 * It is made of a pair of semaphores. `gate` has one permit and is a turnstile:
 * whoever wants in passes it, in the order of arrival. `readers` has a permit for
 * every reader there can be. A reader takes one of them while it passes the gate
 * and keeps it; a writer stays in the gate, takes all of them, and keeps both.
 *
 * **Details**
 *
 * - A waiting writer stands in the gate, so readers that come later wait behind
 *   it: writers are preferred. The gate is fair, so those readers go before the
 *   next writer: neither side starves.
 * - Waiting can be interrupted, in the gate and behind the readers, unless the
 *   caller is uninterruptible. A waiter that is interrupted leaves no trace.
 * - The effect under the lock runs as interruptible as its caller. The lock is
 *   released however it ends.
 *
 * **Gotchas**
 *
 * The lock is not reentrant. A writer that asks for it again waits forever; so
 * does a reader that does, as soon as a writer waits.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"

/** A readers/writer lock that prefers writers. */
export interface ReadersWriterLock {
  /** Runs an effect together with other readers, and with no writer. */
  readonly withRead: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Runs an effect alone. */
  readonly withWrite: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

const everyReader = Number.MAX_SAFE_INTEGER

const makeUnsafe = (): ReadersWriterLock => {
  const gate = Semaphore.makeUnsafe(1)
  const readers = Semaphore.makeUnsafe(everyReader)
  return {
    // `takeScoped` takes the permit and registers its release in one step: an
    // interruption between the gate and the effect cannot lose it.
    withRead: (effect) =>
      Effect.scopedWith((scope) =>
        Effect.andThen(gate.withPermit(Scope.provide(readers.takeScoped(1), scope)), effect)
      ),
    withWrite: (effect) => gate.withPermit(readers.withPermits(everyReader)(effect))
  }
}

/** Makes a lock that nobody holds. */
export const make: Effect.Effect<ReadersWriterLock> = Effect.sync(makeUnsafe)
