/**
 * Steps of reading and writing on a backend whose reads may wait.
 *
 * Other fibers write while such a step reads. So the step runs on a reader that takes down what was
 * read, and its writes are committed only if all of that is still the same. Otherwise the step runs again.
 * Of several steps that compete for the same records one is committed each time, so every step is
 * committed in the end.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Backend, Reader, Refusal, Step, StepOptions } from "../../Backend.ts"
import type { Closed, CommitError } from "../../StoreError.ts"
import { fromWrites } from "../buffer/writeSet.ts"
import { ReadSet, recorded } from "../reader/readSet.ts"

/** What steps need of a backend. */
export type StepBackend = Pick<Backend, "reader" | "whileReadable" | "commit">

/** What a step came to, or that it has to run again. */
type Outcome<A, E> = Exit.Exit<A, E> | "Again"

/** Whether what was read belongs to one moment in any case. */
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
  // Only the reading keeps the backend readable: a commit may wait until no fiber reads.
  const taken = yield* Effect.exit(backend.whileReadable(Effect.suspend(() => step(recorded(backend.reader, reads)))))
  const result = Exit.map(taken, (made) => made.result)
  if (Exit.isFailure(result) && Cause.hasInterruptsOnly(result.cause)) return result
  const writes = Exit.isSuccess(taken) ? taken.value.writes : []
  const refused = refusal(writes)
  if (refused !== undefined) return yield* refused
  if (writes.length === 0 && isOneRead(reads)) return result
  if (reads.isTorn) return "Again"
  // A step that fails, or writes nothing, counts only if it has read one state too.
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
