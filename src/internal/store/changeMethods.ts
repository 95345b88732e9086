/**
 * The methods that tell of the changes of records.
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

/** Makes the methods of one handle. */
export const make = (access: RecordAccess.RecordAccess) => {
  const { keys } = access.handle

  const codecOf = ({ decodeKeys }: { readonly decodeKeys?: boolean | undefined }) => ({
    decodeKey: (key: ByteString): Effect.Effect<string | Uint8Array, KeyEncoding> =>
      decodeKeys === false ? Effect.succeed(toBytes(key)) : Effect.fromResult(keys.decode(key))
  })

  type BytesKeys = { readonly decodeKeys: false }
  type TextKeys = { readonly decodeKeys?: true | undefined }
  type NoPrevious = { readonly previous?: false | undefined }
  type WithPrevious = { readonly previous: true }
  type Changes<C, S> = Stream.Stream<C, KeyEncoding | ChangesMissed | Closed | SinceError<S>>
  type Since = number | undefined

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
    options: ChangesOptions & { readonly decodeKeys?: boolean | undefined; readonly previous?: boolean | undefined } =
      {}
  ): Changes<
    | Change<string | Uint8Array, unknown, ValueDecoding<Key>>
    | ChangeWithPrevious<string | Uint8Array, unknown, ValueDecoding<Key>>,
    number
  > {
    const subscribe = Effect.suspend(() => {
      const prefix = options.prefix === undefined ? {} : { prefix: options.prefix }
      return Effect.map(Effect.fromResult(toKeyRange(prefix, keys)), (range) => {
        const streamOptions = {
          ...options,
          ...codecOf(options),
          database: access.database,
          range,
          decodeValue: (key: ByteString, bytes: Uint8Array) =>
            ChangeStream.decodingOwn(RecordAccess.decode(access, key, bytes))
        }
        return options.previous === true
          ? ChangeStream.makeWithPrevious(access, streamOptions)
          : ChangeStream.make(access, streamOptions)
      })
    })
    return Stream.unwrap(
      Effect.andThen(
        CallArguments.checked("the options of changes", options, CallArguments.changesChecks),
        subscribe
      )
    )
  }

  const decodeValue = (key: ByteString, bytes: Uint8Array) => RecordAccess.decode(access, key, bytes)

  type WatchError = KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure

  const watch = (key: Key, options: PollOptions = {}): Stream.Stream<Option.Option<unknown>, WatchError> =>
    Stream.unwrap(Effect.andThen(
      CallArguments.checked("the options of watch", options, CallArguments.pollChecks),
      Effect.suspend(() =>
        Effect.map(Effect.fromResult(keys.encode(key)), (bytes) =>
          WatchStream.one(
            access,
            bytes,
            { database: access.database, pollInterval: ChangeStream.pollIntervalOf(options) },
            decodeValue
          ))
      )
    ))

  function watchRange(range: WatchRange & BytesKeys): Stream.Stream<WatchEvent<Uint8Array, unknown>, WatchError>
  function watchRange(range?: WatchRange & TextKeys): Stream.Stream<WatchEvent<string, unknown>, WatchError>
  function watchRange(
    range: WatchRange & { readonly decodeKeys?: boolean | undefined } = {}
  ): Stream.Stream<WatchEvent<string | Uint8Array, unknown>, WatchError> {
    return Stream.unwrap(Effect.andThen(
      CallArguments.checked("the range", range, CallArguments.watchChecks),
      Effect.suspend(() =>
        Effect.map(Effect.fromResult(toKeyRange(range, keys)), (keyRange) =>
          WatchStream.range(
            access,
            {
              database: access.database,
              range: keyRange,
              pollInterval: ChangeStream.pollIntervalOf(range),
              capacity: range.capacity
            },
            { ...codecOf(range), decodeValue }
          ))
      )
    ))
  }

  return { changes, watch, watchRange }
}
