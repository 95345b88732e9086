/**
 * The backend on an engine in this process, which is LMDB: memtables that buffer the writes until a commit,
 * and one commit queue.
 *
 * A read looks into the memtables first and then into the engine, and ends at once. `commitQueue.ts` draws the way of
 * a write.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"
import type { Admission, Backend, BackendStats, CommitRequest, NextSnapshot, Reader, Snapshot } from "../../Backend.ts"
import type { Batch, Reader as EngineReader } from "../../Engine.ts"
import type { CommitError, EngineFailure } from "../../StoreError.ts"
import { WriteBuffer } from "../buffer/writeBuffer.ts"
import { toBatch, toWriteSet, withDeletions } from "../buffer/writeSet.ts"
import { changeLogDatabase } from "../databases.ts"
import type { Fork } from "../fork.ts"
import * as MapGrowth from "../lmdb/mapGrowth.ts"
import * as ReadersWriterLock from "../lmdb/readersWriterLock.ts"
import { over } from "../reader/overlay.ts"
import { validate } from "../reader/readSet.ts"
import * as Settled from "../settled.ts"
import { admit, admitDeletions } from "./admission.ts"
import * as ChangeFeed from "./changeFeed.ts"
import * as ChangeLog from "./changeLog.ts"
import * as CommitEvents from "./commitEvents.ts"
import * as CommitQueue from "./commitQueue.ts"
import * as Committer from "./committer.ts"
import { ForeignCommits } from "./foreignCommits.ts"
import { type AtomicBatch, conditional } from "./groupCommit.ts"
import * as LogFollower from "./logFollower.ts"
import * as NextState from "./nextState.ts"
import * as PendingWrites from "./pendingWrites.ts"
import * as ReadModifyWrite from "./readModifyWrite.ts"
import * as ValuesBefore from "./valuesBefore.ts"

/** The parts and options of the backend on an open environment. */
export interface LocalBackendOptions
  extends
    Omit<Committer.CommitterOptions, "lock" | "foreignCommits" | "amend" | "onApplied" | "onChanged">,
    Pick<CommitQueue.CommitQueueOptions, "flushInterval" | "batchBytes">
{
  /** How many pending keys start a commit. */
  readonly batchSize: number
  readonly fork: Fork
  /** Whether other processes can commit. */
  readonly hasOtherWriters: boolean
  /** The change log of the file; `undefined` if there is none, and no other process can make one. */
  readonly log: ChangeLog.ChangeLog | undefined
}

/** The parts of a backend. */
interface LocalBackend {
  readonly options: LocalBackendOptions
  readonly buffer: WriteBuffer
  /** Reads the current state, pending writes included. */
  readonly live: EngineReader
  readonly map: MapGrowth.MapGrowth
  readonly committer: Committer.Committer
  readonly queue: CommitQueue.CommitQueue
  readonly changes: ChangeFeed.ChangeFeed
  readonly commitEvents: CommitEvents.CommitEvents
  readonly foreignCommits: ForeignCommits
  readonly lock: ReadersWriterLock.ReadersWriterLock
  /** The running commit holds the only permit. */
  readonly permit: Semaphore.Semaphore
}

/**
 * Makes what each transaction does besides its batch: it reads the values before it, for subscribers and the change log,
 * and adds its record to the log.
 */
const makeAmendment = (changes: ChangeFeed.ChangeFeed, log: ChangeLog.ChangeLog | undefined, clock: Clock.Clock) => {
  const none: ValuesBefore.ValuesBefore = new Map()
  let last: { readonly transactionId: number; readonly values: ValuesBefore.ValuesBefore } | undefined
  const detailOf: ValuesBefore.DetailOf = (database, key) =>
    log === undefined
      ? ChangeFeed.detailOf(changes, database, key)
      : ValuesBefore.moreDetailed(ChangeLog.detailOf(log, database), ChangeFeed.detailOf(changes, database, key))
  const amend: MapGrowth.MapGrowthOptions["amend"] = (present, batch, transactionId, isFull) => {
    last = undefined
    if (log === undefined && !ChangeFeed.needsBefore(changes)) return Exit.succeed(batch)
    const isNeeded = log?.options !== undefined || ChangeFeed.needsBefore(changes)
    const values = isNeeded
      ? ValuesBefore.read(present, batch, detailOf, clock.currentTimeMillisUnsafe())
      : Exit.succeed(none)
    return Settled.flatMap(values, (found) => {
      last = { transactionId, values: found }
      return log === undefined
        ? Exit.succeed(batch)
        : ChangeLog.amend(log, { present, batch, before: found, transactionId, isFull })
    })
  }
  return {
    amend,
    /** Returns the values before the last transaction. Only the first call returns them. */
    takeValues: (transactionId: number) => {
      const values = last?.transactionId === transactionId ? last.values : none
      last = undefined
      return values
    }
  }
}

