/**
 * Writes many records of a collection in one transaction: all of them or none.
 */
import * as Effect from "effect/Effect"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { Collection } from "../../CollectionService.ts"
import type { Write } from "../../Engine.ts"
import type { ListOf } from "../../Entries.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { Closed, CommitError, ReadOnly } from "../../StoreError.ts"
import { fromWrites, WriteSet } from "../buffer/writeSet.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as ExpiryWrites from "../store/expiryWrites.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import { type CollectionWriter, enterToWrite, type UntypedWriter } from "./collectionWriter.ts"
import type { DeleteKeys } from "./indexReads.ts"
import * as KeyLists from "./keyLists.ts"
import type { EncodedRecord } from "./recordEncoding.ts"
import { absent, deleteRecord, encodeRecord, type Precondition, putRecord, unconditional } from "./recordWrites.ts"

/** Writes records that have no index entries. */
const writeAlone = (self: UntypedWriter, writes: ReadonlyArray<Write>) =>
  enterToWrite(self, (transaction) => StoreAccess.writeAll(self.access, transaction, fromWrites(writes)))

// ---------------------------------------------------------------------------
// putMany and insertMany
// ---------------------------------------------------------------------------

/** Encodes the entries of a call. */
const encodeRecords = Effect.fnUntraced(function*<
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>
>(self: CollectionWriter<K, V, I>, entries: Iterable<readonly [K["Type"], ValueInput<V>]>) {
  const { name } = self.definition
  const noList = CallArguments.notAList("entries", entries, name)
  if (noList !== undefined) return yield* noList
  const records: Array<readonly [K["Type"], EncodedRecord]> = []
  for (const entry of entries) {
    const noPair = CallArguments.notAPair(entry, name)
    if (noPair !== undefined) return yield* noPair
    records.push([entry[0], yield* encodeRecord(self, ...entry)])
  }
  return records
})

/** Stores records in one transaction, in their order. */
const putRecords = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, E>(
  self: CollectionWriter<K, V, I>,
  records: ReadonlyArray<readonly [K["Type"], EncodedRecord]>,
  preconditionOf: (key: K["Type"], record: EncodedRecord) => Precondition<E>
) =>
  self.transactions.withTransaction(
    enterToWrite(self, (transaction) =>
      Effect.forEach(
        records,
        ([key, record]) => putRecord(self, transaction, key, record, preconditionOf(key, record), false),
        { discard: true }
      ))
  )

/** Stores many values under new keys. Fails with `KeyExists` if one of the keys has a record. */
export const insertMany = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  entries: Iterable<readonly [K["Type"], ValueInput<V>]>
): ReturnType<Collection<K, V, I>["insertMany"]> =>
  Effect.flatMap(
    encodeRecords(self, entries),
    (records) => putRecords(self, records, (key, record) => absent(self, key, record))
  )

/** Stores many values. */
export const putMany = Effect.fnUntraced(function*<
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>
>(self: CollectionWriter<K, V, I>, entries: Iterable<readonly [K["Type"], ValueInput<V>]>) {
  const { access: { handle: { core: { expiry } } }, definition: { database, indexes }, hasExpiry } = self
  const records = yield* encodeRecords(self, entries)
  if (indexes.size > 0) return yield* putRecords(self, records, () => unconditional)
  const writes = records.map(([, { bytes, key }]): Write => [database, key, bytes])
  return yield* writeAlone(
    self,
    hasExpiry ? writes.flatMap((write) => ExpiryWrites.completed(expiry, [write])) : writes
  )
})

// ---------------------------------------------------------------------------
// deletions
// ---------------------------------------------------------------------------

/** Deletes records with their entries. */
const deleteRecords = (self: UntypedWriter, keys: ReadonlyArray<ByteString>) =>
  enterToWrite(
    self,
    (transaction) => Effect.forEach(keys, (key) => deleteRecord(self, transaction, key, false), { discard: true })
  )

/** Deletes many keys. */
export const deleteMany = Effect.fnUntraced(function*<
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>
>(self: CollectionWriter<K, V, I>, keys: ListOf<K["Type"]>) {
  const { database, indexes, key: keyCodec, name } = self.definition
  const encoded = (yield* KeyLists.encodeKeys(keyCodec, keys, name)).map(([, bytes]) => bytes)
  return yield* indexes.size === 0
    ? writeAlone(self, encoded.map((key) => [database, key, null]))
    : self.transactions.withTransaction(deleteRecords(self, encoded))
})

/** Deletes the records of a range. `keys` reads their keys, in the transaction that deletes them. Returns their number. */
export const deleteKeys = (self: UntypedWriter): DeleteKeys => (range, keys) => {
  const refused = CallArguments.emptyPrefix(range)
  if (refused !== undefined) return Effect.fail(refused)
  const { name } = self.definition
  const checked = Effect.andThen(CallArguments.checked("the range", range, CallArguments.deleteChecks, name), keys)
  return self.transactions.withTransaction(
    Effect.flatMap(checked, (found) => Effect.as(deleteRecords(self, found), found.length))
  )
}

/** Deletes all records and all index entries. */
export const clear = (self: UntypedWriter): Effect.Effect<void, ReadOnly | Closed | CommitError> =>
  enterToWrite(self, (transaction) => {
    const { database, indexes } = self.maintainer
    const writes = new WriteSet()
    writes.clear(database)
    for (const index of indexes.values()) writes.clear(index.database)
    return StoreAccess.writeAll(self.access, transaction, writes)
  })
