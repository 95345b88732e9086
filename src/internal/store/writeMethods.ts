/**
 * The methods of a handle that write records.
 *
 * `put` and `delete` are one effect each if the buffer has room.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Reader, Step } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { Entries, ListOf } from "../../Entries.ts"
import type { ByteString, Key } from "../../Key.ts"
import {
  type Closed,
  type CommitError,
  type EngineFailure,
  type KeyEncoding,
  KeyNotFound,
  type ReadOnly,
  type ValueDecoding,
  ValueEncoding
} from "../../StoreError.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { recordsDatabase } from "../databases.ts"
import { copyOf, isSameValue } from "../engineBytes.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as Settled from "../settled.ts"
import type { Transaction } from "../transaction/transaction.ts"
import * as DurableWrites from "./durableWrites.ts"
import { find } from "./readMethods.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = StoreAccess.StoreAccess

const isIterable = (entries: Entries): entries is Iterable<readonly [Key, unknown]> => Symbol.iterator in entries

const none = Exit.succeed(Option.none<unknown>())

const writeOf = (key: ByteString, value: Uint8Array | null): ReadonlyArray<Write> => [[recordsDatabase, key, value]]

/** Begins a call that writes, and encodes its key. */
const writeKey = <A, E>(
  self: Access,
  key: Key,
  use: (key: ByteString, transaction: Transaction | undefined) => Effect.Effect<A, E>
): Effect.Effect<A, E | Closed | ReadOnly | KeyEncoding> =>
  StoreAccess.enterToWrite(self, (transaction): Effect.Effect<A, E | KeyEncoding> => {
    const bytes = self.handle.keys.encode(key)
    return Result.isSuccess(bytes) ? use(bytes.success, transaction) : Effect.fail(bytes.failure)
  })

const encode = (
  self: Access,
  key: Key,
  value: unknown,
  batch?: StructureTable.BatchEncoder
): Result.Result<Uint8Array, ValueEncoding<Key>> =>
  Result.mapError(
    batch === undefined
      ? StructureTable.encode(self.handle.core.structures, value)
      : StructureTable.encodeInBatch(batch, value),
    (failure) => StructureTable.encodingError(failure, StoreAccess.shown(self, key))
  )

const put = (self: Access, key: Key, value: unknown) =>
  writeKey(self, key, (bytes, transaction): Effect.Effect<void, ValueEncoding<Key> | CommitError | Closed> => {
    const encoded = encode(self, key, value)
    return Result.isSuccess(encoded)
      ? StoreAccess.write(self, transaction, writeOf(bytes, encoded.success))
      : Effect.fail(encoded.failure)
  })

const remove = (self: Access, key: Key) =>
  writeKey(self, key, (bytes, transaction) => StoreAccess.remove(self, transaction, writeOf(bytes, null)))

const removeOrFail = (self: Access, key: Key) =>
  writeKey(self, key, (bytes, transaction) =>
    StoreAccess.step(
      self,
      transaction,
      (reader) =>
        Settled.flatMap(reader.has(recordsDatabase, bytes), (exists): Exit.Exit<Step<void>, KeyNotFound<Key>> =>
          exists
            ? Exit.succeed({ result: undefined, writes: writeOf(bytes, null) })
            : Exit.fail(new KeyNotFound(StoreAccess.shown(self, key)))),
      { isDeleting: true, exact: () => [recordsDatabase, bytes, null] }
    ))

// ---------------------------------------------------------------------------
// update
// ---------------------------------------------------------------------------

type UpdateError = ValueEncoding<Key> | ValueDecoding<Key> | EngineFailure
type Update = (current: Option.Option<unknown>) => Option.Option<unknown>
type UpdateStep = StoreAccess.TakeStep<Option.Option<unknown>, UpdateError>

/** Computes the next value of an update, and the write that stores it. */
const nextStep = (
  self: Access,
  key: Key,
  bytes: ByteString,
  f: Update,
  current: Option.Option<unknown>
): Exit.Exit<Step<Option.Option<unknown>>, ValueEncoding<Key>> => {
  const given = CallArguments.nextOf(f, current)
  if (Result.isFailure(given)) {
    return Exit.fail(new ValueEncoding({ ...StoreAccess.shown(self, key), detail: given.failure }))
  }
  const next = given.success
  if (Option.isNone(next)) {
    return Exit.succeed({ result: next, writes: Option.isNone(current) ? [] : writeOf(bytes, null) })
  }
  const encoded = encode(self, key, next.value)
  return Result.isFailure(encoded)
    ? Exit.fail(encoded.failure)
    : Exit.succeed({ result: next, writes: writeOf(bytes, encoded.success) })
}

