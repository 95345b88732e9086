/**
 * Reads a record of a collection, computes the next value and stores it, on top of `collectionUpdate.ts`.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { PatchOf } from "../../CollectionModify.ts"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { Collection } from "../../CollectionService.ts"
import type { KeySchema } from "../../KeySchema.ts"
import { ValueEncoding } from "../../StoreError.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as ModifyArguments from "../key/modifyArguments.ts"
import * as Settled from "../settled.ts"
import { keyNotFound, shown } from "./collectionDefinition.ts"
import { updateBy } from "./collectionUpdate.ts"
import { type CollectionWriter, withOptions } from "./collectionWriter.ts"
import * as RecordReads from "./recordReads.ts"
import * as RecordWrites from "./recordWrites.ts"

/** Updates a record. Nothing is written if `f` returns `current` itself. */
export const update = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  f: (current: Option.Option<V["Type"]>) => Option.Option<ValueInput<V>>,
  options?: WriteOptions
): ReturnType<Collection<K, V, I>["update"]> =>
  withOptions(self, "update", options, updateBy(self, key, (current) => CallArguments.nextOf(f, current)))

/** Returns the value of an update. Fails with `KeyNotFound` if the key had no record. */
const orFail = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, E, R>(
  { definition }: CollectionWriter<K, V, I>,
  key: K["Type"],
  updating: Effect.Effect<Option.Option<V["Type"]>, E, R>
) =>
  Effect.flatMap(updating, (next) =>
    Option.isSome(next)
      ? Effect.succeed(next.value)
      : Settled.flatMap(definition.key.encode(key), (bytes) => Effect.fail(keyNotFound(definition, key, bytes))))

/** Updates a record that must exist. */
export const updateOrFail = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  f: (current: V["Type"]) => ValueInput<V>,
  options?: WriteOptions
): ReturnType<Collection<K, V, I>["updateOrFail"]> => {
  const updating = updateBy(self, key, (current) => ModifyArguments.callUpdateOrFail(f, current))
  return orFail(self, key, withOptions(self, "updateOrFail", options, updating))
}

/** Replaces some fields of a record that must exist. */
export const patch = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  fields: PatchOf<V>,
  options?: WriteOptions
): ReturnType<Collection<K, V, I>["patch"]> => {
  const patching = updateBy(self, key, (current) => {
    const problem = ModifyArguments.fieldsProblem(fields, self.definition.value.fields)
    const merge = (value: V["Type"]): ValueInput<V> => Object.assign({}, value, fields)
    return problem === undefined ? Result.succeed(Option.map(current, merge)) : Result.fail(problem)
  })
  return orFail(self, key, withOptions(self, "patch", options, patching))
}

type Pair<A, V extends ValueSchema> = readonly [result: A, next: Option.Option<ValueInput<V>>]

/** Updates a record, and returns a result of `f`. */
export const modify = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, A>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  f: (current: Option.Option<V["Type"]>) => Pair<A, V>,
  options?: WriteOptions
) =>
  ModifyArguments.runModify(f, (computeNext) => withOptions(self, "modify", options, updateBy(self, key, computeNext)))

/** Updates a record by an effect, in a transaction, and returns a result of the effect. */
export const modifyEffect = <
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  A,
  E,
  R
>(
  self: CollectionWriter<K, V, I>,
  key: K["Type"],
  f: (current: Option.Option<V["Type"]>) => Effect.Effect<Pair<A, V>, E, R>
) => {
  const { definition, transactions } = self
  return transactions.withTransaction(Effect.gen(function*() {
    const current = yield* RecordReads.get(self, key)
    const given = yield* ModifyArguments.runModifyEffect(f, current)
    if (Result.isFailure(given)) {
      const shownKey = shown(definition, key, yield* definition.key.encode(key))
      return yield* new ValueEncoding<K["Type"]>({ ...shownKey, detail: given.failure, collection: definition.name })
    }
    const [result, next] = given.success
    if (next === current) return result
    yield* (Option.isNone(next) ? RecordWrites.deleteKey(self, key) : RecordWrites.put(self, key, next.value))
    return result
  }))
}
