/**
 * What all writes of records share: it encodes keys and values, and adds the time at which a value expires.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Write } from "../../Engine.ts"
import type { ByteString, Key } from "../../Key.ts"
import { type Closed, type KeyEncoding, type ReadOnly, ValueEncoding } from "../../StoreError.ts"
import type { PutOptions } from "../../StoreRecords.ts"
import * as StructureTable from "../commit/structureTable.ts"
import * as CallArguments from "../key/callArguments.ts"
import type { Transaction } from "../transaction/transaction.ts"
import * as ExpiringValue from "../value/expiringValue.ts"
import { tooLong } from "../value/valueCodec.ts"
import * as ExpiryTime from "./expiryTime.ts"
import * as RecordAccess from "./recordAccess.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = RecordAccess.RecordAccess

/** The writes of a call that writes one record. */
export const writeOf = ({ database }: Access, key: ByteString, value: Uint8Array | null): ReadonlyArray<Write> => [
  [database, key, value]
]

/** Begins a call that writes, and encodes its key. */
export const writeKey = <A, E>(
  self: Access,
  key: Key,
  use: (key: ByteString, transaction: Transaction | undefined) => Effect.Effect<A, E>
): Effect.Effect<A, E | Closed | ReadOnly | KeyEncoding> =>
  StoreAccess.enterToWrite(self, (transaction): Effect.Effect<A, E | KeyEncoding> => {
    const bytes = self.handle.keys.encode(key)
    return Result.isSuccess(bytes) ? use(bytes.success, transaction) : Effect.fail(bytes.failure)
  })

/** Encodes a value, by the structures that its batch defines if it is in one. */
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
    (failure) => StructureTable.encodingError(failure, RecordAccess.shown(self, key))
  )

/** Refuses a value that is too long with its time. */
export const expiring = (
  self: Access,
  key: Key,
  value: Uint8Array,
  time: number
): Result.Result<Uint8Array, ValueEncoding<Key>> => {
  const { maxValueBytes } = self.handle.core.backend
  const bytes = ExpiringValue.join(time, value)
  return bytes.length <= maxValueBytes
    ? Result.succeed(bytes)
    : Result.fail(new ValueEncoding({ ...RecordAccess.shown(self, key), detail: tooLong(bytes.length, maxValueBytes) }))
}

/** The time at which the records of a call expire; `undefined` if they never expire. */
export const timeOf = (
  { handle: { core: { expiry } } }: Access,
  what: string,
  options: PutOptions,
  checks: CallArguments.Checks
): Result.Result<number | undefined, KeyEncoding> =>
  Result.map(
    CallArguments.ttlOf(what, options, checks),
    (ttl) => ttl === undefined ? undefined : ExpiryTime.afterDuration(ttl, expiry.now())
  )
