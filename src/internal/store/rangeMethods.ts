/**
 * The methods of a store that read ranges, and its changes, for one of its holders.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Change, ChangesOptions } from "../../Change.ts"
import type { KeyRange } from "../../Engine.ts"
import { type ByteString, type Key, toBytes } from "../../Key.ts"
import { type Range, type StreamRange, toKeyRange } from "../../Range.ts"
import type { ChangesMissed, Closed, CommitError, EngineFailure, KeyEncoding, ValueDecoding } from "../../StoreError.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import { recordsDatabase } from "../databases.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as ChangeStream from "./changeStream.ts"
import * as RecordStream from "./recordStream.ts"
import type { Holder, StoreAccess } from "./storeAccess.ts"

type ReadError = KeyEncoding | Closed | EngineFailure

/** Turns a record into what a stream gives. */
type Project<A, E> = (key: ByteString, bytes: Uint8Array) => Result.Result<A, E>

const projectAll = <A, E>(
  part: ReadonlyArray<RecordStream.StoredRecord>,
  project: Project<A, E>
): RecordStream.Converted<A, E> => {
  const items: Array<A> = []
  for (const [key, bytes] of part) {
    const projected = project(key, bytes)
    if (Result.isFailure(projected)) return { items, failed: { error: projected.failure } }
    items.push(projected.success)
  }
  return { items }
}

const bytesOf: Project<Uint8Array, never> = (key) => Result.succeed(toBytes(key))

/** Makes the methods of one holder. */
export const make = (holder: Holder, access: StoreAccess) => {
  const { keys } = holder
  const { decode } = access
  const open = RecordStream.make(holder, access)

  const checkedRange = (
    range: StreamRange,
    checks = CallArguments.streamChecks
  ): Effect.Effect<KeyRange, KeyEncoding> =>
    Effect.andThen(
      CallArguments.checked("the range", range, checks),
      Effect.suspend(() => Effect.fromResult(toKeyRange(range, keys)))
    )

  const stream = <A, E>(
    range: StreamRange,
    values: boolean,
    projectOf: () => Project<A, E>,
    checks = CallArguments.streamChecks
  ): Stream.Stream<A, E | ReadError> =>
    Stream.unwrap(
      access.enter(() =>
        Effect.flatMap(checkedRange(range, checks), (keyRange) => {
          const project = projectOf()
          return Effect.map(
            open({ ...range, ...keyRange, database: recordsDatabase, values }, RecordStream.itself),
            (pull) =>
              Stream.fromPull(
                Effect.succeed(RecordStream.converting(pull, (part) => Effect.succeed(projectAll(part, project))))
              )
          )
        })
      )
    )

  const withValue =
    <K, E>(nameOf: Project<K, E>): Project<readonly [K, unknown], E | ValueDecoding<Key> | EngineFailure> =>
    (
      key,
      bytes
    ) => {
      const name = nameOf(key, bytes)
      if (Result.isFailure(name)) return Result.fail(name.failure)
      return Result.map(decode(key, bytes), (value) => [name.success, value])
    }

  type BytesKeys = StreamRange & { readonly decodeKeys: false }
  type TextKeys = StreamRange & { readonly decodeKeys?: true | undefined }
  type AnyKeys = StreamRange & { readonly decodeKeys?: boolean | undefined }

  /** What a key is given as. Reads the range only after it was checked. */
  const nameOf = ({ decodeKeys }: AnyKeys): Project<string | Uint8Array, KeyEncoding> =>
    decodeKeys === false ? bytesOf : keys.decode

  function keysIn(range: BytesKeys): Stream.Stream<Uint8Array, ReadError>
  function keysIn(range?: TextKeys): Stream.Stream<string, ReadError>
  function keysIn(range: AnyKeys = {}): Stream.Stream<string | Uint8Array, ReadError> {
    return stream(range, false, () => nameOf(range))
  }

  type EntriesError = ReadError | ValueDecoding<Key>

  function entriesIn(range: BytesKeys): Stream.Stream<readonly [Uint8Array, unknown], EntriesError>
  function entriesIn(range?: TextKeys): Stream.Stream<readonly [string, unknown], EntriesError>
  function entriesIn(range: AnyKeys = {}): Stream.Stream<readonly [string | Uint8Array, unknown], EntriesError> {
    return stream(range, true, () => withValue(nameOf(range)))
  }

  const valuesIn = (range: StreamRange = {}) => stream(range, true, () => decode)

  const count = (range: Range = {}): Effect.Effect<number, ReadError> =>
    Stream.runCount(stream(range, false, () => bytesOf, CallArguments.rangeChecks))

  const deleteRange = (range: Range) =>
    access.enterToWrite((transaction): Effect.Effect<number, ReadError | CommitError> => {
      const refused = CallArguments.emptyPrefix(range)
      if (refused !== undefined) return Effect.fail(refused)
      return Effect.flatMap(
        Stream.runCollect(stream(range, false, () => Result.succeed, CallArguments.rangeChecks)),
        (unwanted) => {
          const writes = new WriteSet()
          for (const key of unwanted) writes.set(recordsDatabase, key, null)
          return Effect.as(access.writeAll(transaction, writes), unwanted.length)
        }
      )
    })

  type BytesChanges = ChangesOptions & { readonly decodeKeys: false }
  type TextChanges = ChangesOptions & { readonly decodeKeys?: true | undefined }
  type AnyChanges = ChangesOptions & { readonly decodeKeys?: boolean | undefined }
  type ChangesError = KeyEncoding | ChangesMissed | Closed

  function changes(options: BytesChanges): Stream.Stream<Change<Uint8Array, unknown, ValueDecoding<Key>>, ChangesError>
  function changes(options?: TextChanges): Stream.Stream<Change<string, unknown, ValueDecoding<Key>>, ChangesError>
  function changes(
    options: AnyChanges = {}
  ): Stream.Stream<Change<string | Uint8Array, unknown, ValueDecoding<Key>>, ChangesError> {
    const subscribe = Effect.suspend(() => {
      const { capacity, decodeKeys, ...range } = options
      return Effect.map(Effect.fromResult(toKeyRange(range, keys)), (keyRange) =>
        ChangeStream.make(holder, access, {
          database: recordsDatabase,
          range: keyRange,
          capacity,
          decodeKey: (key): Effect.Effect<string | Uint8Array, KeyEncoding> =>
            decodeKeys === false ? Effect.succeed(toBytes(key)) : Effect.fromResult(keys.decode(key)),
          decodeValue: (key, bytes) => ChangeStream.decodingOwn(Effect.fromResult(decode(key, bytes)))
        }))
    })
    return Stream.unwrap(
      Effect.andThen(
        CallArguments.checked("the options of changes", options, CallArguments.changesChecks),
        subscribe
      )
    )
  }

  return { keys: keysIn, values: valuesIn, entries: entriesIn, count, deleteRange, changes }
}
