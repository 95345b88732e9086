/**
 * Random workloads of a store, and the simple model that they are compared with:
 * a `Map`.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { assert } from "vitest"
import { type OpenFailed, type StoreService } from "../../src/index.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const keyCount = 12

/** All keys that a workload uses: short ones, long ones, and one that is a prefix of others. */
export const keys: ReadonlyArray<string> = Array.from({ length: keyCount }, (_, index) => `k${"y".repeat(index ** 2)}`)

const keyAt = (index: number): string => keys[index % keyCount] ?? ""

const KeyIndex = between(0, keyCount - 1)

const stepOf = (largest: number) => {
  // Small values are as likely as values of some pages and as the largest
  const Size = Schema.Union([between(0, 60), between(1000, 9000), between(0, largest)])
  return Schema.Union([
    Schema.TaggedStruct("Put", { key: KeyIndex, size: Size }),
    Schema.TaggedStruct("Put", { key: KeyIndex, size: Size }),
    Schema.TaggedStruct("Put", { key: KeyIndex, size: Size }),
    Schema.TaggedStruct("Delete", { key: KeyIndex }),
    Schema.TaggedStruct("Update", { key: KeyIndex, size: Size, remove: Schema.Boolean }),
    Schema.TaggedStruct("PutMany", {
      entries: Schema.Array(Schema.Struct({ key: KeyIndex, size: Size })).check(Schema.isMaxLength(6))
    }),
    Schema.TaggedStruct("DeleteMany", { keys: Schema.Array(KeyIndex).check(Schema.isMaxLength(6)) }),
    Schema.TaggedStruct("Flush", {}),
    Schema.TaggedStruct("Flush", {}),
    Schema.TaggedStruct("Clear", {}),
    Schema.TaggedStruct("Reopen", {})
  ])
}

/** One step of a workload. */
export type Step = ReturnType<typeof stepOf>["Type"]

/** Workloads of `maxLength` steps or half of that, with values of up to `largest` characters. */
export const steps = (options: { readonly largest: number; readonly maxLength: number }) =>
  Arbitrary.array(Arbitrary.schema(stepOf(options.largest)), {
    minLength: Math.floor(options.maxLength / 2),
    maxLength: options.maxLength
  })

type Model = ReadonlyMap<string, unknown>

/** Fails unless every way to read the store agrees with the model. */
const assertSame = Effect.fnUntraced(function*(store: StoreService, model: Model) {
  const { found, missing } = yield* store.getMany(keys)
  assert.deepStrictEqual(Object.fromEntries(found), Object.fromEntries(model))
  assert.deepStrictEqual(missing, keys.filter((key) => !model.has(key)))
  assert.strictEqual(yield* store.size, model.size)
  for (const key of keys) {
    assert.strictEqual(yield* store.has(key), model.has(key), key)
    assert.deepStrictEqual(
      yield* store.get(key),
      model.has(key) ? Option.some(model.get(key)) : Option.none(),
      key
    )
  }
})

const write = (store: StoreService, step: Step, nextValue: (size: number) => unknown, model: Map<string, unknown>) => {
  switch (step._tag) {
    case "Put": {
      const value = nextValue(step.size)
      model.set(keyAt(step.key), value)
      return store.put(keyAt(step.key), value)
    }
    case "Delete":
      model.delete(keyAt(step.key))
      return store.delete(keyAt(step.key))
    case "Update": {
      const key = keyAt(step.key)
      const value = [model.get(key) === undefined, nextValue(step.size)]
      if (step.remove) model.delete(key)
      else model.set(key, value)
      return store.update(
        key,
        (current) => step.remove ? Option.none() : Option.some([Option.isNone(current), value[1]])
      )
    }
    case "PutMany": {
      const entries = step.entries.map(({ key, size }) => [keyAt(key), nextValue(size)] as const)
      for (const [key, value] of entries) model.set(key, value)
      return store.putMany(entries)
    }
    case "DeleteMany":
      for (const key of step.keys) model.delete(keyAt(key))
      return store.deleteMany(step.keys.map(keyAt))
    case "Clear":
      model.clear()
      return store.clear
    case "Flush":
    case "Reopen":
      return store.flush
  }
}

/**
 * Runs a workload and compares the store with the model after each step and after
 * the last close. A step that fails with `MapFull` must have changed nothing.
 */
export const run = Effect.fnUntraced(function*(
  workload: ReadonlyArray<Step>,
  open: Effect.Effect<StoreService, OpenFailed, Scope.Scope>,
  afterStep: (store: StoreService, model: Model) => Effect.Effect<void, unknown> = () => Effect.void
) {
  let scope = yield* Scope.make()
  let store = yield* Scope.provide(open, scope)
  let model = new Map<string, unknown>()
  let count = 0
  const nextValue = (size: number): string => `${++count} ${"x".repeat(size)}`
  const reopen = Effect.gen(function*() {
    yield* Scope.close(scope, Exit.void)
    scope = yield* Scope.make()
    store = yield* Scope.provide(open, scope)
  })

  yield* Effect.gen(function*() {
    for (const step of workload) {
      const next = new Map(model)
      const isDone = yield* write(store, step, nextValue, next).pipe(
        Effect.as(true),
        Effect.catchTag("MapFull", () => Effect.succeed(false))
      )
      if (isDone) model = next
      if (isDone && step._tag === "Reopen") yield* reopen
      yield* assertSame(store, model)
      yield* afterStep(store, model)
    }
    const isFlushed = yield* Effect.as(store.flush, true).pipe(
      Effect.catchTag("MapFull", () => Effect.succeed(false))
    )
    if (isFlushed) {
      yield* reopen
      yield* assertSame(store, model)
    }
    return store
  }).pipe(Effect.ensuring(Effect.suspend(() => Scope.close(scope, Exit.void))))
})
