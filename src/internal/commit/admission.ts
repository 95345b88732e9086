/**
 * Admits the writes of a call: into the buffer at once, or after waiting for room.
 *
 * While a call waits, its store may be closed, or another definition may take over a collection
 * that it writes to. Both are checked before the writes are offered again.
 */
import * as Effect from "effect/Effect"
import type { Write } from "../../Engine.ts"
import { Closed, type CommitError } from "../../StoreError.ts"
import { fromWrites } from "../buffer/writeSet.ts"
import type { OpenDefinitions } from "../transaction/openDefinitions.ts"
import * as CommitQueue from "./commitQueue.ts"
import * as PendingWrites from "./pendingWrites.ts"

/** What the writes of one store handle are admitted by. */
export interface Admission {
  readonly queue: CommitQueue.CommitQueue
  readonly definitions: OpenDefinitions
  /** Gives what a call fails with once its handle is closed. */
  readonly refusal: () => Effect.Effect<never, Closed> | undefined
}

/** Runs the next step of a call that has waited, unless its handle was closed meanwhile. */
export const resume = <A, E>(self: Admission, next: () => Effect.Effect<A, E>): Effect.Effect<A, E | Closed> =>
  Effect.suspend((): Effect.Effect<A, E | Closed> => self.refusal() ?? next())

/** The error of a write to a collection that another definition has taken over. */
export const takenOver = ({ queue }: Admission): Closed => new Closed({ path: queue.options.path, what: "Collection" })

/** Whether no collection that is written to was taken over since a call began, after `takeovers` takeovers. */
export const isPermitted = (
  { definitions }: Admission,
  writes: ReadonlyArray<Write>,
  takeovers: number
): boolean => takeovers === definitions.takeovers() || definitions.permits(fromWrites(writes), takeovers)

/** Waits, and offers the writes again unless one of their collections was taken over meanwhile. */
const offerAfter = <E, E2>(
  self: Admission,
  wait: Effect.Effect<void, E>,
  writes: ReadonlyArray<Write>,
  again: (self: Admission, writes: ReadonlyArray<Write>) => Effect.Effect<void, E2>
): Effect.Effect<void, E | E2 | Closed> => {
  const takeovers = self.definitions.takeovers()
  const next = (): Effect.Effect<void, E2 | Closed> =>
    isPermitted(self, writes, takeovers) ? again(self, writes) : Effect.fail(takenOver(self))
  return Effect.andThen(wait, resume(self, next))
}

/** Admits values. Fails with the error of an earlier commit that no fiber got. */
export const admit = (
  self: Admission,
  writes: ReadonlyArray<Write>
): Effect.Effect<void, CommitError | Closed> => {
  const unreported = PendingWrites.takeUnreported(self.queue)
  if (unreported !== undefined) return Effect.fail(unreported)
  const wait = PendingWrites.offer(self.queue, writes)
  return wait === undefined
    ? PendingWrites.yieldToCommit(self.queue) ?? Effect.void
    : offerAfter(self, wait, writes, admit)
}

/** Admits deletions, which report no error of an earlier commit. */
export const admitDeletions = (self: Admission, writes: ReadonlyArray<Write>): Effect.Effect<void, Closed> => {
  const wait = PendingWrites.offerDeletions(self.queue, writes)
  return wait === undefined ? Effect.void : offerAfter(self, wait, writes, admitDeletions)
}
