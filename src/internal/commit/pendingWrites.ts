/**
 * The pending writes of a store: how they get into the buffer, and how fibers wait for their
 * commit.
 *
 * A fiber that waits either reports the error of the commit, or leaves it for the next write.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Write } from "../../Engine.ts"
import { Closed, type CommitError } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import { hasOnlyDeletions } from "../buffer/writeSet.ts"
import * as CommitQueue from "./commitQueue.ts"

/** How many writes a fiber makes between two yields to a commit: a yield costs as much as some writes. */
const writesBetweenYields = 8

// ---------------------------------------------------------------------------
// waiting for a commit
// ---------------------------------------------------------------------------

const closed = (self: CommitQueue.CommitQueue): Effect.Effect<never, Closed> =>
  Effect.fail(new Closed({ path: self.options.path, what: "Store" }))

/** Waits for the commit of a memtable, which it asks for, and fails as it does. */
const awaitCommit = (
  self: CommitQueue.CommitQueue,
  memtable: Memtable.Memtable
): Effect.Effect<void, CommitError | Closed> =>
  Effect.callback((resume) => {
    // The store may close between two steps of a fiber: no commit would take what the last one restored.
    if (self.isClosed) return resume(closed(self))
    // The fiber may have yielded since it was told to wait.
    if (Deferred.isDoneUnsafe(memtable.ended)) return resume(Deferred.await(memtable.ended))
    // Registered before the commit begins: it may fail at once, and its error is reported then.
    memtable.waiters.add(resume)
    CommitQueue.request(self, memtable, true)
    return Effect.sync(() => {
      memtable.waiters.delete(resume)
    })
  })

/** Waits for the commit of a memtable, and leaves its error for the next write. */
const awaitCommitQuietly = (self: CommitQueue.CommitQueue, memtable: Memtable.Memtable): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (self.isClosed) return Effect.void
    CommitQueue.request(self, memtable)
    return Effect.ignore(Deferred.await(memtable.ended))
  })

/** Waits until the buffer has room for a value, and fails as the commit that makes the room. */
const awaitRoom = (self: CommitQueue.CommitQueue): Effect.Effect<void, CommitError | Closed> =>
  Effect.suspend((): Effect.Effect<void, CommitError | Closed> => {
    const { active, flushing, isFull } = self.options.buffer
    if (flushing !== undefined) return awaitCommit(self, flushing)
    // The fiber may have yielded since it was told that there is no room.
    if (!isFull) return Effect.void
    return Memtable.isRequested(active) ? Deferred.await(active.sealed) : awaitCommit(self, active)
  })

/** Waits for the commit that runs or was asked for, and leaves its error for the next write. */
const awaitRoomForDeletions = (self: CommitQueue.CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { active, flushing } = self.options.buffer
    const memtable = flushing ?? active
    return Memtable.isRequested(memtable) ? awaitCommitQuietly(self, memtable) : Effect.void
  })

const pendingMemtable = ({ options: { buffer } }: CommitQueue.CommitQueue): Memtable.Memtable | undefined =>
  buffer.active.writes.size > 0 ? buffer.active : buffer.flushing

/** Commits the pending writes: they are on disk when it returns. */
export const flush = (self: CommitQueue.CommitQueue): Effect.Effect<void, CommitError | Closed> =>
  Effect.suspend(() => {
    const memtable = pendingMemtable(self)
    return memtable === undefined ? Effect.void : awaitCommit(self, memtable)
  })

/** Commits the pending writes, and leaves an error for the next write. */
export const flushQuietly = (self: CommitQueue.CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const memtable = pendingMemtable(self)
    return memtable === undefined ? Effect.void : awaitCommitQuietly(self, memtable)
  })

// ---------------------------------------------------------------------------
// writing
// ---------------------------------------------------------------------------

/** Gives, once, the error of a commit that no fiber waited for. */
export const takeUnreported = (self: CommitQueue.CommitQueue): CommitError | undefined => {
  const error = self.unreported
  self.unreported = undefined
  return error
}

/** Whether a batch that writes to one of these keys is being committed. */
const isInFlight = ({ group }: CommitQueue.CommitQueue, writes: ReadonlyArray<Write>): boolean =>
  group !== undefined && group.submissions.length > 0 &&
  writes.some(([database, key]) => group.submissions.some(({ batch }) => batch.writes.touches(database, key)))

const awaitGroup = (self: CommitQueue.CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => self.group === undefined ? Effect.void : Deferred.await(self.group.ended))

const offerOr = <E>(
  self: CommitQueue.CommitQueue,
  writes: ReadonlyArray<Write>,
  awaitSpace: (self: CommitQueue.CommitQueue, writes: ReadonlyArray<Write>) => Effect.Effect<void, E>
): Effect.Effect<void, E> | undefined => {
  // Buffered now, this later write would be visible before the batch and committed after it.
  if (isInFlight(self, writes)) return awaitGroup(self)
  const { buffer, committer } = self.options
  if (!buffer.accepts(writes)) return awaitSpace(self, writes)
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
 * Takes the writes of one call into the buffer, or gives what the caller has to wait for before
 * it offers them again.
 */
export const offer = (
  self: CommitQueue.CommitQueue,
  writes: ReadonlyArray<Write>
): Effect.Effect<void, CommitError | Closed> | undefined => offerOr(self, writes, awaitSpaceFor)

/**
 * Takes the deletions of one call in the same way. They wait at most for the commit that runs,
 * and do not fail as it does: when nothing fits any more, deletions are the way out.
 */
export const offerDeletions = (
  self: CommitQueue.CommitQueue,
  writes: ReadonlyArray<Write>
): Effect.Effect<void> | undefined => offerOr(self, writes, awaitRoomForDeletions)

/**
 * Gives, after some writes, a yield to a commit that waits for the main thread to write its
 * batch. Without it, a loop of puts would fill the next batch first, and wait for the disk then.
 */
export const yieldToCommit = (self: CommitQueue.CommitQueue): Effect.Effect<void> | undefined => {
  const { flushing } = self.options.buffer
  if (flushing === undefined || flushing.state._tag === "InTransaction") return undefined
  self.writesSinceYield = (self.writesSinceYield + 1) % writesBetweenYields
  return self.writesSinceYield === 0 ? Effect.yieldNow : undefined
}