const updating = (self: Access, key: Key, bytes: ByteString, f: Update): UpdateStep => (reader) =>
  Settled.flatMap(find(self, reader, bytes, key), (current) => nextStep(self, key, bytes, f, current))

/** The same, but calls `f` only once for the same stored bytes. */
const updatingOnce = (self: Access, key: Key, bytes: ByteString, f: Update): UpdateStep => {
  let last: { readonly from: Uint8Array | undefined; readonly taken: ReturnType<UpdateStep> } | undefined
  // Computes from the bytes that were compared. On a backend whose reads wait, another read could find other bytes.
  const compute = (from: Uint8Array | undefined): ReturnType<UpdateStep> =>
    Settled.flatMap(
      from === undefined ? none : Settled.map(StoreAccess.decode(self, bytes, from), Option.some),
      (current) => nextStep(self, key, bytes, f, current)
    )
  return (reader) =>
    Settled.flatMap(reader.get(recordsDatabase, bytes, copyOf), (from) => {
      if (last === undefined || !isSameValue(last.from, from)) last = { from, taken: compute(from) }
      return last.taken
    })
}

/**
 * Returns the write that an update is expected to make. Calls `f` before LMDB's write transaction, because other
 * processes wait while that is open. Inside the transaction `f` runs again only if the stored value has changed. An
 * update whose `f` has failed here fails only if the value inside the transaction is still the same, or it fails again.
 * If reads wait, the write is not known before the transaction.
 */
const expectedOf = (step: UpdateStep, bytes: ByteString) => (reader: Reader): Write => {
  const taken = Result.getOrUndefined(Result.try(() => step(reader)))
  return (taken !== undefined && Settled.isSucceeded(taken) ? taken.value.writes[0] : undefined) ??
    [recordsDatabase, bytes, null]
}

const update = (self: Access, key: Key, f: Update) =>
  writeKey(self, key, (bytes, transaction) => {
    const step = (self.handle.options.shared ? updatingOnce : updating)(self, key, bytes, f)
    return StoreAccess.step(self, transaction, step, { exact: expectedOf(step, bytes) })
  })

// ---------------------------------------------------------------------------
// several records
// ---------------------------------------------------------------------------

/** Encodes the values of a batch again, without the structures that the batch defines. */
const withoutDefinitions = (
  { handle: { core: { structures } } }: Access,
  writes: WriteSet,
  batch: StructureTable.BatchEncoder
): WriteSet => {
  const encoded = new WriteSet()
  for (const [key, bytes] of writes.entriesOf(recordsDatabase)) {
    if (bytes === null) encoded.set(recordsDatabase, key, null)
    else {
      const value = Result.getOrThrow(StructureTable.decodeInBatch(batch, bytes))
      encoded.set(recordsDatabase, key, Result.getOrThrow(StructureTable.encode(structures, value)))
    }
  }
  return encoded
}

/** Commits a batch together with the structures that it defines; without them if another process was faster. */
const writeWithDefinitions = (
  self: Access,
  writes: WriteSet,
  batch: StructureTable.BatchEncoder
): Effect.Effect<void, CommitError | Closed> => {
  for (const definition of StructureTable.batchDefinitions(batch)) writes.set(...definition)
  return Effect.onExit(
    StoreAccess.submit(self, { reads: StructureTable.batchReads(batch), writes }),
    (exit) => StructureTable.endBatch(batch, Exit.isSuccess(exit) && exit.value)
  ).pipe(
    Effect.flatMap((isMade) =>
      isMade ? Effect.void : StoreAccess.writeAll(self, undefined, withoutDefinitions(self, writes, batch))
    )
  )
}

type PutManyError = KeyEncoding | ValueEncoding<Key> | CommitError | Closed

