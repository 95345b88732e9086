/** Commits and openings of LMDB's files exclude each other, across all that have the lock file open. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { join } from "node:path"
import * as process from "node:process"
import * as StoreLock from "../../src/internal/lmdb/storeLock.ts"
import { start, temporaryFolder } from "../support/harness.ts"

/** Two locks of one store, as two processes have them: each has a descriptor of its own. */
const twoLocks = Effect.fnUntraced(function*() {
  const path = yield* temporaryFolder
  const acquire = StoreLock.acquire({
    path,
    file: join(path, "data.mdb"),
    lockFile: join(path, "store.lock"),
    lock: true,
    readOnly: false,
    shared: true,
    lockTimeout: Duration.zero,
    fileMode: 0o600
  })
  return [yield* acquire, yield* acquire] as const
})

/** An effect that says when it has begun, and ends when it is told to. */
const held = Effect.gen(function*() {
  const begun = yield* Deferred.make<void>()
  const released = yield* Deferred.make<void>()
  return {
    effect: Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(released)),
    begun: Deferred.await(begun),
    hasBegun: Deferred.isDone(begun),
    release: Deferred.succeed(released, undefined)
  }
})

// macOS has no locks of ranges.
describe.skipIf(process.platform === "darwin")("the lock of a store", () => {
  it.live("lets no commit start while another process opens the files, and no opening while a commit runs", () =>
    Effect.gen(function*() {
      const [one, other] = yield* twoLocks()
      for (
        const [first, second] of [
          [one.opening, other.committing],
          [one.alone, other.committing],
          [one.committing, other.alone],
          [one.alone, other.alone]
        ] as const
      ) {
        const [running, waiting] = [yield* held, yield* held]
        const fibers = [yield* start(first(running.effect))]
        yield* running.begun
        fibers.push(yield* start(second(waiting.effect)))
        yield* Effect.sleep("50 millis")
        assert.isFalse(yield* waiting.hasBegun)
        yield* running.release
        yield* waiting.begun
        yield* waiting.release
        yield* Effect.forEach(fibers, Fiber.join)
      }
    }).pipe(Effect.scoped))

  it.live("lets commits of several processes run at the same time, but starts none while an opening waits", () =>
    Effect.gen(function*() {
      const [one, other] = yield* twoLocks()
      const [running, beside, opening, later] = [yield* held, yield* held, yield* held, yield* held]
      const fibers = [yield* start(one.committing(running.effect)), yield* start(other.committing(beside.effect))]
      yield* running.begun
      yield* beside.begun
      yield* beside.release
      yield* Fiber.join(yield* Effect.succeed(fibers[1] ?? assert.fail("no fiber")))
      fibers.push(yield* start(other.alone(opening.effect)))
      yield* Effect.sleep("50 millis")
      assert.isFalse(yield* opening.hasBegun)
      yield* running.release
      yield* opening.begun
      fibers.push(yield* start(one.committing(later.effect)))
      yield* Effect.sleep("50 millis")
      assert.isFalse(yield* later.hasBegun)
      yield* Effect.forEach([opening, later], ({ release }) => release)
      yield* Effect.forEach(fibers, Fiber.join)
    }).pipe(Effect.scoped))

  it.live("fails an opening after its timeout, and can be used afterwards", () =>
    Effect.gen(function*() {
      const [one, other] = yield* twoLocks()
      const running = yield* held
      const committing = yield* start(one.committing(running.effect))
      yield* running.begun
      const error = yield* Effect.flip(other.opening(Effect.void))
      assert.nestedPropertyVal(error, "reason._tag", "AlreadyOpen")
      assert.include(error.message, "stopped")
      yield* running.release
      yield* Fiber.join(committing)
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(other.opening(Effect.void))))
    }).pipe(Effect.scoped))
})
