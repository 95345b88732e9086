/**
 * Puts writes into the buffer of a store, and waits for their commit.
 *
 * A fiber that waits for a commit either receives its error, or leaves the error for the next write.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Write } from "../../Engine.ts"
import { Closed, type CommitError } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import { hasOnlyDeletions } from "../buffer/writeSet.ts"
import { withParentSpan } from "../privateSpan.ts"
import * as CommitQueue from "./commitQueue.ts"
import * as NextState from "./nextState.ts"

/** How many writes are made between two yields to a commit. A yield takes as long as several writes. */
const writesBetweenYields = 8

// ---------------------------------------------------------------------------
// waiting for a commit
// ---------------------------------------------------------------------------

const closed = (self: CommitQueue.CommitQueue): Effect.Effect<never, Closed> =>
  Effect.fail(new Closed({ path: self.options.path, what: "Store" }))

/** Requests the commit of a memtable and waits for it. Fails with its error. */
const awaitCommit = (
  self: CommitQueue.CommitQueue,
  memtable: Memtable.Memtable
): Effect.Effect<void, CommitError | Closed> =>
  withParentSpan((span) =>
    Effect.callback((resume) => {
      // If the store has closed and its last commit has failed, no later commit takes these writes.
      if (self.isClosed) return resume(closed(self))
      // The commit may have ended after the fiber was told to wait.
      if (Deferred.isDoneUnsafe(memtable.outcome)) return resume(Deferred.await(memtable.outcome))
      // Registered before the request: the commit may fail at once, and a waiter must receive its error.
      memtable.waiters.add(resume)
      if (span !== undefined) memtable.spans.add(span)
      CommitQueue.request(self, memtable, true)
      return Effect.sync(() => {
        memtable.waiters.delete(resume)
      })
    })
  )

/** Requests the commit of a memtable and waits for it. Leaves its error for the next write. */
const awaitCommitQuietly = (self: CommitQueue.CommitQueue, memtable: Memtable.Memtable): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (self.isClosed) return Effect.void
    CommitQueue.request(self, memtable)
    return Effect.ignore(Deferred.await(memtable.outcome))
  })

/** Waits until the buffer has room for a value. Fails with the error of the commit that should make the room. */
const awaitRoom = (self: CommitQueue.CommitQueue): Effect.Effect<void, CommitError | Closed> =>
  Effect.suspend((): Effect.Effect<void, CommitError | Closed> => {
    const { active, flushing, isFull } = self.options.buffer
    if (flushing !== undefined) return awaitCommit(self, flushing)
    // A commit may have made room after the fiber was told to wait.
    if (!isFull) return Effect.void
    return Memtable.isRequested(active) ? Deferred.await(active.sealed) : awaitCommit(self, active)
  })

/** Waits for the running or requested commit. Leaves its error for the next write. */
const awaitRoomForDeletions = (self: CommitQueue.CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { active, flushing } = self.options.buffer
    const memtable = flushing ?? active
    return Memtable.isRequested(memtable) ? awaitCommitQuietly(self, memtable) : Effect.void
  })

const pendingMemtable = ({ options: { buffer } }: CommitQueue.CommitQueue): Memtable.Memtable | undefined =>
  buffer.active.writes.size > 0 ? buffer.active : buffer.flushing

/** Commits the pending writes. They are durable when it returns. */
export const flush = (self: CommitQueue.CommitQueue): Effect.Effect<void, CommitError | Closed> =>
  Effect.suspend(() => {
    const memtable = pendingMemtable(self)
    return memtable === undefined ? Effect.void : awaitCommit(self, memtable)
  })

/** Commits the pending writes. Leaves an error for the next write. */
export const flushQuietly = (self: CommitQueue.CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const memtable = pendingMemtable(self)
    return memtable === undefined ? Effect.void : awaitCommitQuietly(self, memtable)
  })

// ---------------------------------------------------------------------------
// writing
// ---------------------------------------------------------------------------

/** Takes the error of a commit that no fiber waited for. */
export const takeUnreported = (self: CommitQueue.CommitQueue): CommitError | undefined => {
  const error = self.unreported
  self.unreported = undefined
  return error
}

/** Whether the running commit includes a batch that writes one of these keys. */
const isInFlight = ({ running }: CommitQueue.CommitQueue, writes: ReadonlyArray<Write>): boolean =>
  running !== undefined && running.submissions.length > 0 &&
  writes.some(([database, key]) => running.submissions.some(({ batch }) => batch.writes.touches(database, key)))

const awaitRunningCommit = (self: CommitQueue.CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => self.running === undefined ? Effect.void : Deferred.await(self.running.done))

const offerOr = <E>(
  self: CommitQueue.CommitQueue,
  writes: ReadonlyArray<Write>,
  awaitSpace: (self: CommitQueue.CommitQueue, writes: ReadonlyArray<Write>) => Effect.Effect<void, E>
): Effect.Effect<void, E> | undefined => {
  // A write that is buffered now would be visible before the batch, which is committed first.
  if (isInFlight(self, writes)) return awaitRunningCommit(self)
  const { buffer, committer } = self.options
  if (!buffer.accepts(writes)) return awaitSpace(self, writes)
  NextState.noteEarlierWrites(self.next, writes)
  buffer.write(writes, committer.hasNoRoom)
  CommitQueue.startTimer(self)
  if (buffer.isFull) CommitQueue.request(self, buffer.active)
  return undefined
}

const awaitSpaceFor = (
  self: CommitQueue.CommitQueue,
  writes: ReadonlyArray<Write>
): Effect.Effect<void, CommitError | Closed> => hasOnlyDeletions(writes) ? awaitRoomForDeletions(self) : awaitRoom(self)

/**
 * Puts the writes of one call into the buffer. If that is not possible now, returns an effect that the caller has to
 * wait for before it offers the writes again.
 */
export const offer = (
  self: CommitQueue.CommitQueue,
  writes: ReadonlyArray<Write>
): Effect.Effect<void, CommitError | Closed> | undefined => offerOr(self, writes, awaitSpaceFor)

/**
 * Puts the deletions of one call into the buffer in the same way. They wait at most for the running or requested commit,
 * and do not fail with its error, because deletions are needed to make room in a full file.
 */
export const offerDeletions = (
  self: CommitQueue.CommitQueue,
  writes: ReadonlyArray<Write>
): Effect.Effect<void> | undefined => offerOr(self, writes, awaitRoomForDeletions)

/**
 * Returns a yield after every eighth write while a commit waits for the main thread to write its
 * batch. Without the yield, a loop of puts would first fill the next batch and then wait for the disk.
 */
export const yieldToCommit = (self: CommitQueue.CommitQueue): Effect.Effect<void> | undefined => {
  const { flushing } = self.options.buffer
  if (flushing === undefined || flushing.state._tag === "InTransaction") return undefined
  self.writesSinceYield = (self.writesSinceYield + 1) % writesBetweenYields
  return self.writesSinceYield === 0 ? Effect.yieldNow : undefined
}