/** Encodes the entries of a call. */
const encodeAll = (
  self: Access,
  entries: Entries,
  batch: StructureTable.BatchEncoder | undefined
): Result.Result<WriteSet, KeyEncoding | ValueEncoding<Key>> => {
  const writes = new WriteSet()
  for (const entry of isIterable(entries) ? entries : Object.entries(entries)) {
    const noPair = CallArguments.notAPair(entry)
    if (noPair !== undefined) return Result.fail(noPair)
    const [key, value] = entry
    const bytes = self.handle.keys.encode(key)
    if (Result.isFailure(bytes)) return Result.fail(bytes.failure)
    const encoded = encode(self, key, value, batch)
    if (Result.isFailure(encoded)) return Result.fail(encoded.failure)
    writes.set(recordsDatabase, bytes.success, encoded.success)
  }
  return Result.succeed(writes)
}

const putMany = (self: Access, entries: Entries) =>
  StoreAccess.enterToWrite(self, (transaction): Effect.Effect<void, PutManyError> => {
    const wrong = CallArguments.notEntries(entries)
    if (wrong !== undefined) return Effect.fail(wrong)
    // A transaction defines no structures: no other reader would know them before its commit.
    const batch = transaction === undefined ? StructureTable.beginBatch(self.handle.core.structures) : undefined
    const writes = encodeAll(self, entries, batch)
    if (Result.isFailure(writes)) {
      const failed = Effect.fail(writes.failure)
      return batch === undefined ? failed : Effect.andThen(StructureTable.endBatch(batch, false), failed)
    }
    return batch !== undefined && StructureTable.hasDefinitions(batch)
      ? writeWithDefinitions(self, writes.success, batch)
      : StoreAccess.writeAll(self, transaction, writes.success)
  })

const removeMany = (self: Access, unwanted: ListOf<Key>) =>
  StoreAccess.enterToWrite(self, (transaction): Effect.Effect<void, KeyEncoding | CommitError | Closed> => {
    const noList = CallArguments.notAList("keys", unwanted)
    if (noList !== undefined) return Effect.fail(noList)
    const writes = new WriteSet()
    for (const key of unwanted) {
      const bytes = self.handle.keys.encode(key)
      if (Result.isFailure(bytes)) return Effect.fail(bytes.failure)
      writes.set(recordsDatabase, bytes.success, null)
    }
    return StoreAccess.writeAll(self, transaction, writes)
  })

const clear = (self: Access) =>
  StoreAccess.enterToWrite(self, (transaction) => {
    const writes = new WriteSet()
    writes.clear(recordsDatabase)
    return StoreAccess.writeAll(self, transaction, writes)
  })

// ---------------------------------------------------------------------------
// the methods
// ---------------------------------------------------------------------------

type Internals = Parameters<typeof DurableWrites.run>[0]

/** Makes the method `delete`. Only a durable deletion can fail as its commit does. */
const makeDelete = (internals: Internals) => {
  function deleteKey(
    key: Key,
    options?: { readonly durable?: false | undefined }
  ): Effect.Effect<void, KeyEncoding | ReadOnly | Closed>
  function deleteKey(
    key: Key,
    options: WriteOptions
  ): Effect.Effect<void, KeyEncoding | ReadOnly | Closed | CommitError>
  function deleteKey(
    key: Key,
    options?: WriteOptions
  ): Effect.Effect<void, KeyEncoding | ReadOnly | Closed | CommitError> {
    const removing = remove(internals.access, key)
    return options === undefined ? removing : DurableWrites.run(internals, "delete", options, removing)
  }
  return deleteKey
}

/** Makes the methods of one handle. */
export const make = (internals: Internals) => {
  const { access } = internals
  return {
    put: (key: Key, value: unknown, options?: WriteOptions) => {
      const putting = put(access, key, value)
      return options === undefined ? putting : DurableWrites.run(internals, "put", options, putting)
    },
    delete: makeDelete(internals),
    deleteOrFail: (key: Key, options?: WriteOptions) => {
      const removing = removeOrFail(access, key)
      return options === undefined ? removing : DurableWrites.run(internals, "deleteOrFail", options, removing)
    },
    update: (key: Key, f: Update, options?: WriteOptions) => {
      const updated = update(access, key, f)
      return options === undefined ? updated : DurableWrites.run(internals, "update", options, updated)
    },
    putMany: (entries: Entries) => putMany(access, entries),
    deleteMany: (unwanted: ListOf<Key>) => removeMany(access, unwanted),
    clear: clear(access),
    flush: StoreAccess.enterToWrite(access, () => access.handle.core.backend.flush)
  }
}
