/**
 * Puts writes into the buffer of a store on a database server, and waits for their commit.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Admission, Refusal } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import { Closed, type CommitError } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import { hasOnlyDeletions } from "../buffer/writeSet.ts"
import { withParentSpan } from "../privateSpan.ts"
import * as CommitQueue from "./commitQueue.ts"
import type * as QueueState from "./queueState.ts"

const closed = (self: QueueState.CommitQueue): Effect.Effect<never, Closed> =>
  Effect.fail(new Closed({ path: self.options.path, what: "Store" }))

/** Requests the commit of a memtable and waits for it. Fails with its error. */
const awaitCommit = (
  self: QueueState.CommitQueue,
  memtable: Memtable.Memtable
): Effect.Effect<void, CommitError | Closed> =>
  withParentSpan((span) =>
    Effect.callback((resume) => {
      if (self.isClosed) return resume(closed(self))
      // A commit whose outcome is not known has told its error already, and is made again.
      if (Deferred.isDoneUnsafe(memtable.outcome) && memtable !== self.sealed?.memtable) {
        return resume(Deferred.await(memtable.outcome))
      }
      memtable.waiters.add(resume)
      if (span !== undefined) memtable.spans.add(span)
      CommitQueue.requestCommit(self, memtable)
      return Effect.sync(() => {
        memtable.waiters.delete(resume)
      })
    })
  )

const pendingMemtable = ({ options: { buffer } }: QueueState.CommitQueue): Memtable.Memtable | undefined =>
  buffer.active.writes.size > 0 ? buffer.active : buffer.flushing

/** Commits the pending writes. They are durable when it returns. */
export const flush = (self: QueueState.CommitQueue): Effect.Effect<void, CommitError | Closed> =>
  Effect.suspend(() => {
    const memtable = pendingMemtable(self)
    return memtable === undefined ? Effect.void : awaitCommit(self, memtable)
  })

/** Waits until a commit has taken a memtable, or has failed. */
const awaitAttempt = (self: QueueState.CommitQueue, memtable: Memtable.Memtable): Effect.Effect<void> =>
  Effect.suspend(() =>
    Deferred.isDoneUnsafe(memtable.outcome) || (!self.isScheduled && self.running === undefined)
      ? Effect.void
      : Effect.andThen(Deferred.await(self.attempted), awaitAttempt(self, memtable))
  )

/** Commits the pending writes. Leaves an error for the next write. */
export const flushQuietly = (self: QueueState.CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const memtable = pendingMemtable(self)
    if (memtable === undefined || self.isClosed) return Effect.void
    CommitQueue.requestCommit(self, memtable)
    return awaitAttempt(self, memtable)
  })

/** Waits until the buffer has room for a value. */
const awaitRoom = (self: QueueState.CommitQueue): Effect.Effect<void, CommitError | Closed> =>
  Effect.suspend((): Effect.Effect<void, CommitError | Closed> => {
    const { active, flushing, isFull } = self.options.buffer
    if (flushing !== undefined) return awaitCommit(self, flushing)
    if (!isFull) return Effect.void
    return Memtable.isRequested(active) ? Deferred.await(active.sealed) : awaitCommit(self, active)
  })

/** Waits for the running or requested commit. Leaves its error for the next write. */
const awaitRoomForDeletions = (self: QueueState.CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { active, flushing } = self.options.buffer
    const memtable = flushing ?? active
    return Memtable.isRequested(memtable) ? flushQuietly(self) : Effect.void
  })

/** Whether the running commit writes one of these keys. */
const isInFlight = ({ running }: QueueState.CommitQueue, writes: ReadonlyArray<Write>): boolean =>
  running !== undefined && running.submissions.length > 0 &&
  writes.some(([database, key]) => running.submissions.some((submission) => submission.writes.touches(database, key)))

/** Puts writes into the buffer. Returns what the caller has to wait for if that is not possible now. */
const offer = <E>(
  self: QueueState.CommitQueue,
  writes: ReadonlyArray<Write>,
  awaitSpace: (self: QueueState.CommitQueue) => Effect.Effect<void, E>
): Effect.Effect<void, E> | undefined => {
  // A write that is buffered now would be visible before the request, which is committed first.
  if (self.running !== undefined && isInFlight(self, writes)) return Deferred.await(self.running.done)
  const { buffer } = self.options
  if (!buffer.accepts(writes)) return awaitSpace(self)
  buffer.write(writes, false)
  CommitQueue.startTimer(self)
  if (buffer.isFull) CommitQueue.requestCommit(self, buffer.active)
  return undefined
}

/** Continues a call that has waited, unless the call is refused now. */
const resume = <A, E>(
  refusal: Refusal,
  writes: ReadonlyArray<Write>,
  next: () => Effect.Effect<A, E>
): Effect.Effect<A, E | Closed> => Effect.suspend((): Effect.Effect<A, E | Closed> => refusal(writes) ?? next())

/** Buffers writes. Fails with the error of an earlier commit that no fiber has received yet. */
export const admit = (
  self: QueueState.CommitQueue,
  writes: ReadonlyArray<Write>,
  admission: Admission
): Effect.Effect<void, CommitError | Closed> => {
  const { unreported } = self
  if (unreported !== undefined) {
    self.unreported = undefined
    return Effect.fail(unreported)
  }
  const wait = offer<CommitError | Closed>(self, writes, hasOnlyDeletions(writes) ? awaitRoomForDeletions : awaitRoom)
  if (wait === undefined) return Effect.void
  const refusal = admission()
  return Effect.andThen(wait, resume(refusal, writes, () => admit(self, writes, () => refusal)))
}

/** Buffers deletions. They never fail with the error of an earlier commit. */
export const admitDeletions = (
  self: QueueState.CommitQueue,
  writes: ReadonlyArray<Write>,
  admission: Admission
): Effect.Effect<void, Closed> => {
  const wait = offer<never>(self, writes, awaitRoomForDeletions)
  if (wait === undefined) return Effect.void
  const refusal = admission()
  return Effect.andThen(wait, resume(refusal, writes, () => admitDeletions(self, writes, () => refusal)))
}
