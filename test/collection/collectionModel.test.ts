/** A collection and its indexes against a `Map`, under random work. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { all, openUsers, recordsOf, User } from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Key = between(0, 7)

// Few of each, so that they meet
const Fields = Schema.Struct({
  name: Schema.Literals(["a", "a\0", "ab", "b", ""]),
  email: Schema.Literals(["x", "y", "z", "xy", "", "w", "v"]),
  age: Schema.Literals([-1, -0, 0, 17, 18, 99.5, 1e300]),
  tags: Schema.Array(Schema.Literals(["t", "tt", ""])).check(Schema.isMaxLength(3))
})

const Entries = Schema.Array(Schema.Tuple([Key, Fields])).check(Schema.isMaxLength(3))

const Work = Schema.Union([
  Schema.TaggedStruct("Put", { key: Key, fields: Fields }),
  Schema.TaggedStruct("Insert", { key: Key, fields: Fields }),
  Schema.TaggedStruct("Update", { key: Key, fields: Fields, remove: Schema.Boolean }),
  Schema.TaggedStruct("Delete", { key: Key }),
  Schema.TaggedStruct("PutMany", { entries: Entries }),
  Schema.TaggedStruct("DeleteMany", { keys: Schema.Array(Key).check(Schema.isMaxLength(3)) }),
  Schema.TaggedStruct("Clear", {})
])
type Work = typeof Work.Type

const Step = Schema.Union([
  Work,
  Work,
  Work,
  Schema.TaggedStruct("Transaction", {
    works: Schema.Array(Work).check(Schema.isMaxLength(4)),
    end: Schema.Literals(["commit", "fail"])
  }),
  Schema.TaggedStruct("Flush", {}),
  Schema.TaggedStruct("Reopen", {}),
  Schema.TaggedStruct("Rebuild", {})
])

type Model = Map<number, User>
type Users = Effect.Success<typeof openUsers>

const isFree = (model: Model, key: number, email: string) =>
  [...model].every(([other, value]) => other === key || value.email !== email)

/** Keeps a value in the model, or says that it may not be there. */
const keep = (model: Model, key: number, value: User): boolean => {
  if (!isFree(model, key, value.email)) return false
  model.set(key, value)
  return true
}

/** Does the same to the model and to the collection; both must succeed, or neither. */
const work = (users: Users, model: Model, step: Work) =>
  Effect.gen(function*() {
    const next: Model = new Map(model)
    let isAllowed = true
    let done: Effect.Effect<unknown, { readonly _tag: string }>
    switch (step._tag) {
      case "Put":
        isAllowed = keep(next, step.key, new User(step.fields))
        done = users.put(step.key, new User(step.fields))
        break
      case "Insert":
        isAllowed = !model.has(step.key) && keep(next, step.key, new User(step.fields))
        done = users.insert(step.key, new User(step.fields))
        break
      case "Update":
        if (step.remove) next.delete(step.key)
        else isAllowed = keep(next, step.key, new User(step.fields))
        done = Effect.map(
          users.update(step.key, (current) => {
            assert.deepStrictEqual(current, Option.fromUndefinedOr(model.get(step.key)))
            return step.remove ? Option.none() : Option.some(new User(step.fields))
          }),
          (given) => assert.deepStrictEqual(given, Option.fromUndefinedOr(next.get(step.key)))
        )
        break
      case "Delete":
        next.delete(step.key)
        done = users.delete(step.key)
        break
      case "PutMany":
        isAllowed = step.entries.every(([key, fields]) => keep(next, key, new User(fields)))
        done = users.putMany(step.entries.map(([key, fields]) => [key, new User(fields)]))
        break
      case "DeleteMany":
        for (const key of step.keys) next.delete(key)
        done = users.deleteMany(step.keys)
        break
      case "Clear":
        next.clear()
        done = users.clear
    }
    const result = yield* Effect.result(done)
    assert.strictEqual(result._tag, isAllowed ? "Success" : "Failure", JSON.stringify(step))
    if (result._tag === "Failure") assert.include(["UniqueViolation", "KeyExists"], result.failure._tag)
    return isAllowed ? next : model
  })

const compareText = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const compareNumbers = (a: number, b: number) =>
  a < b || (Object.is(a, -0) && Object.is(b, 0)) ? -1 : Object.is(a, b) ? 0 : 1

/** The keys of records in the order of an index, computed from the records. */
const inOrder = <A>(model: Model, keysOf: (value: User) => ReadonlyArray<A>, compare: (a: A, b: A) => number) =>
  [...model]
    .flatMap(([key, value]) => keysOf(value).map((indexKey) => ({ key, indexKey })))
    .toSorted((a, b) => compare(a.indexKey, b.indexKey) || a.key - b.key)

const keysOf = (entries: ReadonlyArray<{ readonly key: number }>) => entries.map(({ key }) => key)

