/** A nested transaction that fails has seen one state, as one that succeeds has; else it runs again. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { isDeepStrictEqual } from "node:util"
import { Store, type StoreService, TransactionConflict } from "../../src/index.ts"
import { below, contentOf, leaving, openSeeded } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

/** Reads two keys, and lets a sibling change both in between the first time. Runs `end` when they differ. */
const readingBoth = <A, E>(
  store: StoreService,
  change: Effect.Effect<unknown, unknown>,
  end: (seen: ReadonlyArray<unknown>) => Effect.Effect<A, E>
) => {
  const state = { runs: 0 }
  const effect = Effect.gen(function*() {
    state.runs++
    const a = yield* store.getOrFail("a")
    if (state.runs === 1) yield* change
    const b = yield* store.getOrFail("b")
    return a === b ? "equal" : yield* end([a, b])
  })
  return { effect, state }
}

const setBoth = (store: StoreService, value: number) =>
  store.withTransaction(Effect.all([store.put("a", value), store.put("b", value)]))

/** A sibling: a transaction of a fiber that began in the outer transaction, not in the nested one. */
const siblingOf = (store: StoreService, value: number) => Effect.map(leaving, (leave) => leave(setBoth(store, value)))

describe("a nested transaction that fails after a sibling changed what it has read", () => {
  it.effect.each<{ readonly how: string; readonly end: Effect.Effect<never, string> }>([
    { how: "an error", end: Effect.fail("differ") },
    { how: "a defect", end: Effect.die("differ") },
    { how: "an interruption of its own", end: Effect.interrupt }
  ])("with $how runs again", ({ end }) =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* setBoth(store, 1)
      yield* store.withTransaction(Effect.gen(function*() {
        const { effect, state } = readingBoth(store, yield* siblingOf(store, 7), () => end)
        assert.strictEqual(yield* store.withTransaction(effect), "equal")
        assert.strictEqual(state.runs, 2)
      }))
      assert.deepStrictEqual(yield* contentOf(store), { a: 7, b: 7, c: 3 })
    }))

  it.effect("may be caught outside, and then the outer transaction does not conflict", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        const { effect, state } = readingBoth(store, yield* siblingOf(store, 7), () => Effect.void)
        const failing = store.withTransaction(Effect.andThen(effect, Effect.fail("in any case")))
        assert.strictEqual(yield* Effect.flip(failing), "in any case")
        assert.strictEqual(state.runs, 2)
      }))
      assert.strictEqual(spy.transactions(), 2)
    }))

  it.effect("and may not run again fails with TransactionConflict", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        const change = yield* siblingOf(store, 7)
        const { effect } = readingBoth(store, change, () => Effect.void)
        const failing = store.withTransactionRetry(Schedule.recurs(0))(Effect.andThen(effect, Effect.fail("no")))
        assert.deepStrictEqual(yield* Effect.flip(failing), new TransactionConflict({ path, attempts: 1 }))
      }))
    }))

  it.effect("has its writes undone, and those of the sibling kept", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        const { effect } = readingBoth(store, yield* siblingOf(store, 7), () => Effect.void)
        const failing = Effect.all([store.put("c", "undone"), effect, store.put("d", 1), Effect.fail("no")])
        assert.strictEqual(yield* Effect.flip(store.withTransaction(failing)), "no")
      }))
      assert.deepStrictEqual(yield* contentOf(store), { a: 7, b: 7, c: 3 })
    }))
})

describe("a nested transaction", () => {
  it.effect("that fails with unchanged reads fails with its own error, and runs once", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        const { effect, state } = readingBoth(store, store.getOrFail("c"), Effect.fail)
        assert.deepStrictEqual(yield* Effect.flip(store.withTransaction(effect)), [1, 2])
        assert.strictEqual(state.runs, 1)
      }))
    }))

  it.effect("that is interrupted from outside does not run again", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        const reading = yield* Deferred.make<void>()
        const { effect, state } = readingBoth(
          store,
          Effect.andThen(Deferred.succeed(reading, undefined), Effect.never),
          () => Effect.void
        )
        const fiber = yield* start(store.withTransaction(effect))
        yield* Deferred.await(reading)
        yield* setBoth(store, 7)
        yield* Fiber.interrupt(fiber)
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        assert.strictEqual(state.runs, 1)
      }))
      assert.deepStrictEqual(yield* contentOf(store), { a: 7, b: 7, c: 3 })
    }))

  it.effect.each<{ readonly how: string; readonly end: Effect.Effect<unknown, string> }>([
    { how: "fails", end: Effect.fail("no") },
    { how: "succeeds", end: Effect.void }
  ])(
    "that $how runs again after it has read two different values of a key, even if the first value is back",
    ({ end }) =>
      Effect.gen(function*() {
        const { store } = yield* openSeeded()
        yield* store.withTransaction(Effect.gen(function*() {
          const seven = yield* siblingOf(store, 7)
          const one = yield* siblingOf(store, 1)
          const seen: Array<unknown> = []
          const readTwice = Effect.gen(function*() {
            seen.push(yield* store.getOrFail("a"))
            if (seen.length === 1) yield* seven
            seen.push(yield* store.getOrFail("a"))
            if (seen.length === 2) yield* one
            return yield* end
          })
          yield* Effect.exit(store.withTransaction(readTwice))
          assert.deepStrictEqual(seen, [1, 7, 1, 1])
        }))
      })
  )

  it.effect("inside a nested one: the one whose reads have changed runs again, at its own level", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        const { effect, state } = readingBoth(store, yield* siblingOf(store, 7), () => Effect.fail("differ"))
        let outerRuns = 0
        const result = yield* store.withTransaction(Effect.suspend(() => {
          outerRuns++
          return store.withTransaction(effect)
        }))
        assert.strictEqual(result, "equal")
        // The level around it has read `a` before and after the change, so it runs again too.
        assert.deepStrictEqual([outerRuns, state.runs], [2, 3])
      }))
    }))
})

