/**
 * The methods that write one record: put, delete and update.
 *
 * If the buffer has room, `put` and `delete` end in the first step of their fiber, without a wait.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Step } from "../../Backend.ts"
import type { Key } from "../../Key.ts"
import {
  type Closed,
  type CommitError,
  type KeyEncoding,
  KeyNotFound,
  type ReadOnly,
  type ValueEncoding
} from "../../StoreError.ts"
import type { PutOptions } from "../../StoreRecords.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as Settled from "../settled.ts"
import * as DurableWrites from "./durableWrites.ts"
import * as Expiry from "./expiry.ts"
import * as RecordAccess from "./recordAccess.ts"
import { updateBy } from "./recordUpdate.ts"
import { encode, expiring, timeOf, writeKey, writeOf } from "./recordWrite.ts"
import * as StoreAccess from "./storeAccess.ts"
import type { RecordInternals } from "./storeInternals.ts"

type Access = RecordAccess.RecordAccess

type Update = (current: Option.Option<unknown>) => Option.Option<unknown>

const put = (self: Access, key: Key, value: unknown) =>
  writeKey(self, key, (bytes, transaction): Effect.Effect<void, ValueEncoding<Key> | CommitError | Closed> => {
    const encoded = encode(self, key, value)
    return Result.isSuccess(encoded)
      ? StoreAccess.write(self, transaction, writeOf(self, bytes, encoded.success))
      : Effect.fail(encoded.failure)
  })

/** Writes a value that expires. The call reads the record that it replaces, and deletes the expiry entry of that record. */
const putExpiring = (self: Access, key: Key, value: unknown, time: number) =>
  writeKey(self, key, (bytes, transaction): Effect.Effect<void, ValueEncoding<Key> | CommitError | Closed> => {
    const { expiry } = self.handle.core
    const encoded = Result.flatMap(encode(self, key, value), (plain) => expiring(self, key, plain, time))
    if (Result.isFailure(encoded)) return Effect.fail(encoded.failure)
    const step: Exit.Exit<Step<void>> = Exit.succeed({
      result: undefined,
      writes: writeOf(self, bytes, encoded.success)
    })
    return Effect.andThen(Expiry.ensureDatabase(expiry), StoreAccess.step(self, transaction, () => step))
  })

const putWith = (self: Access, key: Key, value: unknown, options: PutOptions) =>
  Effect.suspend(() =>
    Result.match(timeOf(self, "the options of put", options, CallArguments.putChecks), {
      onFailure: (error) => StoreAccess.enterToWrite(self, () => Effect.fail(error)),
      onSuccess: (time) => time === undefined ? put(self, key, value) : putExpiring(self, key, value, time)
    })
  )

const remove = (self: Access, key: Key) =>
  writeKey(self, key, (bytes, transaction) => StoreAccess.remove(self, transaction, writeOf(self, bytes, null)))

const removeOrFail = (self: Access, key: Key) =>
  writeKey(self, key, (bytes, transaction) =>
    StoreAccess.step(
      self,
      transaction,
      (reader) =>
        Settled.flatMap(reader.has(self.database, bytes), (exists): Exit.Exit<Step<void>, KeyNotFound<Key>> =>
          exists
            ? Exit.succeed({ result: undefined, writes: writeOf(self, bytes, null) })
            : Exit.fail(new KeyNotFound(RecordAccess.shown(self, key)))),
      { isDeleting: true, exact: () => [self.database, bytes, null] }
    ))

/** Makes the method `delete`. Only a durable deletion can fail as its commit does. */
const makeDelete = (internals: RecordInternals) => {
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
export const make = (internals: RecordInternals) => {
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
    }
  }
}
