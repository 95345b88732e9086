/**
 * Makes the methods of a collection that stream its changes.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Change, ChangeWithPrevious, PollOptions, SinceError } from "../../Change.ts"
import type { CollectionChangesOptions } from "../../CollectionChanges.ts"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { Collection } from "../../CollectionService.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { WatchRange } from "../../Range.ts"
import type { ChangesMissed, Closed, EngineFailure, KeyEncoding, ValueDecoding } from "../../StoreError.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as ChangeStream from "../store/changeStream.ts"
import type { StoreAccess } from "../store/storeAccess.ts"
import * as WatchStream from "../store/watchStream.ts"
import type { Definition } from "./collectionDefinition.ts"
import type { KeyCodec } from "./typedKeyCodec.ts"
import * as TypedRanges from "./typedRanges.ts"

/** A collection whose changes are streamed. */
interface CollectionChanges<K extends KeySchema, V extends ValueSchema> {
  readonly access: StoreAccess
  readonly name: string
  readonly database: string
  readonly keyCodec: KeyCodec<K>
  readonly decodeValue: (
    key: ByteString,
    record: Uint8Array
  ) => Effect.Effect<V["Type"], ValueDecoding<K["Type"]> | EngineFailure, V["DecodingServices"]>
}

type PlainChange<K extends KeySchema, V extends ValueSchema> = Change<
  K["Type"],
  V["Type"],
  ValueDecoding<K["Type"]>,
  V["DecodingServices"]
>

type WithPrevious<K extends KeySchema, V extends ValueSchema> = ChangeWithPrevious<
  K["Type"],
  V["Type"],
  ValueDecoding<K["Type"]>,
  V["DecodingServices"]
>

/** The options of `changes`, with any value of `since` and `previous`. */
type AnyOptions<K extends KeySchema> = CollectionChangesOptions<K> & { readonly previous?: boolean | undefined }

type WatchedRange<K extends KeySchema> =
  & TypedRanges.TypedRange<K>
  & Pick<WatchRange, "capacity" | "pollInterval">

const decodeKey =
  <K extends KeySchema, V extends ValueSchema>({ keyCodec }: CollectionChanges<K, V>) => (key: ByteString) =>
    keyCodec.decode(key)

/** Subscribes to the changes that the options select. */
const subscribe = <K extends KeySchema, V extends ValueSchema>(
  self: CollectionChanges<K, V>,
  options: AnyOptions<K>
) => {
  const { access, database, decodeValue, keyCodec } = self
  const prefix = options.prefix === undefined ? {} : { prefix: options.prefix }
  return Effect.map(TypedRanges.toKeyRange(keyCodec, prefix, false), (range) => {
    const streamOptions = {
      ...options,
      database,
      range,
      decodeKey: decodeKey(self),
      decodeValue: (key: ByteString, record: Uint8Array) => ChangeStream.decodingOwn(decodeValue(key, record))
    }
    return options.previous === true
      ? ChangeStream.makeWithPrevious(access, streamOptions)
      : ChangeStream.make(access, streamOptions)
  })
}

const makeChanges = <K extends KeySchema, V extends ValueSchema>(self: CollectionChanges<K, V>) => {
  type Changes<C, S> = Stream.Stream<
    C,
    KeyEncoding | ChangesMissed | Closed | SinceError<S>,
    K["DecodingServices"] | V["DecodingServices"]
  >
  function changes(
    options?: CollectionChangesOptions<K, undefined> & { readonly previous?: false | undefined }
  ): Changes<PlainChange<K, V>, undefined>
  function changes<const S extends number | undefined = undefined>(
    options: CollectionChangesOptions<K, S> & { readonly previous: true }
  ): Changes<WithPrevious<K, V>, S>
  function changes(
    options: CollectionChangesOptions<K, number> & { readonly since: number; readonly previous?: false | undefined }
  ): Changes<PlainChange<K, V>, number>
  function changes(options: AnyOptions<K> = {}): Changes<PlainChange<K, V> | WithPrevious<K, V>, number> {
    return Stream.unwrap(Effect.andThen(
      CallArguments.checked("the options of changes", options, CallArguments.typedChangesChecks, self.name),
      Effect.suspend(() => subscribe(self, options))
    ))
  }
  return changes
}

const watch = <K extends KeySchema, V extends ValueSchema>(
  { access, database, decodeValue, keyCodec, name }: CollectionChanges<K, V>,
  key: K["Type"],
  options: PollOptions
) =>
  Stream.unwrap(Effect.andThen(
    CallArguments.checked("the options of watch", options, CallArguments.pollChecks, name),
    Effect.suspend(() =>
      Effect.map(keyCodec.encode(key), (bytes) =>
        WatchStream.one(access, bytes, { database, pollInterval: ChangeStream.pollIntervalOf(options) }, decodeValue))
    )
  ))

const watchRange = <K extends KeySchema, V extends ValueSchema>(
  self: CollectionChanges<K, V>,
  range: WatchedRange<K>
) => {
  const { access, database, decodeValue, keyCodec, name } = self
  return Stream.unwrap(Effect.andThen(
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
          { decodeKey: decodeKey(self), decodeValue }
        ))
    )
  ))
}

/** Makes `changes`, `watch` and `watchRange` of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  access: StoreAccess,
  { database, key: keyCodec, name }: Definition<K, V, I>,
  decodeValue: CollectionChanges<K, V>["decodeValue"]
): Pick<Collection<K, V, I>, "changes" | "watch" | "watchRange"> => {
  const self: CollectionChanges<K, V> = { access, name, database, keyCodec, decodeValue }
  return {
    changes: makeChanges(self),
    watch: (key, options = {}) => watch(self, key, options),
    watchRange: (range = {}) => watchRange(self, range)
  }
}
