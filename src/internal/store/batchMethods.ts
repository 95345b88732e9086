/**
 * The methods that write several records in one transaction: `putMany`, `deleteMany` and `clear`.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { Entries, ListOf } from "../../Entries.ts"
import type { Key } from "../../Key.ts"
import type { Closed, CommitError, KeyEncoding, ValueEncoding } from "../../StoreError.ts"
import type { PutOptions } from "../../StoreRecords.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { expiryDatabase } from "../databases.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as RecordLayout from "../reader/recordLayout.ts"
import type { Transaction } from "../transaction/transaction.ts"
import * as ExpiringValue from "../value/expiringValue.ts"
import * as Expiry from "./expiry.ts"
import * as ExpiryWrites from "./expiryWrites.ts"
import type { RecordAccess } from "./recordAccess.ts"
import { encode, expiring, timeOf, writeOf } from "./recordWrite.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = RecordAccess

const isIterable = (entries: Entries): entries is Iterable<readonly [Key, unknown]> => Symbol.iterator in entries

/** Encodes the values of a batch again, without the structures that the batch defines. */
const withoutDefinitions = (
  self: Access,
  writes: WriteSet,
  batch: StructureTable.BatchEncoder
): WriteSet => {
  const { database, handle: { core: { structures } } } = self
  const encoded = new WriteSet()
  for (const [entry, write] of writes.entriesOf(expiryDatabase)) encoded.set(expiryDatabase, entry, write)
  for (const [key, bytes] of writes.entriesOf(database)) {
    if (bytes === null) encoded.set(database, key, null)
    else {
      const value = Result.getOrThrow(StructureTable.decodeInBatch(batch, bytes))
      const time = RecordLayout.timeOf(bytes)
      const again = Result.getOrThrow(StructureTable.encode(structures, value))
      encoded.set(database, key, time === undefined ? again : ExpiringValue.join(time, again))
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
      writes.set(self.database, bytes.success, encoded.success)
      continue
    }
    const timed = expiring(self, key, encoded.success, time)
    if (Result.isFailure(timed)) return Result.fail(timed.failure)
    for (const write of ExpiryWrites.completed(self.handle.core.expiry, writeOf(self, bytes.success, timed.success))) {
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
      writes.set(self.database, bytes.success, null)
    }
    return StoreAccess.writeAll(self, transaction, writes)
  })

const clear = (self: Access) =>
  StoreAccess.enterToWrite(self, (transaction) => {
    const writes = new WriteSet()
    writes.clear(self.database)
    return StoreAccess.writeAll(self, transaction, writes)
  })

/** Makes the methods of one handle. */
export const make = (self: Access) => ({
  putMany: (entries: Entries, options?: Pick<PutOptions, "ttl">) =>
    options === undefined ? putMany(self, entries) : putManyWith(self, entries, options),
  deleteMany: (unwanted: ListOf<Key>) => removeMany(self, unwanted),
  clear: clear(self)
})
