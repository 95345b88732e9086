/**
 * The update of a record: reads it, computes the next value and writes that, in one step.
 */
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Reader, Step } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { ByteString, Key } from "../../Key.ts"
import { type EngineFailure, type ValueDecoding, ValueEncoding } from "../../StoreError.ts"
import { isSameValue } from "../engineBytes.ts"
import * as RecordLayout from "../reader/recordLayout.ts"
import * as Settled from "../settled.ts"
import { readAndCompute } from "./readAndCompute.ts"
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

/** Makes the step of an update. With `isOnce`, it calls `take` only once for the same stored bytes. */
const updating = (self: Access, key: Key, bytes: ByteString, take: TakeNext, isOnce: boolean): UpdateStep => {
  let last: { readonly from: Uint8Array | undefined; readonly taken: ReturnType<UpdateStep> } | undefined
  // One read gives value and time: between two reads the record could expire. The update keeps the time.
  const compute = (from: Uint8Array | undefined): ReturnType<UpdateStep> =>
    Settled.flatMap(
      from === undefined ? none : Settled.map(RecordAccess.decode(self, bytes, from, key), Option.some),
      (current) => nextStep(self, key, bytes, take, current, from === undefined ? undefined : RecordLayout.timeOf(from))
    )
  const computeOnce = (from: Uint8Array | undefined): ReturnType<UpdateStep> => {
    if (last === undefined || !isSameValue(last.from, from)) last = { from, taken: compute(from) }
    return last.taken
  }
  const refuse = (detail: string) => Exit.fail(new ValueEncoding({ ...RecordAccess.shown(self, key), detail }))
  return (reader) => readAndCompute(reader, self.database, bytes, isOnce ? computeOnce : compute, refuse)
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
    const step = updating(self, key, bytes, take, self.handle.options.shared)
    return StoreAccess.step(self, transaction, step, { exact: expectedOf(self, step, bytes) })
  })