/** Fails unless the collection and its indexes are what the model says. */
const assertSame = Effect.fnUntraced(function*(users: Users, model: Model) {
  const sorted = [...model].toSorted(([a], [b]) => a - b)
  assert.deepStrictEqual(yield* all(users.entries()), sorted)
  assert.strictEqual(yield* users.size, model.size)
  const { adults, byAge, byEmail, byTag } = users.indexes
  const emails = inOrder(model, ({ email }) => [email], compareText)
  const ages = inOrder(model, ({ age }) => [age], compareNumbers)
  const tags = inOrder(model, ({ tags: given }) => [...new Set(given)], compareText)
  const grown = inOrder(
    model,
    ({ age, name }) => age < 18 ? [] : [[name, age] as const],
    ([a, b], [c, d]) => compareText(a, c) || compareNumbers(b, d)
  )
  assert.deepStrictEqual(yield* all(byEmail.keys()), keysOf(emails))
  assert.deepStrictEqual(yield* all(byAge.keys({ reverse: true })), keysOf(ages).toReversed())
  assert.deepStrictEqual(yield* all(byTag.keys()), keysOf(tags))
  assert.deepStrictEqual(yield* all(adults.values()), keysOf(grown).flatMap((key) => model.get(key) ?? []))
  for (const { indexKey, key } of emails) {
    assert.deepStrictEqual(yield* byEmail.get(indexKey), Option.fromUndefinedOr(model.get(key)))
  }
  const under18 = ages.filter(({ indexKey }) => indexKey < 18)
  assert.deepStrictEqual(yield* all(byAge.keys({ lt: 18 })), keysOf(under18))
  assert.strictEqual(yield* byTag.count({ prefix: "t" }), tags.filter(({ indexKey }) => indexKey !== "").length)
  assert.deepStrictEqual(yield* users.verify, [])
})

const agrees = (
  options: Omit<StoreOptions, "path">,
  openStore: (options: StoreOptions) => ReturnType<typeof Store.make> = Store.make
) =>
  Effect.fnUntraced(function*({ steps }: { readonly steps: ReadonlyArray<typeof Step.Type> }) {
    const path = yield* temporaryFolder
    const open = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(openStore({ ...options, path, durability: "noSync" }), scope)
      return { scope, store, users: yield* Effect.provideService(openUsers, Store, store) }
    })
    let { scope, store, users } = yield* open
    const close = Effect.suspend(() => Scope.close(scope, Exit.void))
    let model: Model = new Map()
    yield* Effect.gen(function*() {
      for (const step of steps) {
        if (step._tag === "Flush") yield* store.flush
        else if (step._tag === "Rebuild") yield* users.rebuildIndexes
        else if (step._tag === "Reopen") {
          yield* close
          ;({ scope, store, users } = yield* open)
        } else if (step._tag === "Transaction") {
          const before = model
          const transaction = Effect.gen(function*() {
            let inside = before
            for (const one of step.works) inside = yield* work(users, inside, one)
            yield* assertEntries(users, inside)
            return step.end === "fail" ? yield* Effect.fail("rolled back" as const) : inside
          })
          const rolledBack = Effect.catchIf(
            store.withTransaction(transaction),
            (error) => error === "rolled back",
            () => Effect.succeed(before)
          )
          model = yield* rolledBack
        } else model = yield* work(users, model, step)
        yield* assertSame(users, model)
      }
    }).pipe(Effect.ensuring(close))
    // What is on disk is what the records and the indexes need, and nothing else
    const sizes = Object.fromEntries(
      yield* Effect.forEach(
        ["collection/users", "index/users/byEmail", "index/users/byAge"],
        (database) => Effect.map(recordsOf(path, database), (records) => [database, records.length] as const)
      )
    )
    assert.deepStrictEqual(new Set(Object.values(sizes)), new Set([model.size]))
    const again = yield* Scope.provide(Store.make({ ...options, path }), yield* Effect.scope)
    yield* assertSame(yield* Effect.provideService(openUsers, Store, again), model)
  }, Effect.scoped)

/** What a transaction sees of its own writes. */
const assertEntries = Effect.fnUntraced(function*(users: Users, model: Model) {
  assert.deepStrictEqual(yield* all(users.entries()), [...model].toSorted(([a], [b]) => a - b))
  const ages = inOrder(model, ({ age }) => [age], compareNumbers)
  assert.deepStrictEqual(yield* all(users.indexes.byAge.keys()), ages.map(({ key }) => key))
})

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 12, maxLength: 25 }) }
const arbitrary = { runs: 8, size: 30, seed: "collections" }

describe("a collection and its indexes agree with a Map after each step and when they are opened again", () => {
  it.effect.prop("with the options' defaults", workload, agrees({ flushInterval: "Infinity" }), { arbitrary })

  it.effect.prop("with small batches", workload, agrees({ batchSize: 7 }), { arbitrary })

  it.effect.prop("when every write starts a commit", workload, agrees({ batchSize: 1 }), { arbitrary })

  it.effect.prop(
    "on a backend whose reads wait",
    workload,
    agrees({ batchSize: 7 }, DelayedStore.open),
    { arbitrary }
  )

  it.effect.prop(
    "on a backend whose reads wait, when the store is shared",
    workload,
    agrees({ shared: true, batchSize: 7 }, DelayedStore.open),
    { arbitrary }
  )

  it.effect.prop("when the store is shared", workload, agrees({ shared: true, batchSize: 7 }), { arbitrary })
})
