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
import type { PutOptions } from "../../StoreService.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { expiryDatabase, recordsDatabase } from "../databases.ts"
import { copyOf, isSameValue } from "../engineBytes.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as RecordLayout from "../reader/recordLayout.ts"
import * as Settled from "../settled.ts"
import type { Transaction } from "../transaction/transaction.ts"
import * as ExpiringValue from "../value/expiringValue.ts"
import { tooLong } from "../value/valueCodec.ts"
import * as DurableWrites from "./durableWrites.ts"
import * as Expiry from "./expiry.ts"
import * as ExpiryTime from "./expiryTime.ts"
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

export const encode = (
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

/** Refuses a value that is too long with its time. */
const expiring = (
  self: Access,
  key: Key,
  value: Uint8Array,
  time: number
): Result.Result<Uint8Array, ValueEncoding<Key>> => {
  const { maxValueBytes } = self.handle.core.backend
  const bytes = ExpiringValue.join(time, value)
  return bytes.length <= maxValueBytes
    ? Result.succeed(bytes)
    : Result.fail(new ValueEncoding({ ...StoreAccess.shown(self, key), detail: tooLong(bytes.length, maxValueBytes) }))
}

/** Writes a value that expires. The call reads what it replaces, to delete the entry of that in `expiry`. */
const putExpiring = (self: Access, key: Key, value: unknown, time: number) =>
  writeKey(self, key, (bytes, transaction): Effect.Effect<void, ValueEncoding<Key> | CommitError | Closed> => {
    const { expiry } = self.handle.core
    const encoded = Result.flatMap(encode(self, key, value), (plain) => expiring(self, key, plain, time))
    if (Result.isFailure(encoded)) return Effect.fail(encoded.failure)
    const step: Exit.Exit<Step<void>> = Exit.succeed({ result: undefined, writes: writeOf(bytes, encoded.success) })
    return Effect.andThen(Expiry.ensureDatabase(expiry), StoreAccess.step(self, transaction, () => step))
  })

/** When the records of a call expire; `undefined` where they stay. */
const timeOf = (
  { handle: { core: { expiry } } }: Access,
  what: string,
  options: PutOptions,
  checks: CallArguments.Checks
): Result.Result<number | undefined, KeyEncoding> =>
  Result.map(
    CallArguments.ttlOf(what, options, checks),
    (ttl) => ttl === undefined ? undefined : ExpiryTime.afterDuration(ttl, expiry.now())
  )

const putWith = (self: Access, key: Key, value: unknown, options: PutOptions) =>
  Effect.suspend(() =>
    Result.match(timeOf(self, "the options of put", options, CallArguments.putChecks), {
      onFailure: (error) => StoreAccess.enterToWrite(self, () => Effect.fail(error)),
      onSuccess: (time) => time === undefined ? put(self, key, value) : putExpiring(self, key, value, time)
    })
  )

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

/** Computes the next value, or says what is wrong with the arguments of the call. */
type TakeNext = (current: Option.Option<unknown>) => Result.Result<Option.Option<unknown>, string>

type UpdateStep = StoreAccess.TakeStep<Option.Option<unknown>, UpdateError>

/** Computes the next value of an update, and the write that stores it. */
const nextStep = (
  self: Access,
  key: Key,
  bytes: ByteString,
  take: TakeNext,
  current: Option.Option<unknown>,
  time: number | undefined
): Exit.Exit<Step<Option.Option<unknown>>, ValueEncoding<Key>> => {
  const given = take(current)
  if (Result.isFailure(given)) {
    return Exit.fail(new ValueEncoding({ ...StoreAccess.shown(self, key), detail: given.failure }))
  }
  const next = given.success
  if (next === current) return Exit.succeed({ result: next, writes: [] })
  if (Option.isNone(next)) {
    return Exit.succeed({ result: next, writes: Option.isNone(current) ? [] : writeOf(bytes, null) })
  }
  const plain = encode(self, key, next.value)
  const encoded = time === undefined ? plain : Result.flatMap(plain, (value) => expiring(self, key, value, time))
  return Result.isFailure(encoded)
    ? Exit.fail(encoded.failure)
    : Exit.succeed({ result: next, writes: writeOf(bytes, encoded.success) })
}

/** What an update finds: the value, being decoded, and the time at which it expires, which the update keeps. */
const findToUpdate = (
  self: Access,
  reader: Reader,
  bytes: ByteString,
  key: Key
): Effect.Effect<
  { readonly current: Option.Option<unknown>; readonly time: number | undefined },
  ValueDecoding<Key> | EngineFailure
> => {
  // Of one read: between two, the time of the record could come.
  let time: number | undefined
  const decoding = reader.get(recordsDatabase, bytes, (stored) => {
    time = RecordLayout.timeOf(stored)
    return StoreAccess.decode(self, bytes, stored, key)
  })
  return Settled.flatMap(
    decoding,
    (found) =>
      Settled.map(found === undefined ? none : Settled.map(found, Option.some), (current) => ({ current, time }))
  )
}

const updating = (self: Access, key: Key, bytes: ByteString, take: TakeNext): UpdateStep => (reader) =>
  Settled.flatMap(
    findToUpdate(self, reader, bytes, key),
    ({ current, time }) => nextStep(self, key, bytes, take, current, time)
  )

/** The same, but calls `take` only once for the same stored bytes. */
const updatingOnce = (self: Access, key: Key, bytes: ByteString, take: TakeNext): UpdateStep => {
  let last: { readonly from: Uint8Array | undefined; readonly taken: ReturnType<UpdateStep> } | undefined
  // Computes from the bytes that were compared. On a backend whose reads wait, another read could find other bytes.
  const compute = (from: Uint8Array | undefined): ReturnType<UpdateStep> =>
    Settled.flatMap(
      from === undefined ? none : Settled.map(StoreAccess.decode(self, bytes, from), Option.some),
      (current) => nextStep(self, key, bytes, take, current, from === undefined ? undefined : RecordLayout.timeOf(from))
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

/** Updates a record, and gives its next value. If that is `current` itself, nothing is written. */
export const updateBy = (self: Access, key: Key, take: TakeNext) =>
  writeKey(self, key, (bytes, transaction) => {
    const step = (self.handle.options.shared ? updatingOnce : updating)(self, key, bytes, take)
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
  for (const [entry, write] of writes.entriesOf(expiryDatabase)) encoded.set(expiryDatabase, entry, write)
  for (const [key, bytes] of writes.entriesOf(recordsDatabase)) {
    if (bytes === null) encoded.set(recordsDatabase, key, null)
    else {
      const value = Result.getOrThrow(StructureTable.decodeInBatch(batch, bytes))
      const time = RecordLayout.timeOf(bytes)
      const again = Result.getOrThrow(StructureTable.encode(structures, value))
      encoded.set(recordsDatabase, key, time === undefined ? again : ExpiringValue.join(time, again))
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

export type PutManyError = KeyEncoding | ValueEncoding<Key> | CommitError | Closed

/** Encodes the entries of a call. */
const encodeAll = (
  self: Access,
  entries: Entries,
  batch: StructureTable.BatchEncoder | undefined,
  time: number | undefined
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
    if (time === undefined) {
      writes.set(recordsDatabase, bytes.success, encoded.success)
      continue
    }
    const timed = expiring(self, key, encoded.success, time)
    if (Result.isFailure(timed)) return Result.fail(timed.failure)
    for (const write of Expiry.completed(self.handle.core.expiry, writeOf(bytes.success, timed.success))) {
      writes.set(...write)
    }
  }
  return Result.succeed(writes)
}

/** Commits what `encodeWrites` makes: all of it or nothing. */
export const writeBatch = (
  self: Access,
  transaction: Transaction | undefined,
  encodeWrites: (
    batch: StructureTable.BatchEncoder | undefined
  ) => Result.Result<WriteSet, KeyEncoding | ValueEncoding<Key>>
): Effect.Effect<void, PutManyError> => {
  // A transaction defines no structures: no other reader would know them before its commit.
  const batch = transaction === undefined ? StructureTable.beginBatch(self.handle.core.structures) : undefined
  const writes = encodeWrites(batch)
  if (Result.isFailure(writes)) {
    const failed = Effect.fail(writes.failure)
    return batch === undefined ? failed : Effect.andThen(StructureTable.endBatch(batch, false), failed)
  }
  return batch !== undefined && StructureTable.hasDefinitions(batch)
    ? writeWithDefinitions(self, writes.success, batch)
    : StoreAccess.writeAll(self, transaction, writes.success)
}

const putMany = (self: Access, entries: Entries, time?: number) =>
  StoreAccess.enterToWrite(self, (transaction): Effect.Effect<void, PutManyError> => {
    const wrong = CallArguments.notEntries(entries)
    return wrong === undefined
      ? writeBatch(self, transaction, (batch) => encodeAll(self, entries, batch, time))
      : Effect.fail(wrong)
  })

const putManyWith = (self: Access, entries: Entries, options: Pick<PutOptions, "ttl">) =>
  Effect.suspend(() =>
    Result.match(timeOf(self, "the options of putMany", options, CallArguments.putManyChecks), {
      onFailure: (error) => StoreAccess.enterToWrite(self, () => Effect.fail(error)),
      onSuccess: (time) =>
        time === undefined
          ? putMany(self, entries)
          : Effect.andThen(
            StoreAccess.enterToWrite(self, () => Expiry.ensureDatabase(self.handle.core.expiry)),
            putMany(self, entries, time)
          )
    })
  )

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
    return options === undefined ? removing : DurableWrites.run(internals, { name: "delete", options }, removing)
  }
  return deleteKey
}

/** Makes the methods of one handle. */
export const make = (internals: Internals) => {
  const { access } = internals
  return {
    put: (key: Key, value: unknown, options?: PutOptions) =>
      options === undefined
        ? put(access, key, value)
        : DurableWrites.run(
          internals,
          { name: "put", options, checks: CallArguments.putChecks },
          putWith(access, key, value, options)
        ),
    delete: makeDelete(internals),
    deleteOrFail: (key: Key, options?: WriteOptions) => {
      const removing = removeOrFail(access, key)
      return options === undefined
        ? removing
        : DurableWrites.run(internals, { name: "deleteOrFail", options }, removing)
    },
    update: (key: Key, f: Update, options?: WriteOptions) => {
      const updated = updateBy(access, key, (current) => CallArguments.nextOf(f, current))
      return options === undefined ? updated : DurableWrites.run(internals, { name: "update", options }, updated)
    },
    putMany: (entries: Entries, options?: Pick<PutOptions, "ttl">) =>
      options === undefined ? putMany(access, entries) : putManyWith(access, entries, options),
    deleteMany: (unwanted: ListOf<Key>) => removeMany(access, unwanted),
    clear: clear(access),
    flush: StoreAccess.enterToWrite(access, () => access.handle.core.backend.flush)
  }
}
