/** Many transactions at the same time are as if they had run one after the other. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { isDeepStrictEqual } from "node:util"
import { Store, type StoreService } from "../../src/index.ts"
import { below } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const keyCount = 4

const keys = below(keyCount).map((index) => `k${index}`)

const Key = Schema.Literals(["k0", "k1", "k2", "k3"])

const Step = Schema.Struct({
  call: Schema.Literals([
    "get",
    "has",
    "getMany",
    "range",
    "count",
    "put",
    "delete",
    "update",
    "deleteRange",
    "nested"
  ]),
  key: Key,
  pauses: between(0, 6)
})

const Program = Schema.Struct({
  steps: Schema.Array(Step).check(Schema.isBetweenLength(1, 5)),
  start: between(0, 30),
  /** Whether it ends well. */
  end: Schema.Literals(["commit", "commit", "commit", "fail"])
})

type State = Readonly<Record<string, unknown>>

const without = (state: State, key: string): State =>
  Object.fromEntries(Object.entries(state).filter(([name]) => name !== key))

const from = (state: State, key: string): State =>
  Object.fromEntries(Object.entries(state).filter(([name]) => name >= key))

/** What a step gives and leaves behind when nobody else is there. */
const modelOf = (state: State, { call, key }: typeof Step.Type, value: unknown): readonly [unknown, State] => {
  switch (call) {
    case "get":
      return [state[key], state]
    case "has":
      return [key in state, state]
    case "getMany":
      return [state, state]
    case "range":
      return [from(state, key), state]
    case "count":
      return [Object.keys(from(state, key)).length, state]
    case "put":
    case "nested":
      return [undefined, { ...state, [key]: value }]
    case "delete":
      return [undefined, without(state, key)]
    case "update":
      return [state[key], { ...state, [key]: value }]
    case "deleteRange":
      return [key in state ? 1 : 0, without(state, key)]
  }
}

/** The records of a stream, without what marks who wrote. */
const recordsOf = (store: StoreService, key: string) =>
  Effect.map(Stream.runCollect(store.entries({ gte: key, lt: "l" })), (entries) => Object.fromEntries<unknown>(entries))

/** Takes a step of the store. */
const take = (
  store: StoreService,
  { call, key }: typeof Step.Type,
  value: unknown
): Effect.Effect<unknown, unknown> => {
  switch (call) {
    case "get":
      return Effect.map(store.get(key), Option.getOrUndefined)
    case "has":
      return store.has(key)
    case "getMany":
      return Effect.map(store.getMany(keys), ({ found }) => Object.fromEntries(found))
    case "range":
      return recordsOf(store, key)
    case "count":
      return store.count({ gte: key, lt: "l" })
    case "put":
      return store.put(key, value)
    case "nested":
      // One part comes to nothing, the other is made
      return Effect.all([
        Effect.flip(store.withTransaction(Effect.andThen(store.deleteMany(keys), Effect.fail("no")))),
        store.withTransaction(store.put(key, value))
      ]).pipe(Effect.as(undefined))
    case "delete":
      return store.delete(key)
    case "update": {
      const seen: Array<unknown> = []
      const next = (current: Option.Option<unknown>) => {
        seen.push(Option.getOrUndefined(current))
        return Option.some(value)
      }
      return Effect.map(store.update(key, next), () => seen.at(-1))
    }
    case "deleteRange":
      return store.deleteRange({ prefix: key })
  }
}

const isWriting = ({ call }: typeof Step.Type): boolean => !["get", "has", "getMany", "range", "count"].includes(call)

describe("any transactions at the same time", () => {
  it.effect.prop(
    "are as if they had run one after the other, in the order in which the changes tell of them",
    { programs: Schema.Array(Program).check(Schema.isBetweenLength(4, 14)) },
    ({ programs }) =>
      Effect.gen(function*() {
        const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
        yield* store.putMany({ k0: "start", k1: "start" })
        const told = yield* start(Stream.runCollect(store.changes({ prefix: "mark" })))
        const fibers = yield* Effect.forEach(programs, (program, index) =>
          start(Effect.gen(function*() {
            yield* turns(program.start)
            return yield* store.withTransaction(Effect.gen(function*() {
              const seen: Array<unknown> = []
              for (const [number, step] of program.steps.entries()) {
                seen.push(yield* take(store, step, `${index}.${number}`))
                yield* turns(step.pauses)
              }
              if (program.end === "fail") return yield* Effect.fail(seen)
              // Who only reads shall only read
              if (program.steps.some(isWriting)) yield* store.put(`mark${index}`, index)
              return seen
            }))
          })))
        const exits = yield* Effect.forEach(fibers, (fiber) => Effect.result(Fiber.join(fiber)))
        const content = yield* recordsOf(store, "k")
        yield* store.close({ strict: true })
        const order = (yield* Fiber.join(told)).map((change) =>
          change._tag === "Clear" ? -1 : Number(change.key.slice(4))
        )

        let state: State = { k0: "start", k1: "start" }
        const run = (index: number) => {
          const steps = programs[index]?.steps ?? []
          let after = state
          const seen = steps.map((step, number) => {
            const [result, next] = modelOf(after, step, `${index}.${number}`)
            after = next
            return result
          })
          return { seen, after }
        }
        const resultOf = (index: number): unknown => {
          const exit = exits[index]
          return exit === undefined ? undefined : exit._tag === "Success" ? exit.success : exit.failure
        }
        const others = new Set(programs.keys())
        const explained = new Set<number>()
        const explainOthers = () => {
          for (const index of others) {
            if (isDeepStrictEqual(run(index).seen, resultOf(index))) explained.add(index)
          }
        }
        for (const index of order) others.delete(index)
        explainOthers()
        for (const index of order) {
          const { after, seen } = run(index)
          assert.deepStrictEqual(resultOf(index), seen, `transaction ${index} of ${JSON.stringify(order)}`)
          state = after
          explainOthers()
        }
        assert.deepStrictEqual(content, state)
        // Who only read, or failed, saw one of the states in between
        assert.deepStrictEqual([...others].filter((index) => !explained.has(index)), [])
        const made = [...programs.keys()].filter((index) => programs[index]?.end === "commit")
        assert.deepStrictEqual(made.filter((index) => exits[index]?._tag !== "Success"), [])
      }),
    { arbitrary: { runs: 60 } }
  )
})
