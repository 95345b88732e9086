/**
 * Live queries: the records of a range, and then what is committed to them.
 *
 * It subscribes before it reads, and leaves out the changes that the snapshot has already. So there is no moment
 * between the records and the changes. With a change log it follows the log from the snapshot on, which tells of all processes.
 * Without one, what other processes commit is not known: it reads the range again after they have committed.
 */
import type * as Arr from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { CommittedChanges, CommittedWrite, Subscription } from "../../Backend.ts"
import type { KeyRange } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { ChangesMissed, Closed, EngineFailure } from "../../StoreError.ts"
import { contains } from "../key/keyRange.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import { defaultCapacity } from "./changeStream.ts"
import type { CommittedSnapshot } from "./openStore.ts"
import type { StoredRecord } from "./recordStream.ts"
import * as StoreAccess from "./storeAccess.ts"

/** What is watched. */
export interface WatchOptions {
  readonly database: string
  readonly range: KeyRange
  readonly pollInterval: Duration.Duration
  /** How many changes may wait; beyond that, the range is read again. */
  readonly capacity?: number | undefined
}

/** What a watch tells, before it is decoded. */
export type WatchedEvent =
  | { readonly _tag: "Snapshot"; readonly records: ReadonlyArray<StoredRecord>; readonly transactionId: number }
  | { readonly _tag: "Changes"; readonly writes: ReadonlyArray<CommittedWrite>; readonly transactionId: number }

/** What is told after a snapshot: changes, or that others have committed something. */
type Told = CommittedChanges | "others"

type Next = Pull.Pull<Arr.NonEmptyReadonlyArray<Told>, ChangesMissed | EngineFailure>

/** A watch of one consumer. */
interface Watch {
  readonly access: StoreAccess.StoreAccess
  readonly options: WatchOptions
  /** What belongs to the present subscription. */
  scope: Scope.Closeable
  next: Next | undefined
  /** What was told and not yet looked at. */
  waiting: ReadonlyArray<Told>
  /** The last transaction that the last snapshot shows. */
  transactionId: number
  /** The digest of the last snapshot, unless changes were told after it. */
  digest: string | undefined
}

type WatchError = Closed | EngineFailure

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

/** Reads all records of a range, and lets other fibers run between the parts. */
const readAll = Effect.fnUntraced(function*(
  { access, options: { database, range } }: Watch,
  { isReleased, reader }: CommittedSnapshot
): Effect.fn.Return<ReadonlyArray<StoredRecord>, WatchError> {
  const readPart = RangeReader.make(reader, database, { ...range, reverse: false, values: true })
  const records: Array<StoredRecord> = []
  while (true) {
    const part = yield* StoreAccess.whenReadable(
      access,
      (): Effect.Effect<RangeReader.Part | undefined, WatchError> => isReleased() ? access.closed : readPart()
    )
    if (part === undefined) return records
    for (const record of part) records.push(record)
    yield* Effect.yieldNow
  }
})

const digestOf = (records: ReadonlyArray<StoredRecord>): string => {
  const hash = createHash("sha256")
  for (const [key, value] of records) {
    hash.update(`${key.length} ${value.length} `).update(key, "latin1").update(value)
  }
  return hash.digest("base64")
}

// ---------------------------------------------------------------------------
// following
// ---------------------------------------------------------------------------

const subscriptionStream = (
  { access }: Watch,
  subscription: Subscription<EngineFailure>
): Effect.Effect<Stream.Stream<Told, ChangesMissed | EngineFailure>, never, Scope.Scope> =>
  Effect.as(
    Effect.acquireRelease(
      Effect.sync(() => access.handle.onReleased(subscription.end)),
      (forget) => Effect.sync(forget)
    ),
    Stream.fromPull(Effect.succeed(Effect.map(subscription.take, (changes) => [changes] as const)))
  )

/** Subscribes to what this process commits, and learns that others commit. */
const followOwn = Effect.fnUntraced(function*(self: Watch) {
  const { access, options: { capacity = defaultCapacity, database, pollInterval, range } } = self
  const { core: { backend }, onReleased } = access.handle
  const own = yield* subscriptionStream(
    self,
    yield* backend.subscribe({ database, contains: (key: ByteString) => contains(range, key), capacity })
  )
  if (!backend.hasOtherWriters) return own
  const commits = yield* backend.commits({ pollInterval, capacity: 16 })
  yield* Effect.acquireRelease(Effect.sync(() => onReleased(commits.end)), (forget) => Effect.sync(forget))
  const others = Stream.fromPull(Effect.succeed(Effect.map(commits.take, (commit) => [commit] as const))).pipe(
    Stream.filter(({ isOwn }) => !isOwn),
    Stream.map((): Told => "others")
  )
  return Stream.merge(own, others)
})

