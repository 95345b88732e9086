/** A collection whose records expire against a `Map` with times, under random work. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { stopSweeper } from "../support/expiring.ts"
import { minutes, type Open, open, same, type Session, session } from "../support/fixtures/sessions.ts"
import { temporaryFolder } from "../support/harness.ts"

const Key = Schema.Literals([1, 2, 3, 4, 5])
const Fields = {
  key: Key,
  user: Schema.Literals(["ada", "bob"]),
  token: Schema.Literals(["t1", "t2", "t3", "t4", "t5"]),
  minutes: Schema.NullOr(Schema.Literals([0, 1, 2, 3, 5]))
}

const Work = Schema.Union([
  Schema.TaggedStruct("Put", Fields),
  Schema.TaggedStruct("Insert", Fields),
  Schema.TaggedStruct("Update", Fields),
  Schema.TaggedStruct("Delete", { key: Key })
])
type Work = typeof Work.Type

const Step = Schema.Union([
  Work,
  Work,
  Work,
  Schema.TaggedStruct("Pass", { minutes: Schema.Literals([1, 1, 2, 4]) }),
  Schema.TaggedStruct("Pass", { minutes: Schema.Literals([1, 1, 2, 4]) }),
  Schema.TaggedStruct("Transaction", {
    works: Schema.Array(Work).check(Schema.isMaxLength(4)),
    end: Schema.Literals(["commit", "fail"])
  }),
  Schema.TaggedStruct("Flush", {}),
  Schema.TaggedStruct("Reopen", {})
])
type Step = typeof Step.Type

interface Timed {
  readonly value: Session
  readonly until: number
}
type Model = Map<number, Timed>

/** Deletes what has expired. */
const expire = (model: Model, now: number): void => {
  for (const [key, { until }] of model) if (until <= now) model.delete(key)
}

/** Does a work, and the same in the model. */
const work = Effect.fnUntraced(function*(sessions: Open, model: Model, step: Work) {
  const now = yield* Clock.currentTimeMillis
  expire(model, now)
  if (step._tag === "Delete") {
    model.delete(step.key)
    return yield* sessions.delete(step.key)
  }
  const { key } = step
  const value = session(step.user, step.token, step.minutes)
  const exists = model.has(key)
  const isTaken = [...model].some(([other, held]) => other !== key && held.value.token === value.token)
  const writing: Effect.Effect<void, { readonly _tag: string }> = step._tag === "Put"
    ? sessions.put(key, value)
    : step._tag === "Insert"
    ? sessions.insert(key, value)
    : Effect.asVoid(sessions.update(key, (current) => {
      assert.strictEqual(Option.isSome(current), exists)
      return Option.some(value)
    }))
  const exit = yield* Effect.result(writing)
  const failure = step._tag === "Insert" && exists ? "KeyExists" : isTaken ? "UniqueViolation" : undefined
  assert.strictEqual(exit._tag === "Failure" ? exit.failure._tag : undefined, failure)
  if (failure === undefined) {
    model.set(key, { value, until: value.minutes === null ? Infinity : now + 60_000 * value.minutes })
  }
  expire(model, now)
})

/** Opens a store on LMDB, or on LMDB whose reads wait. */
const openStore = (options: StoreOptions, waits: boolean) => {
  if (!waits) return Store.make(options)
  const backend = Effect.flatMap(LocalBackend.make(options), (local) => DelayedBackend.make(local, { seed: 1 }))
  return Store.makeWithBackend(backend, { name: "delayed" })
}

const agrees = (options: Omit<StoreOptions, "path">, sweeps: boolean, waits = false) =>
  Effect.fnUntraced(function*({ steps }: { readonly steps: ReadonlyArray<Step> }) {
    const path = yield* temporaryFolder
    const reopen = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(openStore({ ...options, path }, waits), scope)
      if (!sweeps) yield* stopSweeper(store)
      return { scope, store, sessions: yield* open(store) }
    })
    let opened = yield* reopen
    let model: Model = new Map()
    for (const step of steps) {
      const { scope, sessions, store } = opened
      switch (step._tag) {
        case "Pass":
          yield* minutes(step.minutes)
          break
        case "Flush":
          yield* store.flush
          break
        case "Reopen":
          yield* Scope.close(scope, Exit.void)
          opened = yield* reopen
          break
        case "Transaction": {
          const inside: Model = new Map(model)
          const done = yield* Effect.exit(store.withTransaction(Effect.gen(function*() {
            for (const each of step.works) {
              yield* work(sessions, inside, each)
              yield* same({ ...sessions, verify: Effect.succeed([]) }, valuesOf(inside))
            }
            if (step.end === "fail") return yield* Effect.fail("fail")
          })))
          if (step.end === "commit") {
            assert.isTrue(Exit.isSuccess(done), String(done))
            model = inside
          }
          break
        }
        default:
          yield* work(sessions, model, step)
      }
      expire(model, yield* Clock.currentTimeMillis)
      yield* same(opened.sessions, valuesOf(model))
    }
    yield* Scope.close(opened.scope, Exit.void)
  })

const valuesOf = (model: Model): ReadonlyMap<number, Session> =>
  new Map(Array.from(model, ([key, { value }]) => [key, value]))

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 12, maxLength: 25 }) }
const arbitrary = { runs: 8, size: 30, seed: "expiry" }

describe("a collection whose records expire agrees with a Map with times after each step", () => {
  it.effect.prop("when the sweeper runs", workload, agrees({ flushInterval: "Infinity" }, true), { arbitrary })

  it.effect.prop("when only reads hide them", workload, agrees({ flushInterval: "Infinity" }, false), { arbitrary })

  it.effect.prop("when reads wait", workload, agrees({ flushInterval: "Infinity" }, true, true), { arbitrary })

  it.effect.prop("when every write starts a commit", workload, agrees({ batchSize: 1 }, true), { arbitrary })

  it.effect.prop("when the store is shared", workload, agrees({ shared: true, batchSize: 7 }, true), { arbitrary })

  it.effect.prop("when the store is shared and only reads hide them", workload, agrees({ shared: true }, false), {
    arbitrary
  })
})
