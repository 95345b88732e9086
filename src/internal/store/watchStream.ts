/**
 * Live queries of one value and of a range, decoded.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { WatchEvent } from "../../Change.ts"
import type { ByteString } from "../../Key.ts"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import { isSameValue } from "../engineBytes.ts"
import type { RecordCodec } from "./changeStream.ts"
import type { StoreAccess } from "./storeAccess.ts"
import * as Watch from "./watch.ts"

/** Makes a stream of the value of a key: the current value, then each new one. A slow consumer gets only the latest. */
export const one = <V, VE, R>(
  access: StoreAccess,
  key: ByteString,
  options: Omit<Watch.WatchOptions, "range">,
  decodeValue: RecordCodec<unknown, V, never, VE, R>["decodeValue"]
): Stream.Stream<Option.Option<V>, VE | Closed | EngineFailure, R> => {
  const bound = { key, inclusive: true }
  return Watch.make(access, { ...options, range: { from: bound, to: bound } }).pipe(
    Stream.map((event): Uint8Array | undefined =>
      event._tag === "Snapshot" ? event.records[0]?.[1] : event.writes.at(-1)?.[1] ?? undefined
    ),
    Stream.buffer({ capacity: 1, strategy: "sliding" }),
    Stream.changesWith(isSameValue),
    Stream.mapEffect((bytes) =>
      bytes === undefined ? Effect.succeedNone : Effect.asSome(Effect.suspend(() => decodeValue(key, bytes)))
    )
  )
}

/** Makes a stream of the entries of a range, and then of the changes that each transaction makes to them. */
export const range = <K, V, KE, VE, R>(
  access: StoreAccess,
  options: Watch.WatchOptions,
  { decodeKey, decodeValue }: RecordCodec<K, V, KE, VE, R>
): Stream.Stream<WatchEvent<K, V>, KE | VE | Closed | EngineFailure, R> => {
  const decodeAll = Effect.fnUntraced(function*(event: Watch.WatchedEvent) {
    const { transactionId } = event
    if (event._tag === "Snapshot") {
      const entries: Array<readonly [K, V]> = []
      for (const [key, bytes] of event.records) entries.push([yield* decodeKey(key), yield* decodeValue(key, bytes)])
      return { _tag: "Snapshot", entries, transactionId } satisfies WatchEvent<K, V>
    }
    const changes: Array<readonly [K, Option.Option<V>]> = []
    for (const [key, bytes] of event.writes) {
      const value = bytes === null ? Option.none() : Option.some(yield* decodeValue(key, bytes))
      changes.push([yield* decodeKey(key), value])
    }
    return { _tag: "Changes", changes, transactionId } satisfies WatchEvent<K, V>
  })
  return Stream.mapEffect(Watch.make(access, options), decodeAll)
}
