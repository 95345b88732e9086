/**
 * Live queries: the records of a range, and then the changes that are committed to the range.
 *
 * With a change log, a watch reads a snapshot and then follows the log, which has the changes of all processes. Without a
 * change log, it first subscribes and then reads a snapshot, and skips the changes that the snapshot includes. So it misses
 * no change of this process. It does not know the changes of other processes: after each of their commits, it reads the
 * range again.
 */
import type * as Arr from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CommittedChanges, CommittedWrite, Subscription } from "../../Backend.ts"
import type { KeyRange } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { ChangesMissed, Closed, EngineFailure } from "../../StoreError.ts"
import { contains } from "../key/keyRange.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import { RecordsDigest } from "../reader/recordsDigest.ts"
import { defaultCapacity } from "./changeStream.ts"
import type { OpenCommittedSnapshot } from "./openStore.ts"
import type { StoredRecord } from "./recordStream.ts"
import * as StoreAccess from "./storeAccess.ts"

/** The range that is watched. */
export interface WatchOptions {
  readonly database: string
  readonly range: KeyRange
  readonly pollInterval: Duration.Duration
  /** The maximum number of waiting changes. If there are more, the range is read again. */
  readonly capacity?: number | undefined
}

/** An event of a watch, with keys and values as bytes. */
export type WatchedEvent =
  | { readonly _tag: "Snapshot"; readonly records: ReadonlyArray<StoredRecord>; readonly transactionId: number }
  | { readonly _tag: "Changes"; readonly writes: ReadonlyArray<CommittedWrite>; readonly transactionId: number }

/** What a watch is notified of after a snapshot: changes, or that another process has committed. */
type Notification = CommittedChanges | "foreignCommit"

type Next = Pull.Pull<Arr.NonEmptyReadonlyArray<Notification>, ChangesMissed | EngineFailure>

/** A watch of one consumer. */
interface Watch {
  readonly access: StoreAccess.StoreAccess
  readonly options: WatchOptions
  /** The scope of the present subscription. */
  scope: Scope.Closeable
  next: Next | undefined
  /** The notifications that were received and not yet handled. */
  queued: ReadonlyArray<Notification>
  /** The last transaction that the last snapshot includes. */
  transactionId: number
  /** The digest of the last snapshot. `undefined` once the consumer has received changes after it. */
  digest: string | undefined
}

type WatchError = Closed | EngineFailure

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

/** All records of a range, and their digest if other processes can write. */
interface RangeContent {
  readonly records: ReadonlyArray<StoredRecord>
  readonly digest: string | undefined
}

/** Reads all records of a range. Yields to other fibers between the parts. */
const readAll = Effect.fnUntraced(function*(
  { access, options: { database, range } }: Watch,
  { isReleased, reader }: OpenCommittedSnapshot
): Effect.fn.Return<RangeContent, WatchError> {
  const readPart = RangeReader.make(reader, database, { ...range, reverse: false, values: true })
  const records: Array<StoredRecord> = []
  const digest = access.handle.core.backend.hasOtherWriters ? new RecordsDigest() : undefined
  while (true) {
    const part = yield* StoreAccess.whenReadable(
      access,
      (): Effect.Effect<RangeReader.Part | undefined, WatchError> => isReleased() ? access.closed : readPart()
    )
    if (part === undefined) return { records, digest: digest?.end() }
    digest?.add(part)
    for (const record of part) records.push(record)
    yield* Effect.yieldNow
  }
})

// ---------------------------------------------------------------------------
// following
// ---------------------------------------------------------------------------

const subscriptionStream = (
  { access }: Watch,
  subscription: Subscription<EngineFailure>
): Effect.Effect<Stream.Stream<Notification, ChangesMissed | EngineFailure>, never, Scope.Scope> =>
  Effect.as(
    StoreAccess.whenReleased(access, subscription.end),
    Stream.fromPull(Effect.succeed(Effect.map(subscription.take, (changes) => [changes] as const)))
  )

/** Subscribes to the commits of this process, and polls for commits of other processes. */
const followOwn = Effect.fnUntraced(function*(self: Watch) {
  const { access, options: { capacity = defaultCapacity, database, pollInterval, range } } = self
  const { backend } = access.handle.core
  const own = yield* subscriptionStream(
    self,
    yield* backend.subscribe({ database, contains: (key: ByteString) => contains(range, key), capacity })
  )
  if (!backend.hasOtherWriters) return own
  const commits = yield* backend.commits({ pollInterval, capacity: 16 })
  yield* StoreAccess.whenReleased(access, commits.end)
  const others = Stream.fromPull(Effect.succeed(Effect.map(commits.take, (commit) => [commit] as const))).pipe(
    Stream.filter(({ isOwn }) => !isOwn),
    Stream.map((): Notification => "foreignCommit")
  )
  return Stream.merge(own, others)
})

