/**
 * Makes the methods of a collection that stream its changes.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Change, ChangeWithPrevious, PollOptions, SinceError } from "../../Change.ts"
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

/** Makes the method `changes`. */
const makeChanges = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { access, definition }: CollectionReader<K, V, I>
): Collection<K, V, I>["changes"] => {
  const { database, key: keyCodec, name } = definition
  type Services = K["DecodingServices"] | V["DecodingServices"]
  type Plain = Change<K["Type"], V["Type"], ValueDecoding<K["Type"]>, V["DecodingServices"]>
  type WithPrevious = ChangeWithPrevious<K["Type"], V["Type"], ValueDecoding<K["Type"]>, V["DecodingServices"]>
  type Changes<C, S> = Stream.Stream<C, KeyEncoding | ChangesMissed | Closed | SinceError<S>, Services>

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
          decodeKey: (key: ByteString) => keyCodec.decode(key),
          decodeValue: (key: ByteString, record: Uint8Array) =>
            ChangeStream.decodingOwn(decodeValue(definition, key, record))
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

  return changes
}

/** Streams the value of a key. */
const watch = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { access, definition }: CollectionReader<K, V, I>,
  key: K["Type"],
  options: PollOptions
): ReturnType<Collection<K, V, I>["watch"]> =>
  Stream.unwrap(Effect.andThen(
    CallArguments.checked("the options of watch", options, CallArguments.pollChecks, definition.name),
    Effect.suspend(() =>
      Effect.map(definition.key.encode(key), (bytes) =>
        WatchStream.one(
          access,
          bytes,
          { database: definition.database, pollInterval: ChangeStream.pollIntervalOf(options) },
          (stored, record) => decodeValue(definition, stored, record)
        ))
    )
  ))

/** Streams the entries of a range. */
const watchRange = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { access, definition }: CollectionReader<K, V, I>,
  range: NonNullable<Parameters<Collection<K, V, I>["watchRange"]>[0]>
): ReturnType<Collection<K, V, I>["watchRange"]> =>
  Stream.unwrap(Effect.andThen(
    CallArguments.checked("the range", range, CallArguments.typedWatchChecks, definition.name),
    Effect.suspend(() =>
      Effect.map(TypedRanges.toKeyRange(definition.key, range, false), (keyRange) =>
        WatchStream.range(
          access,
          {
            database: definition.database,
            range: keyRange,
            pollInterval: ChangeStream.pollIntervalOf(range),
            capacity: range.capacity
          },
          {
            decodeKey: (key) => definition.key.decode(key),
            decodeValue: (key, record) => decodeValue(definition, key, record)
          }
        ))
    )
  ))

/** Makes `changes`, `watch` and `watchRange` of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionReader<K, V, I>
): Pick<Collection<K, V, I>, ChangeMethods> => ({
  changes: makeChanges(self),
  watch: (key, options = {}) => watch(self, key, options),
  watchRange: (range = {}) => watchRange(self, range)
})
