/**
 * The methods of a handle that read a record, compute the next value and store it, on top of its update.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Key } from "../../Key.ts"
import { KeyNotFound, ValueEncoding } from "../../StoreError.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import * as ModifyArguments from "../key/modifyArguments.ts"
import * as DurableWrites from "./durableWrites.ts"
import * as ReadMethods from "./readMethods.ts"
import * as RecordAccess from "./recordAccess.ts"
import { updateBy } from "./recordUpdate.ts"
import type { RecordInternals } from "./storeInternals.ts"
import type { StoreTransactions } from "./transactionMethods.ts"

type Access = RecordAccess.RecordAccess

type Pair<A> = readonly [result: A, next: Option.Option<unknown>]

/** Refuses `undefined` in place of a value: the compiler accepts a function that changes its argument and returns nothing. */
const givesValue = (
  current: Option.Option<unknown>,
  next: Option.Option<unknown>
): Result.Result<Option.Option<unknown>, string> =>
  Option.isSome(next) && next.value === undefined && !Option.contains(current, undefined)
    ? Result.fail("the function of updateOrFail has returned undefined; it must return the next value")
    : Result.succeed(next)

const updateOrFail = (self: Access, key: Key, f: (current: unknown) => unknown) =>
  Effect.flatMap(
    updateBy(self, key, (current) =>
      Result.flatMap(ModifyArguments.callUpdateOrFail(f, current), (next) =>
        givesValue(current, next))),
    (next) =>
      Option.isSome(next)
        ? Effect.succeed(next.value)
        : Effect.fail(new KeyNotFound<Key>(RecordAccess.shown(self, key)))
  )

const modify = <A>(self: Access, key: Key, f: (current: Option.Option<unknown>) => Pair<A>) =>
  ModifyArguments.runModify(f, (computeNext) => updateBy(self, key, computeNext))

const modifyEffect = <A, E, R>(
  self: Access,
  transactions: StoreTransactions,
  key: Key,
  f: (current: Option.Option<unknown>) => Effect.Effect<Pair<A>, E, R>
) =>
  transactions.withTransaction(Effect.gen(function*() {
    const current = yield* ReadMethods.get(self, key)
    const given = yield* ModifyArguments.runModifyEffect(f, current)
    if (Result.isFailure(given)) {
      return yield* new ValueEncoding<Key>({ ...RecordAccess.shown(self, key), detail: given.failure })
    }
    const [result, next] = given.success
    // An update keeps the time at which the record expires.
    if (next !== current) yield* updateBy(self, key, () => Result.succeed(next))
    return result
  }))

/** Makes the methods of one handle. */
export const make = (internals: RecordInternals) => ({
  updateOrFail: (key: Key, f: (current: unknown) => unknown, options?: WriteOptions) => {
    const updated = updateOrFail(internals.access, key, f)
    return options === undefined ? updated : DurableWrites.run(internals, { name: "updateOrFail", options }, updated)
  },
  modify: <A>(key: Key, f: (current: Option.Option<unknown>) => Pair<A>, options?: WriteOptions) => {
    const modified = modify(internals.access, key, f)
    return options === undefined ? modified : DurableWrites.run(internals, { name: "modify", options }, modified)
  },
  modifyEffect: <A, E, R>(key: Key, f: (current: Option.Option<unknown>) => Effect.Effect<Pair<A>, E, R>) =>
    modifyEffect(internals.access, internals.transactions, key, f)
})
