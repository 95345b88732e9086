/**
 * A readers/writer lock: any number of readers at a time, or one writer alone.
 *
 * It is a pair of semaphores. `gate` has one permit. Every fiber takes it first, in the
 * order of arrival. `readers` has a permit for each possible reader. A reader takes one
 * of them while it has the gate, then releases the gate and keeps the permit. A writer
 * keeps the gate, and takes all permits of `readers`.
 *
 * **Details**
 *
 * - A waiting writer has the gate, so readers that arrive later wait for it: writers are
 *   preferred. The gate is fair, so those readers run before the next writer: neither
 *   readers nor writers starve.
 * - A fiber that waits, for the gate or for the permits of readers, can be interrupted,
 *   unless it is uninterruptible. It then leaves the lock unchanged.
 * - The effect under the lock has the interruptibility of its caller. The lock is
 *   released when the effect succeeds, fails or is interrupted.
 *
 * **Gotchas**
 *
 * The lock is not reentrant. A writer that takes it again waits forever. A reader that
 * takes it again waits forever if a writer is waiting.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"

/** A readers/writer lock that prefers writers. */
export interface ReadersWriterLock {
  /** Runs an effect while no writer runs. Other readers may run at the same time. */
  readonly withRead: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Runs an effect while no other reader or writer runs. */
  readonly withWrite: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

const everyReader = Number.MAX_SAFE_INTEGER

const makeUnsafe = (): ReadersWriterLock => {
  const gate = Semaphore.makeUnsafe(1)
  const readers = Semaphore.makeUnsafe(everyReader)
  return {
    // `takeScoped` takes the permit and registers its release in one step, so that an
    // interruption between the gate and the effect does not lose the permit.
    withRead: (effect) =>
      Effect.scopedWith((scope) =>
        Effect.andThen(gate.withPermit(Scope.provide(readers.takeScoped(1), scope)), effect)
      ),
    withWrite: (effect) => gate.withPermit(readers.withPermits(everyReader)(effect))
  }
}

/** Makes a lock that is free. */
export const make: Effect.Effect<ReadersWriterLock> = Effect.sync(makeUnsafe)