/** Subscribes to what all processes commit after the snapshot. */
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

/** Ends the present subscription, and begins another scope. */
const renew = Effect.fnUntraced(function*(self: Watch) {
  yield* Scope.close(self.scope, Exit.void)
  self.scope = yield* Scope.make()
  self.next = undefined
  self.waiting = []
})

/** Reads the records of the range. Gives nothing where they are what was told last. */
const readSnapshot = Effect.fnUntraced(function*(self: Watch): Effect.fn.Return<WatchedEvent | undefined, WatchError> {
  const { core } = self.access.handle
  const { records, transactionId } = yield* Effect.acquireUseRelease(
    Effect.suspend(core.openCommittedSnapshot),
    (snapshot) =>
      Effect.map(readAll(self, snapshot), (read) => ({ records: read, transactionId: snapshot.transactionId })),
    ({ release }) => Effect.sync(release)
  ).pipe(
    // The store closed before the snapshot was opened.
    Effect.catchTag(
      "EngineFailure",
      (error): Effect.Effect<never, WatchError> => StoreAccess.refusal(self.access) ?? Effect.fail(error)
    )
  )
  self.transactionId = transactionId
  const last = self.digest
  self.digest = core.backend.hasOtherWriters ? digestOf(records) : undefined
  return last !== undefined && last === self.digest ? undefined : { _tag: "Snapshot", records, transactionId }
})

/** Subscribes and reads. */
const begin = Effect.fnUntraced(function*(self: Watch): Effect.fn.Return<WatchedEvent | undefined, WatchError> {
  yield* renew(self)
  const { backend } = self.access.handle.core
  const follow = <E>(open: Effect.Effect<Stream.Stream<Told, ChangesMissed | EngineFailure>, E, Scope.Scope>) =>
    Scope.provide(Effect.flatMap(open, Stream.toPull), self.scope)
  if (backend.hasLog) {
    const event = yield* readSnapshot(self)
    const next = yield* Effect.catchTag(follow(followLog(self)), "ChangesMissed", () => Effect.succeed(undefined))
    self.next = next
    if (next !== undefined) return event
    // The log was dropped: what the first snapshot has was not told.
    self.digest = undefined
  }
  self.next = yield* follow(followOwn(self))
  return yield* readSnapshot(self)
})

/** Looks at what was told next; gives nothing where there is nothing to tell of it. */
const lookAt = (self: Watch, told: Told): Effect.Effect<WatchedEvent | undefined, WatchError> => {
  if (told === "others") return readSnapshot(self)
  const { isCleared, transactionId, writes } = told
  if (transactionId <= self.transactionId) return Effect.succeed(undefined)
  if (isCleared) return readSnapshot(self)
  self.digest = undefined
  return Effect.succeed({ _tag: "Changes", writes, transactionId })
}

const step = (self: Watch): Pull.Pull<WatchedEvent | undefined, WatchError> =>
  Effect.suspend((): Pull.Pull<WatchedEvent | undefined, WatchError> => {
    const [told, ...others] = self.waiting
    if (told !== undefined) {
      self.waiting = others
      return lookAt(self, told)
    }
    if (self.next === undefined) return begin(self)
    const { next } = self
    const takeMore = Effect.map(next, (more): undefined => {
      self.waiting = more
    })
    return Effect.catch(
      takeMore,
      (error): Pull.Pull<WatchedEvent | undefined, WatchError> =>
        Predicate.isTagged(error, "ChangesMissed") ? begin(self) : Effect.fail(error)
    )
  })

/** Makes a stream of the records of a range and what is committed to them, until the store closes. */
export const make = (
  access: StoreAccess.StoreAccess,
  options: WatchOptions
): Stream.Stream<WatchedEvent, WatchError> => {
  const open = Effect.fnUntraced(function*() {
    const { core: { backend }, options: { readOnly } } = access.handle
    // What was written before is in the first snapshot.
    if (!readOnly) yield* backend.flushQuietly
    const scope = yield* Scope.make()
    const self: Watch = {
      access,
      options,
      scope,
      next: undefined,
      waiting: [],
      transactionId: 0,
      digest: undefined
    }
    yield* Effect.addFinalizer((exit) => Scope.close(self.scope, exit))
    const next: Pull.Pull<Arr.NonEmptyReadonlyArray<WatchedEvent>, WatchError> = Effect.flatMap(
      step(self),
      (event) => event === undefined ? next : Effect.succeed([event] as const)
    )
    return Stream.fromPull(Effect.succeed(next))
  })
  return Stream.unwrap(StoreAccess.enter(access, open))
}
