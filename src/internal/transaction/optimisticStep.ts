/**
 * Read-modify-write steps on a backend whose reads may wait.
 *
 * Other fibers can write while such a step reads. So the step runs on a reader that records all reads, and its
 * writes are committed only if these reads would have the same results. Otherwise the step runs again.
 * Each new attempt has a higher priority, so every step is committed in the end.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Backend, Reader, Refusal, Step, StepOptions } from "../../Backend.ts"
import type { Closed, CommitError } from "../../StoreError.ts"
import { fromWrites } from "../buffer/writeSet.ts"
import { ReadSet, recorded } from "../reader/readSet.ts"

/** The part of a backend that steps use. */
export type StepBackend = Pick<Backend, "reader" | "whileReadable" | "commit">

/** The result of an attempt, or that the step has to run again. */
type Outcome<A, E> = Exit.Exit<A, E> | "Again"

/** Whether the step made at most one read, so that all reads are of one moment. */
const isOneRead = (reads: ReadSet): boolean => {
  const [, second] = reads
  return !reads.isTorn && second === undefined
}

const attempt = Effect.fnUntraced(function*<A, E>(
  backend: StepBackend,
  step: (reader: Reader) => Effect.Effect<Step<A>, E>,
  refusal: Refusal,
  priority: number
): Effect.fn.Return<Outcome<A, E>, CommitError | Closed> {
  const reads = new ReadSet()
  // Keeps the backend readable only for the read: the commit may wait until no fiber reads.
  const taken = yield* Effect.exit(backend.whileReadable(Effect.suspend(() => step(recorded(backend.reader, reads)))))
  const result = Exit.map(taken, (made) => made.result)
  if (Exit.isFailure(result) && Cause.hasInterruptsOnly(result.cause)) return result
  const writes = Exit.isSuccess(taken) ? taken.value.writes : []
  const refused = refusal(writes)
  if (refused !== undefined) return yield* refused
  if (writes.length === 0 && isOneRead(reads)) return result
  if (reads.isTorn) return "Again"
  // The result of a step that fails or writes nothing also counts only if all reads were of one state.
  const isMade = yield* backend.commit(
    { reads, writes: fromWrites(writes), priority, isPermitted: () => refusal(writes) === undefined },
    () => refusal
  )
  return isMade ? result : "Again"
})

/** Reads and writes in one step. The writes are durable when it returns, and no process writes in between. */
export const run = <A, E>(
  backend: StepBackend,
  step: (reader: Reader) => Effect.Effect<Step<A>, E>,
  { admission }: Pick<StepOptions, "admission">
): Effect.Effect<A, E | CommitError | Closed> =>
  Effect.suspend(() => {
    const refusal = admission()
    const attemptUntilMade = (priority: number): Effect.Effect<A, E | CommitError | Closed> =>
      Effect.flatMap(
        attempt(backend, step, refusal, priority),
        (outcome): Effect.Effect<A, E | CommitError | Closed> =>
          outcome === "Again" ? attemptUntilMade(priority + 1) : outcome
      )
    return attemptUntilMade(0)
  })
