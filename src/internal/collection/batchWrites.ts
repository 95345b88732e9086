/**
 * Writes many records of a collection in one transaction: all of them or none.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader, Step } from "../../Backend.ts"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { Collection, UniqueViolationOf } from "../../CollectionService.ts"
import type { Write } from "../../Engine.ts"
import type { ListOf } from "../../Entries.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { Closed, CommitError, EngineFailure, KeyEncoding, ReadOnly } from "../../StoreError.ts"
import { fromWrites, WriteSet } from "../buffer/writeSet.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as Settled from "../settled.ts"
import * as ExpiryWrites from "../store/expiryWrites.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import { catchTakenIndexKey, type CollectionWriter, enterToWrite, type UntypedWriter } from "./collectionWriter.ts"
import * as IndexMaintainer from "./indexMaintainer.ts"
import type { DeleteKeys } from "./indexReads.ts"
import * as KeyLists from "./keyLists.ts"
import * as PresentRecords from "./presentRecords.ts"
import type { EncodedRecord } from "./recordEncoding.ts"
import { absent, encodeRecord, type Precondition, unconditional } from "./recordWrites.ts"

/** Writes records that have no index entries. */
const writeAlone = (self: UntypedWriter, writes: ReadonlyArray<Write>) =>
  enterToWrite(self, (transaction) => StoreAccess.writeAll(self.access, transaction, fromWrites(writes)))

// ---------------------------------------------------------------------------
// parts of a batch
// ---------------------------------------------------------------------------

/** The number of records in the first part of a batch, before the size of the stored records is known. */
const firstPart = 64

/** The maximum number of records in a part. On LMDB, a part is written in one turn of the event loop. */
const largestPart = 512

/** A part has as many records as are expected to have this many bytes: their old values are in memory at the same time. */
const partBytes = 4 * 1024 * 1024

/** Writes a batch part by part. `writePart` returns how many bytes it has read. */
const inParts = Effect.fnUntraced(function*<A, E, R>(
  items: ReadonlyArray<A>,
  writePart: (part: ReadonlyArray<A>) => Effect.Effect<number, E, R>
): Effect.fn.Return<void, E, R> {
  let size = firstPart
  for (let at = 0; at < items.length;) {
    const part = items.slice(at, at + size)
    const bytes = yield* writePart(part)
    at += part.length
    size = Math.max(1, Math.min(largestPart, Math.floor(part.length * partBytes / Math.max(bytes, 1))))
  }
})

/** Whether a record has already expired, so that writing it deletes its key. */
const isGone = ({ access: { handle: { core: { expiry } } }, hasExpiry }: UntypedWriter, { bytes }: EncodedRecord) =>
  hasExpiry && CollectionRecord.isExpired(bytes, expiry.now())

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
  const records: Array<Records<K>[number]> = []
  for (const entry of entries) {
    const noPair = CallArguments.notAPair(entry, name)
    if (noPair !== undefined) return yield* noPair
    records.push([entry[0], yield* encodeRecord(self, ...entry)])
  }
  return records
})

/** The encoded records of a call, with their keys. */
type Records<K extends KeySchema> = ReadonlyArray<readonly [K["Type"], EncodedRecord]>

/** Makes the step that stores records in their order. Its result is the number of bytes that it has read. */
const putting = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, E>(
  self: CollectionWriter<K, V, I>,
  records: Records<K>,
  preconditionOf: (key: K["Type"], record: EncodedRecord) => Precondition<E>
) =>
(reader: Reader) => {
  const { maintainer } = self
  type Stepped = Effect.Effect<Step<number>, E | UniqueViolationOf<K, I> | KeyEncoding | EngineFailure>
  const putAll = (present: PresentRecords.PresentRecords): Stepped => {
    const writes: Array<Write> = []
    for (const [key, record] of records) {
      const old = present.entries.get(record.key)
      const permitted = preconditionOf(key, record)(old)
      if (Exit.isFailure(permitted)) return Exit.failCause(permitted.cause)
      const made = Settled.exitOf(IndexMaintainer.toPut(maintainer, PresentRecords.holdersIn(present), record, old))
      if (Exit.isFailure(made)) return catchTakenIndexKey(self, key, record.key, Exit.failCause(made.cause))
      for (const write of made.value) writes.push(write)
      PresentRecords.update(present, record.key, isGone(self, record) ? undefined : record.entries, made.value)
    }
    return Exit.succeed({ result: present.bytes, writes })
  }
  const keys = records.map(([, { key }]) => key)
  return Settled.flatMap(
    PresentRecords.read(maintainer, reader, keys, records.map(([, { entries }]) => entries)),
    putAll
  )
}

/** Stores records in one transaction, in their order. */
const putRecords = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, E>(
  self: CollectionWriter<K, V, I>,
  records: Records<K>,
  preconditionOf: (key: K["Type"], record: EncodedRecord) => Precondition<E>
) =>
  self.transactions.withTransaction(
    enterToWrite(self, (transaction) =>
      inParts(records, (part) =>
        StoreAccess.step(self.access, transaction, putting(self, part, preconditionOf))))
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
    hasExpiry ? ExpiryWrites.completed(expiry, writes) : writes
  )
})

// ---------------------------------------------------------------------------
// deletions
// ---------------------------------------------------------------------------

/** Makes the step that deletes records. Its result is the number of bytes that it has read. */
const deleting =
  ({ maintainer }: UntypedWriter, keys: ReadonlyArray<ByteString>) =>
  (reader: Reader): Effect.Effect<Step<number>, EngineFailure> =>
    Settled.flatMap(
      PresentRecords.read(maintainer, reader, keys, []),
      (present): Exit.Exit<Step<number>, EngineFailure> => {
        const writes: Array<Write> = []
        for (const key of keys) {
          const old = present.entries.get(key)
          if (old === undefined) continue
          const made = Settled.exitOf(
            IndexMaintainer.toDelete(maintainer, PresentRecords.holdersIn(present), key, old)
          )
          if (Exit.isFailure(made)) return Exit.failCause(made.cause)
          for (const write of made.value) writes.push(write)
          PresentRecords.update(present, key, undefined, made.value)
        }
        return Exit.succeed({ result: present.bytes, writes })
      }
    )

/** Deletes records with their entries. */
const deleteRecords = (self: UntypedWriter, keys: ReadonlyArray<ByteString>) =>
  enterToWrite(
    self,
    (transaction) =>
      inParts(keys, (part) => StoreAccess.step(self.access, transaction, deleting(self, part), { isDeleting: true }))
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
