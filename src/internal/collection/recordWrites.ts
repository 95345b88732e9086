/**
 * Writes single records of a collection, together with their index entries.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader, Step } from "../../Backend.ts"
import { KeyExists } from "../../CollectionError.ts"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { Collection, UniqueViolationOf } from "../../CollectionService.ts"
import type { Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { Closed, CommitError, EngineFailure, KeyEncoding } from "../../StoreError.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import * as Settled from "../settled.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import type { Transaction } from "../transaction/transaction.ts"
import { keyNotFound, shown } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import {
  catchTakenIndexKey,
  type CollectionWriter,
  enterToWrite,
  stepOfCollection,
  type UntypedWriter,
  withKey,
  withOptions
} from "./collectionWriter.ts"
import * as IndexMaintainer from "./indexMaintainer.ts"
import * as RecordEncoding from "./recordEncoding.ts"

/** Encodes a key and a value. */
export const encodeRecord = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  value: ValueInput<V>
) =>
  withKey(
    self,
    key,
    (bytes) => RecordEncoding.encode(self.definition, bytes, value, () => shown(self.definition, key, bytes))
  )

// ---------------------------------------------------------------------------
// put and insert
// ---------------------------------------------------------------------------

/** Decides whether a record may be written, from the index entries of the record that it replaces. */
export type Precondition<E> = (old: ReadonlyArray<CollectionRecord.IndexEntry> | undefined) => Exit.Exit<void, E>

/** Permits every write. */
export const unconditional: Precondition<never> = () => Exit.void

/** Fails with `KeyExists` if the key has a record. */
export const absent = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { definition }: CollectionWriter<K, V, I>,
  key: K["Type"],
  { key: bytes }: RecordEncoding.EncodedRecord
): Precondition<KeyExists<K["Type"]>> =>
(old) =>
  old === undefined
    ? Exit.void
    : Exit.fail(new KeyExists<K["Type"]>({ ...shown(definition, key, bytes), collection: definition.name }))

/** Stores a record with its entries. With `isExact`, the commit of a shared store decides the write. */
const putRecord = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, E>(
  self: CollectionWriter<K, V, I>,
  transaction: Transaction | undefined,
  key: K["Type"],
  record: RecordEncoding.EncodedRecord,
  precondition: Precondition<E>,
  isExact: boolean
): Effect.Effect<void, E | UniqueViolationOf<K, I> | KeyEncoding | CommitError | Closed> => {
  const { access, definition: { database }, maintainer } = self
  const step = (reader: Reader): Effect.Effect<Step<void>, E | IndexMaintainer.TakenIndexKey | EngineFailure> =>
    Settled.flatMap(
      reader.get(database, record.key, CollectionRecord.entriesOf),
      (old) =>
        Settled.flatMap(precondition(old), () =>
          Settled.map(
            IndexMaintainer.toPut(maintainer, IndexMaintainer.holdersIn(reader), record, old),
            (writes) => ({ result: undefined, writes })
          ))
    )
  return catchTakenIndexKey(
    self,
    key,
    record.key,
    isExact
      ? stepOfCollection(self, transaction, step, { exact: () => [database, record.key, record.bytes] })
      : StoreAccess.step(access, transaction, step)
  )
}

/** Stores a value under a key. */
export const put = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  value: ValueInput<V>,
  options?: WriteOptions
): ReturnType<Collection<K, V, I>["put"]> =>
  Effect.flatMap(encodeRecord(self, key, value), (record) =>
    withOptions(
      self,
      "put",
      options,
      enterToWrite(self, (transaction) => putAny(self, transaction, key, record))
    ))

/** Stores a record whether or not its key has one. */
const putAny = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  transaction: Transaction | undefined,
  key: K["Type"],
  record: RecordEncoding.EncodedRecord
) => {
  if (self.definition.indexes.size > 0) {
    return putRecord(self, transaction, key, record, unconditional, self.isAlwaysExact)
  }
  const writes: ReadonlyArray<Write> = [[self.definition.database, record.key, record.bytes]]
  if (!self.hasExpiry) return StoreAccess.write(self.access, transaction, writes)
  const step: Exit.Exit<Step<void>> = Exit.succeed({ result: undefined, writes })
  return StoreAccess.step(self.access, transaction, () => step)
}

/** Stores a value under a new key. Fails with `KeyExists` if the key has a record. */
export const insert = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  value: ValueInput<V>,
  options?: WriteOptions
): ReturnType<Collection<K, V, I>["insert"]> =>
  Effect.flatMap(encodeRecord(self, key, value), (record) => {
    const { shared } = self.access.handle.core.options
    const inserting = enterToWrite(self, (transaction) =>
      putRecord(self, transaction, key, record, absent(self, key, record), shared))
    return withOptions(self, "insert", options, inserting)
  })

// ---------------------------------------------------------------------------
// delete
// ---------------------------------------------------------------------------

/** Makes the step that deletes a record. Its result says whether the key had a record. */
export const deletion = (
  { maintainer }: UntypedWriter,
  reader: Reader,
  key: ByteString
): Effect.Effect<Step<boolean>, EngineFailure> =>
  Settled.flatMap(
    reader.get(maintainer.database, key, CollectionRecord.entriesOf),
    (old): Effect.Effect<Step<boolean>, EngineFailure> =>
      old === undefined
        ? Exit.succeed({ result: false, writes: [] })
        : Settled.map(
          IndexMaintainer.toDelete(maintainer, IndexMaintainer.holdersIn(reader), key, old),
          (writes) => ({ result: true, writes })
        )
  )

/** Deletes a record with its entries. Returns whether the key had a record. */
const deleteRecord = (
  self: UntypedWriter,
  transaction: Transaction | undefined,
  key: ByteString,
  isExact: boolean
): Effect.Effect<boolean, CommitError | Closed> => {
  const step = (reader: Reader) => deletion(self, reader, key)
  return isExact
    ? stepOfCollection(self, transaction, step, {
      isDeleting: true,
      exact: () => [self.maintainer.database, key, null]
    })
    : StoreAccess.step(self.access, transaction, step, { isDeleting: true })
}

/** Deletes a key. */
export const deleteKey = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  options?: WriteOptions
): ReturnType<Collection<K, V, I>["delete"]> =>
  withKey(self, key, (bytes) =>
    withOptions(
      self,
      "delete",
      options,
      enterToWrite(self, (transaction) =>
        self.definition.indexes.size > 0
          ? Effect.asVoid(deleteRecord(self, transaction, bytes, self.isAlwaysExact))
          : StoreAccess.remove(self.access, transaction, [[self.definition.database, bytes, null]]))
    ))

/** Deletes a key. Fails with `KeyNotFound` if the key has no record. */
export const deleteOrFail = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  options?: WriteOptions
): ReturnType<Collection<K, V, I>["deleteOrFail"]> =>
  withKey(self, key, (bytes) => {
    const { shared } = self.access.handle.core.options
    const deleting = enterToWrite(self, (transaction) =>
      Effect.flatMap(
        deleteRecord(self, transaction, bytes, shared),
        (existed) => existed ? Effect.void : Effect.fail(keyNotFound(self.definition, key, bytes))
      ))
    return withOptions(self, "deleteOrFail", options, deleting)
  })
