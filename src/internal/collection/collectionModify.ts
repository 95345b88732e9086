/**
 * Read-modify-write for the records of a collection, on top of its update.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { Collection } from "../../CollectionService.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import { type Closed, type CommitError, type KeyEncoding, KeyNotFound, ValueEncoding } from "../../StoreError.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import * as ModifyArguments from "../key/modifyArguments.ts"
import * as Settled from "../settled.ts"
import type { StoreTransactions } from "../store/transactionMethods.ts"
import type { Definition } from "./collectionDefinition.ts"
import type { UpdateBy } from "./collectionUpdate.ts"

type Methods = "updateOrFail" | "modify" | "modifyEffect" | "patch"

/** What the methods are made of. */
interface Parts<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> {
  readonly definition: Definition<K, V, I>
  readonly transactions: StoreTransactions
  readonly methods: Pick<Collection<K, V, I>, "get" | "put" | "delete">
  readonly updateBy: UpdateBy<K, V, I>
  /** Runs a write by the options of its call. */
  readonly byOptions: <A, E, R>(
    method: string,
    options: WriteOptions | undefined,
    write: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | KeyEncoding | Closed | CommitError, R>
}

/** Makes the methods of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { byOptions, definition: { key: keyCodec, name }, methods, transactions, updateBy }: Parts<K, V, I>
): Pick<Collection<K, V, I>, Methods> => {
  const shown = (key: K["Type"], bytes: ByteString) => ({ key, shownKey: keyCodec.show(bytes), collection: name })

  /** Returns the value of an update; fails if the record did not exist. */
  const orFail = <E, R>(key: K["Type"], update: Effect.Effect<Option.Option<V["Type"]>, E, R>) =>
    Effect.flatMap(update, (next) =>
      Option.isSome(next)
        ? Effect.succeed(next.value)
        : Settled.flatMap(keyCodec.encode(key), (bytes) => Effect.fail(new KeyNotFound<K["Type"]>(shown(key, bytes)))))

  const updateOrFail: Collection<K, V, I>["updateOrFail"] = (key, f, options) => {
    const updating = updateBy(key, (current) => ModifyArguments.callUpdateOrFail(f, current))
    return orFail(key, byOptions("updateOrFail", options, updating))
  }

  const patch: Collection<K, V, I>["patch"] = (key, fields, options) => {
    const patching = updateBy(key, (current) => {
      const problem = ModifyArguments.fieldsProblem(fields)
      const merge = (value: V["Type"]): ValueInput<V> => Object.assign({}, value, fields)
      return problem === undefined ? Result.succeed(Option.map(current, merge)) : Result.fail(problem)
    })
    return orFail(key, byOptions("patch", options, patching))
  }

  const modify: Collection<K, V, I>["modify"] = (key, f, options) =>
    ModifyArguments.runModify(f, (computeNext) => byOptions("modify", options, updateBy(key, computeNext)))

  const modifyEffect: Collection<K, V, I>["modifyEffect"] = <A, E, R>(
    key: K["Type"],
    f: (
      current: Option.Option<V["Type"]>
    ) => Effect.Effect<readonly [A, Option.Option<ValueInput<V>>], E, R>
  ) =>
    transactions.withTransaction(Effect.gen(function*() {
      const current = yield* methods.get(key)
      const given = ModifyArguments.pairOf("modifyEffect", yield* f(current))
      if (Result.isFailure(given)) {
        const bytes = yield* keyCodec.encode(key)
        return yield* new ValueEncoding<K["Type"]>({ ...shown(key, bytes), detail: given.failure })
      }
      const [result, next] = given.success
      if (next === current) return result
      yield* (Option.isNone(next) ? methods.delete(key) : methods.put(key, next.value))
      return result
    }))

  return { updateOrFail, modify, modifyEffect, patch }
}
