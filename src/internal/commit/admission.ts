/**
 * Admits the writes of a call: puts them into the buffer at once, or after waiting for room.
 *
 * While a call waits, its store may be closed, or another definition may take over a collection
 * that it writes to. The refusal of the call checks both before the writes are offered again.
 */
import * as Effect from "effect/Effect"
import type { Admission, Refusal } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { Closed, CommitError } from "../../StoreError.ts"
import type { CommitQueue } from "./commitQueue.ts"
import * as PendingWrites from "./pendingWrites.ts"

/** Continues a call that has waited, unless the call is refused now. */
export const resume = <A, E>(
  refusal: Refusal,
  writes: ReadonlyArray<Write>,
  next: () => Effect.Effect<A, E>
): Effect.Effect<A, E | Closed> => Effect.suspend((): Effect.Effect<A, E | Closed> => refusal(writes) ?? next())

/** Waits, and offers the writes again. */
const offerAfter = <E, E2>(
  queue: CommitQueue,
  admission: Admission,
  wait: Effect.Effect<void, E>,
  writes: ReadonlyArray<Write>,
  again: (queue: CommitQueue, writes: ReadonlyArray<Write>, admission: Admission) => Effect.Effect<void, E2>
): Effect.Effect<void, E | E2 | Closed> => {
  const refusal = admission()
  return Effect.andThen(wait, resume(refusal, writes, () => again(queue, writes, () => refusal)))
}

/** Admits values. Fails with the error of an earlier commit that no fiber has received yet. */
export const admit = (
  queue: CommitQueue,
  writes: ReadonlyArray<Write>,
  admission: Admission
): Effect.Effect<void, CommitError | Closed> => {
  const unreported = PendingWrites.takeUnreported(queue)
  if (unreported !== undefined) return Effect.fail(unreported)
  const wait = PendingWrites.offer(queue, writes)
  return wait === undefined
    ? PendingWrites.yieldToCommit(queue) ?? Effect.void
    : offerAfter(queue, admission, wait, writes, admit)
}

/** Admits deletions. They never fail with the error of an earlier commit. */
export const admitDeletions = (
  queue: CommitQueue,
  writes: ReadonlyArray<Write>,
  admission: Admission
): Effect.Effect<void, Closed> => {
  const wait = PendingWrites.offerDeletions(queue, writes)
  return wait === undefined ? Effect.void : offerAfter(queue, admission, wait, writes, admitDeletions)
}
