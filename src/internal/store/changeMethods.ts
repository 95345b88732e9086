/**
 * The methods that follow the changes of records: `changes`, `watch` and `watchRange`.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Change, ChangesOptions, ChangeWithPrevious, PollOptions, SinceError, WatchEvent } from "../../Change.ts"
import { type ByteString, type Key, toBytes } from "../../Key.ts"
import type { WatchRange } from "../../Range.ts"
import type { ChangesMissed, Closed, EngineFailure, KeyEncoding, ValueDecoding } from "../../StoreError.ts"
import * as CallArguments from "../key/callArguments.ts"
import { toKeyRange } from "../key/keyRange.ts"
import * as ChangeStream from "./changeStream.ts"
import * as RecordAccess from "./recordAccess.ts"
import * as WatchStream from "./watchStream.ts"

type Access = RecordAccess.RecordAccess

type BytesKeys = { readonly decodeKeys: false }
type TextKeys = { readonly decodeKeys?: true | undefined }
type AnyKeys = { readonly decodeKeys?: boolean | undefined }

const decodeKey =
  ({ handle: { keys } }: Access, { decodeKeys }: AnyKeys) =>
  (key: ByteString): Effect.Effect<string | Uint8Array, KeyEncoding> =>
    decodeKeys === false ? Effect.succeed(toBytes(key)) : Effect.fromResult(keys.decode(key))

const decodeValue = (self: Access) => (key: ByteString, bytes: Uint8Array) => RecordAccess.decode(self, key, bytes)

// ---------------------------------------------------------------------------
// changes
// ---------------------------------------------------------------------------

type NoPrevious = { readonly previous?: false | undefined }
type WithPrevious = { readonly previous: true }
type Changes<C, S> = Stream.Stream<C, KeyEncoding | ChangesMissed | Closed | SinceError<S>>
type Since = number | undefined

/** What `changes` takes. Its overloads say which change follows from which options. */
type AnyChangesOptions = ChangesOptions & AnyKeys & { readonly previous?: boolean | undefined }

const openChanges = (self: Access, options: AnyChangesOptions) =>
  Effect.suspend(() => {
    const prefix = options.prefix === undefined ? {} : { prefix: options.prefix }
    return Effect.map(Effect.fromResult(toKeyRange(prefix, self.handle.keys)), (range) => {
      const streamOptions = {
        ...options,
        decodeKey: decodeKey(self, options),
        database: self.database,
        range,
        decodeValue: (key: ByteString, bytes: Uint8Array) =>
          ChangeStream.decodingOwn(RecordAccess.decode(self, key, bytes))
      }
      return options.previous === true
        ? ChangeStream.makeWithPrevious(self, streamOptions)
        : ChangeStream.make(self, streamOptions)
    })
  })

const makeChanges = (self: Access) => {
  function changes(
    options?: ChangesOptions<undefined> & TextKeys & NoPrevious
  ): Changes<Change<string, unknown, ValueDecoding<Key>>, undefined>
  function changes<const S extends Since = undefined>(
    options: ChangesOptions<S> & BytesKeys & WithPrevious
  ): Changes<ChangeWithPrevious<Uint8Array, unknown, ValueDecoding<Key>>, S>
  function changes<const S extends Since = undefined>(
    options: ChangesOptions<S> & TextKeys & WithPrevious
  ): Changes<ChangeWithPrevious<string, unknown, ValueDecoding<Key>>, S>
  function changes<const S extends Since = undefined>(
    options: ChangesOptions<S> & BytesKeys & NoPrevious
  ): Changes<Change<Uint8Array, unknown, ValueDecoding<Key>>, S>
  function changes(
    options: ChangesOptions<number> & { readonly since: number } & TextKeys & NoPrevious
  ): Changes<Change<string, unknown, ValueDecoding<Key>>, number>
  function changes(
    options: AnyChangesOptions = {}
  ): Changes<
    | Change<string | Uint8Array, unknown, ValueDecoding<Key>>
    | ChangeWithPrevious<string | Uint8Array, unknown, ValueDecoding<Key>>,
    number
  > {
    return Stream.unwrap(
      Effect.andThen(
        CallArguments.checked("the options of changes", options, CallArguments.changesChecks),
        openChanges(self, options)
      )
    )
  }
  return changes
}

// ---------------------------------------------------------------------------
// live queries
// ---------------------------------------------------------------------------

type WatchError = KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure

const watch = (
  self: Access,
  key: Key,
  options: PollOptions = {}
): Stream.Stream<Option.Option<unknown>, WatchError> =>
  Stream.unwrap(Effect.andThen(
    CallArguments.checked("the options of watch", options, CallArguments.pollChecks),
    Effect.suspend(() =>
      Effect.map(Effect.fromResult(self.handle.keys.encode(key)), (bytes) =>
        WatchStream.one(
          self,
          bytes,
          { database: self.database, pollInterval: ChangeStream.pollIntervalOf(options) },
          decodeValue(self)
        ))
    )
  ))

const openWatchRange = (self: Access, range: WatchRange & AnyKeys) =>
  Effect.suspend(() =>
    Effect.map(Effect.fromResult(toKeyRange(range, self.handle.keys)), (keyRange) =>
      WatchStream.range(
        self,
        {
          database: self.database,
          range: keyRange,
          pollInterval: ChangeStream.pollIntervalOf(range),
          capacity: range.capacity
        },
        { decodeKey: decodeKey(self, range), decodeValue: decodeValue(self) }
      ))
  )

const makeWatchRange = (self: Access) => {
  function watchRange(range: WatchRange & BytesKeys): Stream.Stream<WatchEvent<Uint8Array, unknown>, WatchError>
  function watchRange(range?: WatchRange & TextKeys): Stream.Stream<WatchEvent<string, unknown>, WatchError>
  function watchRange(
    range: WatchRange & AnyKeys = {}
  ): Stream.Stream<WatchEvent<string | Uint8Array, unknown>, WatchError> {
    return Stream.unwrap(Effect.andThen(
      CallArguments.checked("the range", range, CallArguments.watchChecks),
      openWatchRange(self, range)
    ))
  }
  return watchRange
}

/** Makes the methods of one handle. */
export const make = (self: Access) => ({
  changes: makeChanges(self),
  watch: (key: Key, options?: PollOptions) => watch(self, key, options),
  watchRange: makeWatchRange(self)
})
