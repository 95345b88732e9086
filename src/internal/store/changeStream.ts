/**
 * The changes of a database as a stream.
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

/** Enough for a hundred full batches. */
const defaultCapacity = 100_000

/** How the changes of a database are told. */
export interface ChangeStreamOptions<K, V, KE, VE, R> {
  readonly database: string
  readonly range: KeyRange
  readonly capacity: number | undefined
  readonly decodeKey: (key: ByteString) => Effect.Effect<K, KE, R>
  readonly decodeValue: (key: ByteString, bytes: Uint8Array) => Effect.Effect<V, VE, R>
}

/** Decodes a value that this process has written. Its structures are known, so decoding does not read the store. */
export const decodingOwn = <V, Key, R>(
  decoded: Effect.Effect<V, ValueDecoding<Key> | EngineFailure, R>
): Effect.Effect<V, ValueDecoding<Key>, R> => Effect.catchTag(decoded, "EngineFailure", (error) => Effect.die(error))

/** Makes a stream of changes from when it starts until the store closes. */
export const make = <K, V, KE, VE, R>(
  access: StoreAccess.StoreAccess,
  { capacity, database, decodeKey, decodeValue, range }: ChangeStreamOptions<K, V, KE, VE, R>
): Stream.Stream<Change<K, V, VE, R>, KE | ChangesMissed | Closed, R> => {
  const toChanges = Effect.fnUntraced(function*({ isCleared, transactionId, writes }: CommittedChanges) {
    const told: Array<Change<K, V, VE, R>> = isCleared ? [{ _tag: "Clear", transactionId }] : []
    for (const [bytes, write] of writes) {
      const key = yield* decodeKey(bytes)
      told.push(
        write === null
          ? { _tag: "Delete", key, transactionId }
          : { _tag: "Put", key, value: Effect.suspend(() => decodeValue(bytes, write)), transactionId }
      )
    }
    return told
  })

  const pullFrom = (
    subscription: Subscription
  ): Pull.Pull<Arr.NonEmptyReadonlyArray<Change<K, V, VE, R>>, KE | ChangesMissed, void, R> => {
    const next: Pull.Pull<Arr.NonEmptyReadonlyArray<Change<K, V, VE, R>>, KE | ChangesMissed, void, R> = Effect.flatMap(
      Effect.flatMap(subscription.take, toChanges),
      (told) => Arr.isArrayNonEmpty(told) ? Effect.succeed(told) : next
    )
    return next
  }

  const subscribe = Effect.fnUntraced(function*(): Effect.fn.Return<Subscription, never, Scope.Scope> {
    const { core: { backend }, onReleased } = access.handle
    const subscription = yield* backend.subscribe({
      database,
      contains: (key) => contains(range, key),
      capacity: capacity ?? defaultCapacity
    })
    yield* Effect.acquireRelease(
      Effect.sync(() => onReleased(subscription.end)),
      (forget) => Effect.sync(forget)
    )
    return subscription
  })

  return Stream.unwrap(
    StoreAccess.enter(
      access,
      () => Effect.map(subscribe(), (subscription) => Stream.fromPull(Effect.succeed(pullFrom(subscription))))
    )
  )
}