const Step = Schema.Struct({
  call: Schema.Literals(["get", "get", "put"]),
  key: Schema.Literals(["a", "b", "c"]),
  pauses: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 }))
})

const Sibling = Schema.Struct({
  steps: Schema.Array(Step).check(Schema.isBetweenLength(1, 5)),
  end: Schema.Literals(["succeed", "fail", "die", "failIfDifferent"])
})

type State = Readonly<Record<string, unknown>>

/** What a sibling has seen, and whether it failed. */
interface Outcome {
  readonly seen: ReadonlyArray<unknown>
  readonly failed: boolean
}

const fails = ({ end }: typeof Sibling.Type, seen: ReadonlyArray<unknown>): boolean =>
  end === "failIfDifferent" ? new Set(seen).size > 1 : end !== "succeed"

/** What a sibling sees, and what it has written, when it runs alone. */
const modelOf = (sibling: typeof Sibling.Type, index: number, before: State): readonly [Outcome, State] => {
  const seen: Array<unknown> = []
  const state = new Map(Object.entries(before))
  for (const [number, { call, key }] of sibling.steps.entries()) {
    if (call === "get") seen.push(state.get(key))
    else state.set(key, `${index}.${number}`)
  }
  const failed = fails(sibling, seen)
  return [{ seen, failed }, failed ? before : Object.fromEntries(state)]
}

const runSibling = (store: StoreService, sibling: typeof Sibling.Type, index: number) =>
  Effect.suspend(() => {
    let seen: Array<unknown> = []
    const steps = Effect.gen(function*() {
      seen = []
      for (const [number, { call, key, pauses }] of sibling.steps.entries()) {
        if (call === "get") seen.push(Option.getOrUndefined(yield* store.get(key)))
        else yield* store.put(key, `${index}.${number}`)
        yield* turns(pauses)
      }
      if (fails(sibling, seen)) yield* sibling.end === "die" ? Effect.die("no") : Effect.fail("no")
    })
    return Effect.map(Effect.exit(store.withTransaction(steps)), (exit): Outcome => ({
      seen,
      failed: Exit.isFailure(exit)
    }))
  })

/** All orders of some indexes. */
function* ordersOf(indexes: ReadonlyArray<number>): Generator<ReadonlyArray<number>> {
  if (indexes.length === 0) yield []
  for (const first of indexes) {
    for (const rest of ordersOf(indexes.filter((index) => index !== first))) yield [first, ...rest]
  }
}

describe("siblings at the same time in one transaction, some of which fail", () => {
  it.effect.prop(
    "give the same results as one after the other",
    { siblings: Schema.Array(Sibling).check(Schema.isBetweenLength(2, 4)) },
    ({ siblings }) =>
      Effect.gen(function*() {
        const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
        const before: State = { a: "start", b: "start", c: "start" }
        yield* store.putMany(before)
        const outcomes = yield* store.withTransaction(
          Effect.forEach(siblings, (sibling, index) => runSibling(store, sibling, index), { concurrency: "unbounded" })
        )
        const after = yield* contentOf(store)
        const explains = (order: ReadonlyArray<number>): boolean => {
          let state = before
          for (const index of order) {
            const sibling = siblings[index]
            if (sibling === undefined) return false
            const [outcome, next] = modelOf(sibling, index, state)
            if (!isDeepStrictEqual(outcome, outcomes[index])) return false
            state = next
          }
          return isDeepStrictEqual(state, after)
        }
        assert.isTrue(Array.from(ordersOf(below(siblings.length))).some(explains), JSON.stringify({ outcomes, after }))
      }),
    { arbitrary: { runs: 150 } }
  )
})
