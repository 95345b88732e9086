/**
 * The methods that read ranges of records and delete a range.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { KeyRange } from "../../Engine.ts"
import { type ByteString, type Key, toBytes } from "../../Key.ts"
import type { Range, StreamRange } from "../../Range.ts"
import type { Closed, CommitError, EngineFailure, KeyEncoding, ValueDecoding } from "../../StoreError.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import * as CallArguments from "../key/callArguments.ts"
import { toKeyRange } from "../key/keyRange.ts"
import * as Settled from "../settled.ts"
import * as RecordAccess from "./recordAccess.ts"
import * as RecordStream from "./recordStream.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = RecordAccess.RecordAccess

type ReadError = KeyEncoding | Closed | EngineFailure

/** Converts a record to an item of a stream. */
type Project<A, E> = (key: ByteString, bytes: Uint8Array) => Effect.Effect<A, E>

/** Projects the other records of a part, at least one of which has to wait. */
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

/** Projects the records of a part. Ends at once if none has to wait. */
const projectAll = <A, E>(
  part: ReadonlyArray<RecordStream.StoredRecord>,
  project: Project<A, E>
): Effect.Effect<RecordStream.Converted<A, E>> => {
  const items: Array<A> = []
  for (const [key, bytes] of part) {
    const projected = project(key, bytes)
    if (Settled.isSucceeded(projected)) items.push(projected.value)
    else if (!Settled.isSettled(projected)) return projectRest(items, part, project)
    else if (Exit.isFailure(projected)) return Effect.succeed({ items, failed: Exit.failCause(projected.cause) })
  }
  return Effect.succeed({ items })
}

const decode = (self: Access): Project<unknown, ValueDecoding<Key> | EngineFailure> => (key, bytes) =>
  RecordAccess.decode(self, key, bytes)

const keyBytes = (key: ByteString): Result.Result<Uint8Array> => Result.succeed(toBytes(key))

const storedKey: Project<ByteString, never> = (key) => Exit.succeed(key)

// ---------------------------------------------------------------------------
// streams
// ---------------------------------------------------------------------------

const checkedRange = (
  { handle: { keys } }: Access,
  range: StreamRange,
  checks: typeof CallArguments.streamChecks
): Effect.Effect<KeyRange, KeyEncoding> =>
  Effect.andThen(
    CallArguments.checked("the range", range, checks),
    Effect.suspend(() => Effect.fromResult(toKeyRange(range, keys)))
  )

/** What a stream reads of a range, and how it converts the records. */
interface RangeStreamOptions<A, E> {
  /** Whether values are read. */
  readonly values: boolean
  /** Makes the projection. It is called after the range was checked. */
  readonly project: () => Project<A, E>
  /** The properties that the range can have. Default: those of a stream. */
  readonly checks?: typeof CallArguments.streamChecks
}

const stream = <A, E>(
  self: Access,
  range: StreamRange,
  options: RangeStreamOptions<A, E>
): Stream.Stream<A, E | ReadError> =>
  Stream.unwrap(
    StoreAccess.enter(self, () =>
      Effect.flatMap(checkedRange(self, range, options.checks ?? CallArguments.streamChecks), (keyRange) => {
        const project = options.project()
        return Effect.map(
          RecordStream.open(
            self,
            { ...range, ...keyRange, database: self.database, values: options.values },
            RecordStream.itself
          ),
          (pull) =>
            Stream.fromPull(Effect.succeed(RecordStream.converting(pull, (part) => projectAll(part, project))))
        )
      }))
  )

type BytesKeys = StreamRange & { readonly decodeKeys: false }
type TextKeys = StreamRange & { readonly decodeKeys?: true | undefined }
type AnyKeys = StreamRange & { readonly decodeKeys?: boolean | undefined }

/** Converts the key of a record to an item of a stream. */
type ProjectKey<K, E> = (key: ByteString) => Result.Result<K, E>

/** Projects a key to text or bytes, as `decodeKeys` says. */
const keyOf = ({ handle: { keys } }: Access, { decodeKeys }: AnyKeys): ProjectKey<string | Uint8Array, KeyEncoding> =>
  decodeKeys === false ? keyBytes : keys.decode

const makeKeys = (self: Access) => {
  function keys(range: BytesKeys): Stream.Stream<Uint8Array, ReadError>
  function keys(range?: TextKeys): Stream.Stream<string, ReadError>
  function keys(range: AnyKeys = {}): Stream.Stream<string | Uint8Array, ReadError> {
    return stream(self, range, {
      values: false,
      project: () => {
        const project = keyOf(self, range)
        return (key) => Effect.fromResult(project(key))
      }
    })
  }
  return keys
}

type EntriesError = ReadError | ValueDecoding<Key>

/** Projects a record to its key and value. */
const withValue = <K, E>(
  self: Access,
  project: ProjectKey<K, E>
): Project<readonly [K, unknown], E | ValueDecoding<Key> | EngineFailure> =>
(key, bytes) => {
  const given = project(key)
  return Result.isFailure(given)
    ? Exit.fail(given.failure)
    : Settled.map(RecordAccess.decode(self, key, bytes), (value) => [given.success, value] as const)
}

const makeEntries = (self: Access) => {
  function entries(range: BytesKeys): Stream.Stream<readonly [Uint8Array, unknown], EntriesError>
  function entries(range?: TextKeys): Stream.Stream<readonly [string, unknown], EntriesError>
  function entries(range: AnyKeys = {}): Stream.Stream<readonly [string | Uint8Array, unknown], EntriesError> {
    return stream(self, range, { values: true, project: () => withValue(self, keyOf(self, range)) })
  }
  return entries
}

const values = (self: Access, range: StreamRange = {}) =>
  stream(self, range, { values: true, project: () => decode(self) })

// ---------------------------------------------------------------------------
// whole ranges
// ---------------------------------------------------------------------------

const count = (self: Access, range: Range = {}): Effect.Effect<number, ReadError> =>
  Stream.runCount(
    stream(self, range, { values: false, project: () => storedKey, checks: CallArguments.rangeChecks })
  )

const deleteRange = (self: Access, range: Range) =>
  StoreAccess.enterToWrite(self, (transaction): Effect.Effect<number, ReadError | CommitError> => {
    const refused = CallArguments.emptyPrefix(range)
    if (refused !== undefined) return Effect.fail(refused)
    const keys = stream(self, range, {
      values: false,
      project: () => storedKey,
      checks: CallArguments.rangeChecks
    })
    return Effect.flatMap(Stream.runCollect(keys), (found) => {
      const writes = new WriteSet()
      for (const key of found) writes.set(self.database, key, null)
      return Effect.as(StoreAccess.writeAll(self, transaction, writes), found.length)
    })
  })

/** Makes the methods of one handle. */
export const make = (self: Access) => ({
  keys: makeKeys(self),
  values: (range?: StreamRange) => values(self, range),
  entries: makeEntries(self),
  count: (range?: Range) => count(self, range),
  deleteRange: (range: Range) => deleteRange(self, range)
})
