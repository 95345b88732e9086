/**
 * The committed changes of a database as a stream.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CommittedChanges, Subscription } from "../../Backend.ts"
import type { Change } from "../../Change.ts"
import type { KeyRange } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { ChangesMissed, Closed, EngineFailure, ValueDecoding } from "../../StoreError.ts"
import { contains } from "../key/keyRange.ts"
import * as StoreAccess from "./storeAccess.ts"

/** The changes of a hundred batches of the default `batchSize`. */
const defaultCapacity = 100_000

/** Which changes a stream gives. */
interface Subscribed {
  readonly database: string
  readonly range: KeyRange
  /** How many changes may wait for the stream. */
  readonly capacity: number | undefined
}

/** Which changes a stream gives, and how it decodes them. */
export interface ChangeStreamOptions<K, V, KE, VE, R> extends Subscribed {
  readonly decodeKey: (key: ByteString) => Effect.Effect<K, KE, R>
  readonly decodeValue: (key: ByteString, bytes: Uint8Array) => Effect.Effect<V, VE, R>
}

/** Decodes a value that this process has written. Its structures are known, so decoding does not read the store. */
export const decodingOwn = <V, Key, R>(
  decoded: Effect.Effect<V, ValueDecoding<Key> | EngineFailure, R>
): Effect.Effect<V, ValueDecoding<Key>, R> => Effect.catchTag(decoded, "EngineFailure", (error) => Effect.die(error))

/** Converts what one transaction has changed to changes for a subscriber. */
const toChanges = Effect.fnUntraced(function*<K, V, KE, VE, R>(
  { decodeKey, decodeValue }: ChangeStreamOptions<K, V, KE, VE, R>,
  { isCleared, transactionId, writes }: CommittedChanges
) {
  const changes: Array<Change<K, V, VE, R>> = isCleared ? [{ _tag: "Clear", transactionId }] : []
  for (const [bytes, write] of writes) {
    const key = yield* decodeKey(bytes)
    changes.push(
      write === null
        ? { _tag: "Delete", key, transactionId }
        : { _tag: "Put", key, value: Effect.suspend(() => decodeValue(bytes, write)), transactionId }
    )
  }
  return changes
})

type ChangePull<K, V, KE, VE, R> = Pull.Pull<
  Arr.NonEmptyReadonlyArray<Change<K, V, VE, R>>,
  KE | ChangesMissed,
  void,
  R
>

const pullFrom = <K, V, KE, VE, R>(
  options: ChangeStreamOptions<K, V, KE, VE, R>,
  { take }: Subscription
): ChangePull<K, V, KE, VE, R> => {
  const next: ChangePull<K, V, KE, VE, R> = Effect.flatMap(
    Effect.flatMap(take, (committed) => toChanges(options, committed)),
    (changes) => Arr.isArrayNonEmpty(changes) ? Effect.succeed(changes) : next
  )
  return next
}

/** Subscribes until the scope closes or the handle is released. */
const subscribe = Effect.fnUntraced(function*(
  { handle: { core: { backend, counts }, onReleased } }: StoreAccess.StoreAccess,
  { capacity, database, range }: Subscribed
): Effect.fn.Return<Subscription, never, Scope.Scope> {
  const subscription = yield* backend.subscribe({
    database,
    contains: (key) => contains(range, key),
    capacity: capacity ?? defaultCapacity
  })
  yield* Effect.acquireRelease(
    Effect.sync(() => onReleased(subscription.end)),
    (removeListener) => Effect.sync(removeListener)
  )
  const take = Effect.tapErrorTag(subscription.take, "ChangesMissed", () =>
    Effect.sync(() => {
      counts.missedChanges++
    }))
  return { ...subscription, take }
})

/** Makes a stream of the changes that are committed from when it starts until the handle is released. */
export const make = <K, V, KE, VE, R>(
  access: StoreAccess.StoreAccess,
  options: ChangeStreamOptions<K, V, KE, VE, R>
): Stream.Stream<Change<K, V, VE, R>, KE | ChangesMissed | Closed, R> =>
  Stream.unwrap(
    StoreAccess.enter(
      access,
      () =>
        Effect.map(
          subscribe(access, options),
          (subscription) => Stream.fromPull(Effect.succeed(pullFrom(options, subscription)))
        )
    )
  )
