/**
 * The method `writeMany`: puts and deletions in one transaction.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { ListOf, StoreWrite } from "../../Entries.ts"
import type { Key } from "../../Key.ts"
import { KeyEncoding, type ValueEncoding } from "../../StoreError.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import type * as StructureTable from "../commit/structureTable.ts"
import * as CallArguments from "../key/callArguments.ts"
import { describeKind } from "../value/kindOf.ts"
import { type PutManyError, writeBatch } from "./batchMethods.ts"
import type { RecordAccess } from "./recordAccess.ts"
import { encode } from "./recordWrite.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = RecordAccess

/** The error of a write that has the wrong form. A program in JavaScript can pass anything. */
const notAWrite = (write: StoreWrite): KeyEncoding | undefined => {
  const isOne = Predicate.isObject(write) && Object.keys(write).length === 1 && ("put" in write || "delete" in write)
  return isOne ? undefined : new KeyEncoding({
    reason: {
      _tag: "Argument",
      detail: `a write must be { put: [key, value] } or { delete: key }, and one is ${describeKind(write)}.`
    },
    key: undefined,
    shownKey: "writes"
  })
}

const encodePut = (
  self: Access,
  entry: readonly [Key, unknown],
  batch: StructureTable.BatchEncoder | undefined
): Result.Result<readonly [Key, Uint8Array], KeyEncoding | ValueEncoding<Key>> => {
  const noPair = CallArguments.notAPair(entry)
  if (noPair !== undefined) return Result.fail(noPair)
  const [key, value] = entry
  return Result.map(encode(self, key, value, batch), (bytes) => [key, bytes])
}

/** Encodes the writes of a call. The last write of a key counts. */
const encodeAll = (
  self: Access,
  wanted: Iterable<StoreWrite>,
  batch: StructureTable.BatchEncoder | undefined
): Result.Result<WriteSet, KeyEncoding | ValueEncoding<Key>> => {
  const writes = new WriteSet()
  for (const write of wanted) {
    const wrong = notAWrite(write)
    if (wrong !== undefined) return Result.fail(wrong)
    const encoded: Result.Result<readonly [Key, Uint8Array | null], KeyEncoding | ValueEncoding<Key>> =
      write.put === undefined ? Result.succeed([write.delete, null]) : encodePut(self, write.put, batch)
    if (Result.isFailure(encoded)) return Result.fail(encoded.failure)
    const [key, value] = encoded.success
    const bytes = self.handle.keys.encode(key)
    if (Result.isFailure(bytes)) return Result.fail(bytes.failure)
    writes.set(self.database, bytes.success, value)
  }
  return Result.succeed(writes)
}

/** Makes the method of one handle. */
export const make = (self: Access) => (wanted: ListOf<StoreWrite>) =>
  StoreAccess.enterToWrite(self, (transaction): Effect.Effect<void, PutManyError> => {
    const noList = CallArguments.notAList("writes", wanted)
    return noList === undefined
      ? writeBatch(self, transaction, (batch) => encodeAll(self, wanted, batch))
      : Effect.fail(noList)
  })