const makeParts = Effect.fnUntraced(function*(options: LocalBackendOptions): Effect.fn.Return<LocalBackend> {
  const { environment, metrics, path } = options
  const lock = yield* ReadersWriterLock.make
  const permit = yield* Semaphore.make(1)
  const buffer = new WriteBuffer(options)
  const changes = ChangeFeed.make(path)
  const foreignCommits = new ForeignCommits()
  const amendment = makeAmendment(changes, options.log, yield* Clock.Clock)
  const committer = Committer.make({
    ...options,
    lock,
    foreignCommits,
    amend: amendment.amend,
    onApplied: (batch: Batch) => buffer.applied(batch),
    onChanged: (batch, transactionId) =>
      ChangeFeed.publish(changes, batch, transactionId, amendment.takeValues(transactionId))
  })
  const commitEvents: CommitEvents.CommitEvents = {
    changes,
    environment,
    hasOtherWriters: options.hasOtherWriters,
    whileReadable: (effect) => MapGrowth.whileReadable(committer.map, effect)
  }
  const live = over(buffer, environment)
  const queue = CommitQueue.make({ ...options, buffer, committer, foreignCommits, live, metrics, permit })
  return {
    options,
    buffer,
    live,
    map: committer.map,
    committer,
    queue,
    changes,
    commitEvents,
    foreignCommits,
    lock,
    permit
  }
})

/** Makes the atomic batch of a request. It validates the reads of the request inside LMDB's write transaction. */
const batchOf = (
  { deletions, isPermitted, onAccepted, priority, reads, view, writes }: CommitRequest
): AtomicBatch => {
  const batch = conditional(
    toWriteSet(writes),
    (present) => isPermitted?.() === false ? Exit.succeed(false) : validate(reads, view?.(present) ?? present),
    priority,
    onAccepted && { reads, onAccepted }
  )
  return deletions === undefined ? batch : {
    ...batch,
    decide: (present) =>
      Settled.flatMap(batch.decide(present), (decided) =>
        decided === undefined
          ? Exit.succeed(undefined)
          : Settled.map(Settled.exitOf(deletions(present)), (found) => withDeletions(decided, found)))
  }
}

/** Commits a request in a separate transaction. */
const commitAlone = (
  { committer, permit }: LocalBackend,
  prepare: Effect.Effect<CommitRequest | undefined, EngineFailure>
): Effect.Effect<boolean, CommitError> => {
  const commitRequest = Effect.fnUntraced(function*(request: CommitRequest) {
    const { decide, writes } = batchOf(request)
    let isMade = false
    yield* Committer.commitUntraced(committer, {
      plan: (present) =>
        Settled.map(decide(present), (decided) => {
          isMade = decided !== undefined
          return decided === undefined ? undefined : toBatch(decided)
        }),
      size: writes.size,
      isFreeing: () => false
    })
    return isMade
  })
  return permit.withPermit(Effect.uninterruptible(
    Effect.flatMap(prepare, (request) => request === undefined ? Effect.succeed(false) : commitRequest(request))
  ))
}

/** Creates databases while no commit runs. Interrupting the fiber that asked for them does not stop this. */
const createDatabases = (
  { options: { environment, fork }, permit }: LocalBackend,
  names: ReadonlyArray<string>
): Effect.Effect<void, EngineFailure> =>
  Effect.suspend(() => {
    const done = Deferred.makeUnsafe<void, EngineFailure>()
    fork(Effect.asVoid(Deferred.into(permit.withPermit(environment.createDatabases(names)), done)))
    return Deferred.await(done)
  })

/** Opens a snapshot of the engine. It includes the writes that are pending now. */
const snapshot = ({ buffer, options: { environment } }: LocalBackend): Exit.Exit<Snapshot, EngineFailure> =>
  Settled.map(environment.snapshot(), (stored): Snapshot => ({
    ...over(buffer.freeze(), stored),
    release: stored.release
  }))

