/**
 * Read-modify-write: reads and writes in one step.
 *
 * The reads of LMDB end at once, so a step reads, computes and puts its writes into the buffer within
 * one turn of the event loop. No other fiber writes in between. If the buffer has no room, the fiber
 * waits and the step runs again. An exact step runs inside LMDB's write transaction, during which
 * no other process can write either.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader, Refusal, Step, StepOptions } from "../../Backend.ts"
import type { Reader as EngineReader, Write } from "../../Engine.ts"
import type { Closed, CommitError } from "../../StoreError.ts"
import * as MapGrowth from "../lmdb/mapGrowth.ts"
import * as Settled from "../settled.ts"
import * as Admission from "./admission.ts"
import * as CommitQueue from "./commitQueue.ts"
import { stepBatch } from "./groupCommit.ts"
import * as PendingWrites from "./pendingWrites.ts"

/** The parts of the backend that steps use. */
export interface StepContext {
  readonly queue: CommitQueue.CommitQueue
  readonly map: MapGrowth.MapGrowth
  /** Reads the current state, pending writes included. */
  readonly live: EngineReader
}

type TakeStep<A, E> = (reader: Reader) => Effect.Effect<Step<A>, E>

/** The result of an attempt, or an effect to wait for before the next attempt. */
type Attempt<A, E> = Exit.Exit<A, E> | { readonly _tag: "Wait"; readonly wait: Effect.Effect<void, E> }

type Offer<E> = (queue: CommitQueue.CommitQueue, writes: ReadonlyArray<Write>) => Effect.Effect<void, E> | undefined

/** Runs an effect while the file can be read: at once, or after a resize. */
const whenReadable = <A, E>(
  { map }: StepContext,
  use: () => Effect.Effect<A, E>
): Effect.Effect<A, E> => MapGrowth.isReadable(map) ? use() : MapGrowth.whileReadable(map, Effect.suspend(use))

/** Runs a step, and offers its writes in the same turn. */
const attempt = <A, E, W>(
  { live, queue }: StepContext,
  step: TakeStep<A, E>,
  offer: Offer<W>,
  refusal: Refusal
): Attempt<A, E | W | Closed> => {
  const stepped = Settled.exitOf(step(live))
  if (Exit.isFailure(stepped)) return Exit.failCause(stepped.cause)
  const { result, writes } = stepped.value
  const refused = refusal(writes)
  if (refused !== undefined) return { _tag: "Wait", wait: refused }
  const wait = writes.length === 0 ? undefined : offer(queue, writes)
  return wait === undefined ? Exit.succeed(result) : { _tag: "Wait", wait }
}

/** Runs attempts until one ends. It does not wait while it keeps the file open. */
const attemptUntilDone = <A, E, W>(
  self: StepContext,
  step: TakeStep<A, E>,
  offer: Offer<W>,
  refusal: Refusal
): Effect.Effect<A, E | W | Closed> =>
  Effect.flatMap(
    // Unlike a read, a write that began before the close may now be too late for the last commit.
    whenReadable(self, () => Admission.resume(refusal, [], () => Effect.succeed(attempt(self, step, offer, refusal)))),
    (outcome): Effect.Effect<A, E | W | Closed> => {
      if (outcome._tag === "Wait") {
        const again = () => attemptUntilDone(self, step, offer, refusal)
        return Effect.andThen(outcome.wait, Admission.resume(refusal, [], again))
      }
      const yielding = PendingWrites.yieldToCommit(self.queue)
      return yielding === undefined ? outcome : Effect.andThen(yielding, outcome)
    }
  )

/** Runs a step inside LMDB's write transaction. */
const runExactly = <A, E>(
  self: StepContext,
  step: TakeStep<A, E>,
  expected: (reader: Reader) => Write,
  refusal: Refusal
): Effect.Effect<A, E | CommitError | Closed> =>
  Effect.flatMap(
    // Keeps the file open only for the read: the commit may have to resize it.
    whenReadable(self, () =>
      Admission.resume(refusal, [], () => Effect.sync(() => stepBatch(step, expected(self.live))))),
    (batch) =>
      Effect.flatMap(CommitQueue.submit(self.queue, batch, () => refusal([])), batch.outcome)
  )

/** Reads and writes in one step. */
export const run = <A, E>(
  self: StepContext,
  step: TakeStep<A, E>,
  { admission, exact, isDeleting }: StepOptions
): Effect.Effect<A, E | CommitError | Closed> =>
  Effect.suspend((): Effect.Effect<A, E | CommitError | Closed> => {
    const refusal = admission()
    if (exact !== undefined) return runExactly(self, step, exact, refusal)
    if (isDeleting) return attemptUntilDone(self, step, PendingWrites.offerDeletions, refusal)
    const unreported = PendingWrites.takeUnreported(self.queue)
    return unreported === undefined
      ? attemptUntilDone(self, step, PendingWrites.offer, refusal)
      : Effect.fail(unreported)
  })
