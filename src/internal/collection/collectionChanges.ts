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
import type { ChangesMissed, Closed, KeyEncoding, ValueDecoding } from "../../StoreError.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as ChangeStream from "../store/changeStream.ts"
import * as WatchStream from "../store/watchStream.ts"
import { decodeValue } from "./collectionDefinition.ts"
import type { CollectionReader } from "./recordReads.ts"
import * as TypedRanges from "./typedRanges.ts"

type ChangeMethods = "changes" | "watch" | "watchRange"

/** Makes `changes`, `watch` and `watchRange` of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { access, definition }: CollectionReader<K, V, I>
): Pick<Collection<K, V, I>, ChangeMethods> => {
  const { database, key: keyCodec, name } = definition
  type Services = K["DecodingServices"] | V["DecodingServices"]
  type Plain = Change<K["Type"], V["Type"], ValueDecoding<K["Type"]>, V["DecodingServices"]>
  type WithPrevious = ChangeWithPrevious<K["Type"], V["Type"], ValueDecoding<K["Type"]>, V["DecodingServices"]>
  type Changes<C, S> = Stream.Stream<C, KeyEncoding | ChangesMissed | Closed | SinceError<S>, Services>

  const decodeKey = (key: ByteString) => keyCodec.decode(key)
  const decode = (key: ByteString, record: Uint8Array) => decodeValue(definition, key, record)

  function changes(
    options?: CollectionChangesOptions<K, undefined> & { readonly previous?: false | undefined }
  ): Changes<Plain, undefined>
  function changes<const S extends number | undefined = undefined>(
    options: CollectionChangesOptions<K, S> & { readonly previous: true }
  ): Changes<WithPrevious, S>
  function changes(
    options: CollectionChangesOptions<K, number> & { readonly since: number; readonly previous?: false | undefined }
  ): Changes<Plain, number>
  function changes(
    options: CollectionChangesOptions<K> & { readonly previous?: boolean | undefined } = {}
  ): Changes<Plain | WithPrevious, number> {
    const subscribe = Effect.suspend(() => {
      const prefix = options.prefix === undefined ? {} : { prefix: options.prefix }
      return Effect.map(TypedRanges.toKeyRange(keyCodec, prefix, false), (range) => {
        const streamOptions = {
          ...options,
          database,
          range,
          decodeKey,
          decodeValue: (key: ByteString, record: Uint8Array) => ChangeStream.decodingOwn(decode(key, record))
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
          WatchStream.one(access, bytes, { database, pollInterval: ChangeStream.pollIntervalOf(options) }, decode))
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
            { decodeKey, decodeValue: decode }
          ))
      )
    ))

  return { changes, watch, watchRange }
}
