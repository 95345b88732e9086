/**
 * Makes the methods of a collection that stream its changes.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Change, ChangeWithPrevious, SinceError } from "../../Change.ts"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { Collection, CollectionChangesOptions } from "../../CollectionService.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { ChangesMissed, Closed, EngineFailure, KeyEncoding, ValueDecoding } from "../../StoreError.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as ChangeStream from "../store/changeStream.ts"
import type { StoreAccess } from "../store/storeAccess.ts"
import * as WatchStream from "../store/watchStream.ts"
import type { Definition } from "./collectionDefinition.ts"
import * as TypedRanges from "./typedRanges.ts"

type Tells = "changes" | "watch" | "watchRange"

/** Makes `changes`, `watch` and `watchRange` of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  access: StoreAccess,
  { database, key: keyCodec, name }: Definition<K, V, I>,
  decodeValue: (
    key: ByteString,
    record: Uint8Array
  ) => Effect.Effect<V["Type"], ValueDecoding<K["Type"]> | EngineFailure, V["DecodingServices"]>
): Pick<Collection<K, V, I>, Tells> => {
  type Services = K["DecodingServices"] | V["DecodingServices"]
  type Plain = Change<K["Type"], V["Type"], ValueDecoding<K["Type"]>, V["DecodingServices"]>
  type WithPrevious = ChangeWithPrevious<K["Type"], V["Type"], ValueDecoding<K["Type"]>, V["DecodingServices"]>
  type Told<C, S> = Stream.Stream<C, KeyEncoding | ChangesMissed | Closed | SinceError<S>, Services>

  const decodeKey = (key: ByteString) => keyCodec.decode(key)

  function changes(
    options?: CollectionChangesOptions<K, undefined> & { readonly previous?: false | undefined }
  ): Told<Plain, undefined>
  function changes<const S extends number | undefined = undefined>(
    options: CollectionChangesOptions<K, S> & { readonly previous: true }
  ): Told<WithPrevious, S>
  function changes(
    options: CollectionChangesOptions<K, number> & { readonly since: number; readonly previous?: false | undefined }
  ): Told<Plain, number>
  function changes(
    options: CollectionChangesOptions<K> & { readonly previous?: boolean | undefined } = {}
  ): Told<Plain | WithPrevious, number> {
    const subscribe = Effect.suspend(() => {
      const prefix = options.prefix === undefined ? {} : { prefix: options.prefix }
      return Effect.map(TypedRanges.toKeyRange(keyCodec, prefix, false), (range) => {
        const streamOptions = {
          ...options,
          database,
          range,
          decodeKey,
          decodeValue: (key: ByteString, record: Uint8Array) => ChangeStream.decodingOwn(decodeValue(key, record))
        }
        return options.previous === true
          ? ChangeStream.makeWithPrevious(access, streamOptions)
          : ChangeStream.make(access, streamOptions)
      })
    })
    return Stream.unwrap(
      Effect.andThen(
        CallArguments.checked("the options of changes", options, CallArguments.typedChangesChecks, name),
        subscribe
      )
    )
  }

  const watch: Collection<K, V, I>["watch"] = (key, options = {}) =>
    Stream.unwrap(Effect.andThen(
      CallArguments.checked("the options of watch", options, CallArguments.pollChecks, name),
      Effect.suspend(() =>
        Effect.map(keyCodec.encode(key), (bytes) =>
          WatchStream.one(access, bytes, { database, pollInterval: ChangeStream.pollIntervalOf(options) }, decodeValue))
      )
    ))

  const watchRange: Collection<K, V, I>["watchRange"] = (range = {}) =>
    Stream.unwrap(Effect.andThen(
      CallArguments.checked("the range", range, CallArguments.typedWatchChecks, name),
      Effect.suspend(() =>
        Effect.map(TypedRanges.toKeyRange(keyCodec, range, false), (keyRange) =>
          WatchStream.range(
            access,
            {
              database,
              range: keyRange,
              pollInterval: ChangeStream.pollIntervalOf(range),
              capacity: range.capacity
            },
            { decodeKey, decodeValue }
          ))
      )
    ))

  return { changes, watch, watchRange }
}
