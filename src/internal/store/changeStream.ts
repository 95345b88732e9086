/**
 * The committed changes of a database as a stream.
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CommittedChanges, CommittedWrite, Subscription, SubscriptionOptions } from "../../Backend.ts"
import type { Change, ChangeWithPrevious, Delete, Expired, FollowOptions, Previous, Put } from "../../Change.ts"
import type { KeyRange } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { ChangesMissed, type Closed, type EngineFailure, type ValueDecoding } from "../../StoreError.ts"
import { contains } from "../key/keyRange.ts"
import * as StoreAccess from "./storeAccess.ts"

/** The default maximum number of waiting changes. A hundred full batches have about as many. */
export const defaultCapacity = 100_000

/** The default of `pollInterval`. One poll takes some hundredths of a millisecond. */
const defaultPollInterval = Duration.millis(50)

/** How often to look for commits of other processes. */
export const pollIntervalOf = ({ pollInterval }: { readonly pollInterval?: Duration.Input | undefined }) =>
  pollInterval === undefined
    ? defaultPollInterval
    : Option.getOrElse(Duration.fromInput(pollInterval), () => defaultPollInterval)

/** How the records of a database are decoded. */
export interface RecordCodec<K, V, KE, VE, R> {
  readonly decodeKey: (key: ByteString) => Effect.Effect<K, KE, R>
  readonly decodeValue: (key: ByteString, bytes: Uint8Array) => Effect.Effect<V, VE, R>
}

/** Which changes a stream has, and how they are decoded. */
export interface ChangeStreamOptions<K, V, KE, VE, R> extends RecordCodec<K, V, KE, VE, R>, FollowOptions {
  readonly database: string
  readonly range: KeyRange
}

/** Decodes a value of the change feed. This process has written it and knows its structures, so decoding does not read the store. */
export const decodingOwn = <V, Key, R>(
  decoded: Effect.Effect<V, ValueDecoding<Key> | EngineFailure, R>
): Effect.Effect<V, ValueDecoding<Key>, R> => Effect.catchTag(decoded, "EngineFailure", (error) => Effect.die(error))

/** Subscribes to the changes of a range, from the change log with `since`. */
const subscribe = Effect.fnUntraced(function*<K, V, KE, VE, R>(
  access: StoreAccess.StoreAccess,
  options: ChangeStreamOptions<K, V, KE, VE, R>,
  before: SubscriptionOptions["before"]
): Effect.fn.Return<Subscription<EngineFailure>, ChangesMissed | EngineFailure, Scope.Scope> {
  const { backend, counts } = access.handle.core
  const { capacity, database, range, since } = options
  const countMissed = <A, E, S>(effect: Effect.Effect<A, E, S>) =>
    Effect.tapError(effect, (error) =>
      Effect.sync(() => {
        if (error instanceof ChangesMissed) counts.missedChanges++
      }))
  const wanted = { database, contains: (key: ByteString) => contains(range, key), before }
  const subscription = yield* since === undefined
    ? backend.subscribe({ ...wanted, capacity: capacity ?? defaultCapacity })
    // Fails with `ChangesMissed` if the log no longer has all transactions after `since`.
    : countMissed(backend.subscribeToLog({ ...wanted, since, pollInterval: pollIntervalOf(options) }))
  yield* StoreAccess.whenReleased(access, subscription.end)
  return { ...subscription, take: countMissed(subscription.take) }
})

/** Makes a stream of the items that `toItems` makes of the changes of a subscription. */
const fromSubscription = <A, E, R>(
  access: StoreAccess.StoreAccess,
  open: Effect.Effect<Subscription<EngineFailure>, ChangesMissed | EngineFailure, Scope.Scope>,
  toItems: (changes: CommittedChanges) => Effect.Effect<ReadonlyArray<A>, E, R>
): Stream.Stream<A, E | ChangesMissed | EngineFailure | Closed, R> => {
  type Next = Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E | ChangesMissed | EngineFailure, void, R>
  const pullFrom = (subscription: Subscription<EngineFailure>): Next => {
    const next: Next = Effect.flatMap(
      Effect.flatMap(subscription.take, toItems),
      (items) => Arr.isReadonlyArrayNonEmpty(items) ? Effect.succeed(items) : next
    )
    return next
  }
  return Stream.unwrap(
    StoreAccess.enter(
      access,
      () => Effect.map(open, (subscription) => Stream.fromPull(Effect.succeed(pullFrom(subscription))))
    )
  )
}

/** Makes the change of one write. */
const toChange = <K, V, VE, R>(
  key: K,
  [bytes, write, before]: CommittedWrite,
  { expired, transactionId }: CommittedChanges,
  decodeValue: RecordCodec<K, V, never, VE, R>["decodeValue"]
): Put<K, V, VE, R> | Delete<K> | Expired<K> =>
  write === null
    ? { _tag: expired.has(bytes) ? "Expired" : "Delete", key, transactionId }
    : {
      _tag: "Put",
      kind: before === false ? "insert" : "update",
      key,
      value: Effect.suspend(() => decodeValue(bytes, write)),
      transactionId
    }

/** Makes a stream of the changes after its start, or after the transaction `since`, until the store closes. */
export const make = <K, V, KE, VE, R>(
  access: StoreAccess.StoreAccess,
  options: ChangeStreamOptions<K, V, KE, VE, R>
): Stream.Stream<Change<K, V, VE, R>, KE | ChangesMissed | EngineFailure | Closed, R> => {
  const toChanges = Effect.fnUntraced(function*(committed: CommittedChanges) {
    const { isCleared, transactionId, writes } = committed
    const changes: Array<Change<K, V, VE, R>> = isCleared ? [{ _tag: "Clear", transactionId }] : []
    for (const write of writes) {
      changes.push(toChange(yield* options.decodeKey(write[0]), write, committed, options.decodeValue))
    }
    return changes
  })
  return fromSubscription(access, subscribe(access, options, "existence"), toChanges)
}

/** Makes a stream like `make`, with the value of each key before the transaction. */
export const makeWithPrevious = <K, V, KE, VE, R>(
  access: StoreAccess.StoreAccess,
  options: ChangeStreamOptions<K, V, KE, VE, R>
): Stream.Stream<ChangeWithPrevious<K, V, VE, R>, KE | ChangesMissed | EngineFailure | Closed, R> => {
  const { decodeKey, decodeValue } = options
  const toChanges = Effect.fnUntraced(function*(committed: CommittedChanges) {
    const { isCleared, transactionId, writes } = committed
    const changes: Array<ChangeWithPrevious<K, V, VE, R>> = isCleared ? [{ _tag: "Clear", transactionId }] : []
    for (const write of writes) {
      const [bytes, , before] = write
      const found: Previous<V, VE, R> = {
        previous: before instanceof Uint8Array
          ? Effect.suspend(() => Effect.asSome(decodeValue(bytes, before)))
          : Effect.succeedNone
      }
      const change = toChange(yield* decodeKey(bytes), write, committed, decodeValue)
      changes.push({ ...change, ...found })
    }
    return changes
  })
  return fromSubscription(access, subscribe(access, options, "value"), toChanges)
}