/** Subscribes to the change log: to what all processes commit after the snapshot. */
const followLog = Effect.fnUntraced(function*(self: Watch) {
  const { access, options: { database, pollInterval, range } } = self
  const subscription = yield* access.handle.core.backend.subscribeToLog({
    database,
    contains: (key: ByteString) => contains(range, key),
    since: self.transactionId,
    pollInterval
  })
  return yield* subscriptionStream(self, subscription)
})

/** Ends the present subscription, and makes the scope of the next one. */
const endSubscription = Effect.fnUntraced(function*(self: Watch) {
  yield* Scope.close(self.scope, Exit.void)
  self.scope = yield* Scope.make()
  self.next = undefined
  self.queued = []
})

/** Reads the records of the range. Returns `undefined` if they are the same as in the last snapshot. */
const readSnapshot = Effect.fnUntraced(function*(self: Watch): Effect.fn.Return<WatchedEvent | undefined, WatchError> {
  const { core } = self.access.handle
  const { digest, records, transactionId } = yield* Effect.acquireUseRelease(
    Effect.suspend(core.openCommittedSnapshot),
    (snapshot) =>
      Effect.map(readAll(self, snapshot), (content) => ({ ...content, transactionId: snapshot.transactionId })),
    ({ release }) => Effect.sync(release)
  ).pipe(
    // If the store has closed meanwhile, the error is `Closed`.
    Effect.catchTag(
      "EngineFailure",
      (error): Effect.Effect<never, WatchError> => StoreAccess.refusal(self.access) ?? Effect.fail(error)
    )
  )
  self.transactionId = transactionId
  const last = self.digest
  self.digest = digest
  return last !== undefined && last === digest ? undefined : { _tag: "Snapshot", records, transactionId }
})

/** Subscribes and reads a snapshot. Ends the present subscription first. */
const subscribeAndRead = Effect.fnUntraced(
  function*(self: Watch): Effect.fn.Return<WatchedEvent | undefined, WatchError> {
    yield* endSubscription(self)
    const { backend } = self.access.handle.core
    const follow = <E>(
      open: Effect.Effect<Stream.Stream<Notification, ChangesMissed | EngineFailure>, E, Scope.Scope>
    ) => Scope.provide(Effect.flatMap(open, Stream.toPull), self.scope)
    if (backend.hasLog) {
      const event = yield* readSnapshot(self)
      const next = yield* Effect.catchTag(follow(followLog(self)), "ChangesMissed", () => Effect.succeed(undefined))
      self.next = next
      if (next !== undefined) return event
      // The log was deleted after the snapshot. The consumer did not receive `event`, so the next snapshot must be sent.
      self.digest = undefined
    }
    self.next = yield* follow(followOwn(self))
    return yield* readSnapshot(self)
  }
)

/** Turns a notification into an event. Returns `undefined` if the consumer already has what it says. */
const handle = (self: Watch, notification: Notification): Effect.Effect<WatchedEvent | undefined, WatchError> => {
  if (notification === "foreignCommit") return readSnapshot(self)
  const { isCleared, transactionId, writes } = notification
  if (transactionId <= self.transactionId) return Effect.succeed(undefined)
  if (isCleared) return readSnapshot(self)
  self.digest = undefined
  return Effect.succeed({ _tag: "Changes", writes, transactionId })
}

/** Handles the next notification, or waits for more. Returns `undefined` if that gave no event. */
const pullOnce = (self: Watch): Pull.Pull<WatchedEvent | undefined, WatchError> =>
  Effect.suspend((): Pull.Pull<WatchedEvent | undefined, WatchError> => {
    const [notification, ...rest] = self.queued
    if (notification !== undefined) {
      self.queued = rest
      return handle(self, notification)
    }
    if (self.next === undefined) return subscribeAndRead(self)
    const { next } = self
    const takeMore = Effect.map(next, (more): undefined => {
      self.queued = more
    })
    return Effect.catch(
      takeMore,
      (error): Pull.Pull<WatchedEvent | undefined, WatchError> =>
        Predicate.isTagged(error, "ChangesMissed") ? subscribeAndRead(self) : Effect.fail(error)
    )
  })

/** Makes a stream of the records of a range and of the changes to it, until the store closes. */
export const make = (
  access: StoreAccess.StoreAccess,
  options: WatchOptions
): Stream.Stream<WatchedEvent, WatchError> => {
  const open = Effect.fnUntraced(function*() {
    const { core: { backend }, options: { readOnly } } = access.handle
    // The snapshots show only committed records, and the first must include all earlier writes.
    if (!readOnly) yield* backend.flushQuietly
    const scope = yield* Scope.make()
    const self: Watch = {
      access,
      options,
      scope,
      next: undefined,
      queued: [],
      transactionId: 0,
      digest: undefined
    }
    yield* Effect.addFinalizer((exit) => Scope.close(self.scope, exit))
    const next: Pull.Pull<Arr.NonEmptyReadonlyArray<WatchedEvent>, WatchError> = Effect.flatMap(
      pullOnce(self),
      (event) => event === undefined ? next : Effect.succeed([event] as const)
    )
    return Stream.fromPull(Effect.succeed(next))
  })
  return Stream.unwrap(StoreAccess.enter(access, open))
}