/** Opens a snapshot, and overlays the writes of the running commit and of the accepted batches. */
const nextSnapshot = (self: LocalBackend): Exit.Exit<NextSnapshot, EngineFailure> => {
  const layers = NextState.layersOf(self.queue.next)
  return Settled.map(snapshot(self), (present) => ({
    ...layers.reduce((base: Reader, writes) => over(writes, base), present),
    release: present.release,
    isTentative: layers.length > 0
  }))
}

const stats = ({ buffer, options: { environment } }: LocalBackend): Effect.Effect<BackendStats, EngineFailure> =>
  Effect.suspend(() =>
    Settled.map(environment.stats(), (stored) => ({ ...stored, pending: buffer.size, pendingBytes: buffer.bytes }))
  )

/** The readers, if the engine has a list of them. */
const readersOf = ({ environment: { readers } }: LocalBackendOptions): Pick<Backend, "readers"> =>
  readers === undefined
    ? {}
    : { readers: { list: Effect.suspend(readers.list), clear: Effect.suspend(readers.clear) } }

/** Makes the last commit, waits for the fibers that read, and ends all subscriptions. */
const close = (
  { changes, lock, queue }: LocalBackend,
  beforeClosing: Effect.Effect<void>
): Effect.Effect<void, CommitError> =>
  Effect.uninterruptible(
    Effect.ensuring(
      CommitQueue.close(queue),
      lock.withWrite(Effect.andThen(beforeClosing, Effect.sync(() => ChangeFeed.end(changes))))
    )
  )

/** Makes the backend of an open environment. */
export const make: (options: LocalBackendOptions) => Effect.Effect<Backend> = Effect.fnUntraced(function*(options) {
  const self = yield* makeParts(options)
  const { buffer, changes, foreignCommits, live, map, permit, queue } = self
  const { environment } = options
  return {
    maxKeyBytes: environment.maxKeyBytes,
    maxValueBytes: environment.maxValueBytes,
    opening: environment.opening,
    reader: live,
    isReadable: () => MapGrowth.isReadable(map),
    whileReadable: (effect) => MapGrowth.whileReadable(map, effect),
    isPending: (database, key) => buffer.get(database, key) !== undefined,
    pendingWrites: () => buffer.active.writes,
    beforeSnapshot: Effect.suspend(() =>
      environment.mustResize() ? permit.withPermit(MapGrowth.restoreLimit(map)) : Effect.void
    ),
    snapshot: () => snapshot(self),
    nextSnapshot: () => nextSnapshot(self),
    databases: () => Exit.succeed(environment.databases()),
    openDatabase: (name) => environment.openDatabase(name),
    createDatabases: (names) => createDatabases(self, names),
    write: (writes, admission) => admit(queue, writes, admission),
    remove: (writes, admission) => admitDeletions(queue, writes, admission),
    step: (step, stepOptions) => ReadModifyWrite.run(self, step, stepOptions),
    commit: (request, admission: Admission) =>
      Effect.suspend(() => {
        const refusal = admission()
        return CommitQueue.submit(queue, batchOf(request), () => refusal([]))
      }),
    commitAlone: (prepare) => commitAlone(self, prepare),
    flush: PendingWrites.flush(queue),
    flushQuietly: PendingWrites.flushQuietly(queue),
    checks: foreignCommits,
    subscribe: (subscription) => ChangeFeed.subscribe(changes, subscription),
    subscribeToLog: (logOptions) =>
      // During a commit of this process, the engine shows the state before it. So the follower starts between two commits.
      Effect.andThen(
        environment.databases().includes(changeLogDatabase) ? Effect.void : environment.openDatabase(changeLogDatabase),
        permit.withPermit(LogFollower.make(self.commitEvents, options, logOptions))
      ),
    hasLog: options.log?.options !== undefined,
    hasOtherWriters: options.hasOtherWriters,
    commits: ({ capacity, pollInterval }) => CommitEvents.subscribe(self.commitEvents, { capacity, pollInterval }),
    committedSnapshot: () => permit.withPermit(CommitEvents.snapshot(self.commitEvents)),
    stats: stats(self),
    ...readersOf(options),
    databaseBytes: Effect.suspend(() => environment.databaseBytes?.() ?? Exit.succeed(new Map<string, number>())),
    backup: (path, backupOptions) => MapGrowth.whileReadable(map, environment.backup(path, backupOptions)),
    close: (beforeClosing) => close(self, beforeClosing)
  }
})
