/** One handle for the errors of the infrastructure: `StoreError`, `isStoreError`, `Store.orDie`. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { expectTypeOf } from "vitest"
import {
  type ChangesMissed,
  Closed,
  Collection,
  type CollectionFailed,
  type DuplicateKeys,
  EngineFailure,
  isStoreError,
  type Key,
  type KeyEncoding,
  KeyExists,
  KeyNotFound,
  MapFull,
  type NamespaceFailed,
  type OpenFailed,
  type ReadOnly,
  Store,
  type StoreError,
  type StoreService,
  TransactionConflict,
  UniqueViolation,
  type ValueDecoding,
  type ValueEncoding
} from "../../src/index.ts"
import { increment, leaving } from "../support/fixtures/transactions.ts"
import { temporaryFolder } from "../support/harness.ts"

const openPeople = Collection.make("people", {
  key: Schema.Int,
  value: Schema.Struct({ name: Schema.String }),
  indexes: { byName: { key: Schema.String, of: ({ name }) => name, unique: true } }
})

/** The defect that an effect ends with. */
const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined)

describe("Store.orDie", () => {
  it.effect("turns infrastructure errors into defects, and each defect is the error itself", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const missing = yield* defectOf(
        Store.orDie(Effect.scoped(Store.make({ path: `${path}/none`, readOnly: true })))
      )
      assert.include(missing, { _tag: "OpenFailed" })

      const store = yield* Store.make({ path, mapSize: "256 KiB", maxMapSize: "256 KiB" })
      const full = yield* defectOf(Store.orDie(store.putMany([["long", new Uint8Array(1_000_000)]])))
      assert.instanceOf(full, MapFull)
      assert.include(yield* defectOf(Store.orDie(store.put("", 1))), { _tag: "KeyEncoding" })
      assert.include(yield* defectOf(Store.orDie(store.put("f", () => 1))), { _tag: "ValueEncoding" })
      yield* store.close()
      const closed = yield* Effect.exit(Store.orDie(store.get("any")))
      assert.isTrue(Exit.hasDies(closed) && !Exit.hasFails(closed))
      assert.instanceOf(yield* defectOf(Store.orDie(store.get("any"))), Closed)
    }))

  it.effect("keeps the errors that an application handles, and errors of other modules", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      const people = yield* Effect.provideService(openPeople, Store, store)
      yield* people.insert(1, { name: "Ada" })
      assert.instanceOf(yield* Effect.flip(Store.orDie(people.getOrFail(2))), KeyNotFound)
      assert.instanceOf(yield* Effect.flip(Store.orDie(people.insert(1, { name: "Bob" }))), KeyExists)
      assert.instanceOf(yield* Effect.flip(Store.orDie(people.put(2, { name: "Ada" }))), UniqueViolation)
      yield* store.put("n", 1)
      const outside = yield* leaving
      const conflicting = Effect.gen(function*() {
        yield* store.get("n")
        yield* store.put("mine", 1)
        yield* outside(store.update("n", increment))
      })
      const once = store.withTransactionRetry(Schedule.recurs(0))(conflicting)
      assert.instanceOf(yield* Effect.flip(Store.orDie(once)), TransactionConflict)
      assert.strictEqual(yield* Effect.flip(Store.orDie(Effect.fail("mine" as const))), "mine")
      assert.strictEqual(yield* Store.orDie(store.getOrFail("n")), 2)
    }))

  it.effect("can be a step of Effect.fn", () =>
    Effect.gen(function*() {
      const load = Effect.fn("load")(function*(key: Key) {
        const store = yield* Store
        return yield* store.getOrFail(key)
      }, Store.orDie)
      expectTypeOf<Effect.Error<ReturnType<typeof load>>>().toEqualTypeOf<KeyNotFound<Key>>()
      assert.instanceOf(yield* Effect.flip(load("none")), KeyNotFound)
    }).pipe(Effect.provide(Store.layerTemp()), Store.orDie))

  it.effect("keeps exactly the other errors in the type", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      const people = yield* Effect.provideService(openPeople, Store, store)
      expectTypeOf(Store.orDie(store.put("a", 1))).toEqualTypeOf<Effect.Effect<void>>()
      expectTypeOf(Store.orDie(store.get("a"))).toEqualTypeOf<Effect.Effect<Option.Option<unknown>>>()
      expectTypeOf<Rest<typeof store.getOrFail>>().toEqualTypeOf<KeyNotFound<Key>>()
      expectTypeOf<Rest<typeof people.get>>().toEqualTypeOf<never>()
      expectTypeOf<Rest<typeof people.insert>>().toEqualTypeOf<KeyExists<number> | NameTaken>()
      expectTypeOf<Rest<typeof people.putMany>>().toEqualTypeOf<NameTaken | TransactionConflict>()
      const rebuild = Store.orDie(people.rebuildIndexes)
      expectTypeOf<Effect.Error<typeof rebuild>>().toEqualTypeOf<DuplicateKeys | TransactionConflict>()
      const watch = Store.orDie(Stream.runDrain(store.changes()))
      expectTypeOf<Effect.Error<typeof watch>>().toEqualTypeOf<ChangesMissed>()
      expectTypeOf<Stream.Error<ReturnType<typeof changesOrDie>>>().toEqualTypeOf<ChangesMissed>()
      const program = store.withTransaction(Effect.andThen(people.getOrFail(1), Effect.fail("mine" as const)))
      const rest = Store.orDie(program)
      expectTypeOf<Effect.Error<typeof rest>>().toEqualTypeOf<KeyNotFound<number> | "mine" | TransactionConflict>()
    }))
})

describe("isStoreError", () => {
  it("distinguishes infrastructure errors from all others", () => {
    const path = "/store"
    assert.isTrue(isStoreError(new Closed({ path, what: "Store" })))
    assert.isTrue(isStoreError(new EngineFailure({ operation: "get", code: 5, detail: "", isRetryable: false })))
    assert.isFalse(isStoreError(new TransactionConflict({ path, attempts: 1 })))
    assert.isFalse(isStoreError({ _tag: "Closed", path, what: "Store" }))
    assert.isFalse(isStoreError(undefined))
  })
})

describe("Store.orDieStream", () => {
  it.effect("does the same for a stream", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const keys = store.keys().pipe(Store.orDieStream)
      expectTypeOf<Stream.Error<typeof keys>>().toEqualTypeOf<never>()
      yield* store.put("a", 1)
      assert.deepStrictEqual(yield* Stream.runCollect(keys), ["a"])
      yield* store.close()
      assert.instanceOf(yield* defectOf(Stream.runDrain(keys)), Closed)
    }).pipe(Effect.provide(Store.layerTemp())))
})

const changesOrDie = (store: StoreService) => Store.orDieStream(store.changes())

type NameTaken = UniqueViolation<number, "byName", string>

type Rest<Method extends (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, unknown>> = Effect.Error<
  ReturnType<typeof Store.orDie<unknown, Effect.Error<ReturnType<Method>>, unknown>>
>

expectTypeOf<StoreError>().toEqualTypeOf<
  | MapFull
  | EngineFailure
  | Closed
  | ReadOnly
  | OpenFailed
  | CollectionFailed
  | NamespaceFailed
  | KeyEncoding
  | ValueEncoding
  | ValueDecoding
>()
expectTypeOf<Collection.ReadError>().toEqualTypeOf<KeyEncoding | Closed | EngineFailure>()
expectTypeOf<Collection.WriteError>().toEqualTypeOf<
  KeyEncoding | ValueEncoding | ReadOnly | Closed | MapFull | EngineFailure
>()
