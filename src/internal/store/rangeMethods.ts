/**
 * The methods of a store that read ranges, and its changes, for one handle.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type { Change, ChangesOptions } from "../../Change.ts"
import type { KeyRange } from "../../Engine.ts"
import { type ByteString, type Key, toBytes } from "../../Key.ts"
import type { Range, StreamRange } from "../../Range.ts"
import type { ChangesMissed, Closed, CommitError, EngineFailure, KeyEncoding, ValueDecoding } from "../../StoreError.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import { recordsDatabase } from "../databases.ts"
import * as CallArguments from "../key/callArguments.ts"
import { toKeyRange } from "../key/keyRange.ts"
import * as Settled from "../settled.ts"
import * as ChangeStream from "./changeStream.ts"
import * as RecordStream from "./recordStream.ts"
import * as StoreAccess from "./storeAccess.ts"

type ReadError = KeyEncoding | Closed | EngineFailure

/** Turns a record into what a stream gives. */
type Project<A, E> = (key: ByteString, bytes: Uint8Array) => Effect.Effect<A, E>

/** Projects the records of a part, some of which have to wait. */
const projectRest = Effect.fnUntraced(function*<A, E>(
  items: Array<A>,
  part: ReadonlyArray<RecordStream.StoredRecord>,
  project: Project<A, E>
): Effect.fn.Return<RecordStream.Converted<A, E>> {
  for (const [key, bytes] of part.slice(items.length)) {
    const exit = yield* Effect.exit(project(key, bytes))
    if (Exit.isFailure(exit)) return { items, failed: Exit.failCause(exit.cause) }
    items.push(exit.value)
  }
  return { items }
})

/** Projects the records of a part, at once as long as none has to wait. */
const projectAll = <A, E>(
  part: ReadonlyArray<RecordStream.StoredRecord>,
  project: Project<A, E>
): Effect.Effect<RecordStream.Converted<A, E>> => {
  const items: Array<A> = []
  for (const [key, bytes] of part) {
    const projected = project(key, bytes)
    if (!Settled.isEnded(projected)) return projectRest(items, part, project)
    if (Exit.isFailure(projected)) return Effect.succeed({ items, failed: Exit.failCause(projected.cause) })
    items.push(projected.value)
  }
  return Effect.succeed({ items })
}

const bytesOf: Project<Uint8Array, never> = (key) => Exit.succeed(toBytes(key))

/** Makes the methods of one handle. */
export const make = (access: StoreAccess.StoreAccess) => {
  const { keys } = access.handle
  const decode: Project<unknown, ValueDecoding<Key> | EngineFailure> = (key, bytes) =>
    StoreAccess.decode(access, key, bytes)

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
      StoreAccess.enter(access, () =>
        Effect.flatMap(checkedRange(range, checks), (keyRange) => {
          const project = projectOf()
          return Effect.map(
            RecordStream.open(
              access,
              { ...range, ...keyRange, database: recordsDatabase, values },
              RecordStream.itself
            ),
            (pull) =>
              Stream.fromPull(Effect.succeed(RecordStream.converting(pull, (part) => projectAll(part, project))))
          )
        }))
    )

  const withValue =
    <K, E>(nameOf: Project<K, E>): Project<readonly [K, unknown], E | ValueDecoding<Key> | EngineFailure> =>
    (key, bytes) =>
      Settled.flatMap(nameOf(key, bytes), (name) => Settled.map(decode(key, bytes), (value) => [name, value] as const))

  type BytesKeys = StreamRange & { readonly decodeKeys: false }
  type TextKeys = StreamRange & { readonly decodeKeys?: true | undefined }
  type AnyKeys = StreamRange & { readonly decodeKeys?: boolean | undefined }

  /** What a key is given as. Reads the range only after it was checked. */
  const nameOf = ({ decodeKeys }: AnyKeys): Project<string | Uint8Array, KeyEncoding> =>
    decodeKeys === false ? bytesOf : (key) => Effect.fromResult(keys.decode(key))

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
    StoreAccess.enterToWrite(access, (transaction): Effect.Effect<number, ReadError | CommitError> => {
      const refused = CallArguments.emptyPrefix(range)
      if (refused !== undefined) return Effect.fail(refused)
      return Effect.flatMap(
        Stream.runCollect(stream(range, false, () => Exit.succeed, CallArguments.rangeChecks)),
        (unwanted) => {
          const writes = new WriteSet()
          for (const key of unwanted) writes.set(recordsDatabase, key, null)
          return Effect.as(StoreAccess.writeAll(access, transaction, writes), unwanted.length)
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
        ChangeStream.make(access, {
          database: recordsDatabase,
          range: keyRange,
          capacity,
          decodeKey: (key): Effect.Effect<string | Uint8Array, KeyEncoding> =>
            decodeKeys === false ? Effect.succeed(toBytes(key)) : Effect.fromResult(keys.decode(key)),
          decodeValue: (key, bytes) => ChangeStream.decodingOwn(decode(key, bytes))
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
