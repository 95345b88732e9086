/**
 * The update of a record: reads it, computes the next value and writes that, in one step.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Reader, Step } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { ByteString, Key } from "../../Key.ts"
import { type EngineFailure, type ValueDecoding, ValueEncoding } from "../../StoreError.ts"
import { copyOf, isSameValue } from "../engineBytes.ts"
import * as RecordLayout from "../reader/recordLayout.ts"
import * as Settled from "../settled.ts"
import * as RecordAccess from "./recordAccess.ts"
import { encode, expiring, writeKey, writeOf } from "./recordWrite.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = RecordAccess.RecordAccess

const none = Exit.succeed(Option.none<unknown>())

type UpdateError = ValueEncoding<Key> | ValueDecoding<Key> | EngineFailure

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
    return Exit.fail(new ValueEncoding({ ...RecordAccess.shown(self, key), detail: given.failure }))
  }
  const next = given.success
  if (next === current) return Exit.succeed({ result: next, writes: [] })
  if (Option.isNone(next)) {
    return Exit.succeed({ result: next, writes: Option.isNone(current) ? [] : writeOf(self, bytes, null) })
  }
  const plain = encode(self, key, next.value)
  const encoded = time === undefined ? plain : Result.flatMap(plain, (value) => expiring(self, key, value, time))
  return Result.isFailure(encoded)
    ? Exit.fail(encoded.failure)
    : Exit.succeed({ result: next, writes: writeOf(self, bytes, encoded.success) })
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
  // One read gives value and time: between two reads the record could expire.
  let time: number | undefined
  const decoding = reader.get(self.database, bytes, (stored) => {
    time = RecordLayout.timeOf(stored)
    return RecordAccess.decode(self, bytes, stored, key)
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
      from === undefined ? none : Settled.map(RecordAccess.decode(self, bytes, from), Option.some),
      (current) => nextStep(self, key, bytes, take, current, from === undefined ? undefined : RecordLayout.timeOf(from))
    )
  return (reader) =>
    Settled.flatMap(reader.get(self.database, bytes, copyOf), (from) => {
      if (last === undefined || !isSameValue(last.from, from)) last = { from, taken: compute(from) }
      return last.taken
    })
}

/**
 * Returns the write that an update is expected to make. Calls `f` before LMDB's write transaction, because other
 * processes wait while that is open. Inside the transaction `f` runs again only if the stored value has changed. If
 * `f` has failed here, the update still succeeds if the stored value has changed and `f` succeeds on the new one.
 * If reads wait, the write is not known before the transaction.
 */
const expectedOf = (self: Access, step: UpdateStep, bytes: ByteString) => (reader: Reader): Write => {
  const taken = Result.getOrUndefined(Result.try(() => step(reader)))
  return (taken !== undefined && Settled.isSucceeded(taken) ? taken.value.writes[0] : undefined) ??
    [self.database, bytes, null]
}

/** Updates a record, and gives its next value. If that is `current` itself, nothing is written. */
export const updateBy = (self: Access, key: Key, take: TakeNext) =>
  writeKey(self, key, (bytes, transaction) => {
    const step = (self.handle.options.shared ? updatingOnce : updating)(self, key, bytes, take)
    return StoreAccess.step(self, transaction, step, { exact: expectedOf(self, step, bytes) })
  })
