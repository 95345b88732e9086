/** Writes of many records in one call against the same writes one by one in a transaction. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Store, type StoreService } from "../../src/index.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { stopSweeper } from "../support/expiring.ts"
import { minutes, type Open, open, session } from "../support/fixtures/sessions.ts"
import { below } from "../support/fixtures/transactions.ts"
import { temporaryFolder } from "../support/harness.ts"

/** More records than the first part of a batch has. */
const number = 100

const Key = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: number }))
const Entry = Schema.Struct({
  key: Key,
  user: Schema.Literals(["ada", "bob"]),
  token: Key,
  minutes: Schema.Literals([0, 1, 30, 30, 30])
})

const Step = Schema.Union([
  Schema.TaggedStruct("PutMany", { entries: Schema.Array(Entry).check(Schema.isMaxLength(number)) }),
  Schema.TaggedStruct("InsertMany", { entries: Schema.Array(Entry).check(Schema.isMaxLength(4)) }),
  Schema.TaggedStruct("DeleteMany", { keys: Schema.Array(Key).check(Schema.isMaxLength(20)) }),
  Schema.TaggedStruct("Fill", { from: Key }),
  Schema.TaggedStruct("Pass", { minutes: Schema.Literals([1, 2]) })
])
type Step = typeof Step.Type

const toEntry = (entry: typeof Entry.Type) =>
  [entry.key, session(entry.user, `t${entry.token}`, entry.minutes)] as const

/** A write that has many records, some of which another one has replaced or which have a key of another one. */
const filled = (from: number) =>
  below(2 * number).map((at) => [1 + (at * 7) % number, session("ada", `t${from + at % number}`, 30)] as const)

const inOneCall = (sessions: Open, step: Step) => {
  switch (step._tag) {
    case "PutMany":
      return sessions.putMany(step.entries.map(toEntry))
    case "InsertMany":
      return sessions.insertMany(step.entries.map(toEntry))
    case "DeleteMany":
      return sessions.deleteMany(step.keys)
    case "Fill":
      return sessions.putMany(filled(step.from))
    case "Pass":
      return Effect.void
  }
}

const oneByOne = (store: StoreService, sessions: Open, step: Step) => {
  const each = <A, E>(items: ReadonlyArray<A>, write: (item: A) => Effect.Effect<void, E>) =>
    store.withTransaction(Effect.forEach(items, write, { discard: true }))
  switch (step._tag) {
    case "PutMany":
      return each(step.entries.map(toEntry), ([key, value]) => sessions.put(key, value))
    case "InsertMany":
      return each(step.entries.map(toEntry), ([key, value]) => sessions.insert(key, value))
    case "DeleteMany":
      return each(step.keys, (key) => sessions.delete(key))
    case "Fill":
      return each(filled(step.from), ([key, value]) => sessions.put(key, value))
    case "Pass":
      return Effect.void
  }
}

const contentsOf = Effect.fnUntraced(function*(sessions: Open) {
  return {
    entries: yield* Stream.runCollect(sessions.entries()),
    byToken: yield* Stream.runCollect(sessions.indexes.byToken.keys()),
    byUser: yield* Stream.runCollect(sessions.indexes.byUser.keys()),
    problems: yield* sessions.verify
  }
})

describe("putMany, insertMany and deleteMany do the same as one write after the other, and fail with the same error", () => {
  for (const waits of [false, true]) {
    const openStore = Effect.gen(function*() {
      const options = { path: yield* temporaryFolder, durability: "noSync" } as const
      const store = yield* waits ? DelayedStore.open(options) : Store.make(options)
      yield* stopSweeper(store)
      return { store, sessions: yield* open(store) }
    })

    it.effect.prop(
      `on a backend whose reads ${waits ? "wait" : "do not wait"}`,
      { steps: Schema.Array(Step).check(Schema.isMaxLength(8)) },
      ({ steps }) =>
        Effect.scoped(Effect.gen(function*() {
          const batches = yield* openStore
          const singles = yield* openStore
          for (const step of steps) {
            if (step._tag === "Pass") {
              yield* minutes(step.minutes)
              continue
            }
            const exits = [
              yield* Effect.result(inOneCall(batches.sessions, step)),
              yield* Effect.result(oneByOne(singles.store, singles.sessions, step))
            ] as const
            assert.deepStrictEqual(exits[0], exits[1])
            assert.deepStrictEqual(yield* contentsOf(batches.sessions), yield* contentsOf(singles.sessions))
          }
        })),
      { arbitrary: { runs: 12, seed: "batches" } }
    )
  }
})
