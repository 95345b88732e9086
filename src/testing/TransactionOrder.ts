/**
 * Checks that concurrent transactions are serializable: that they give the same as if they had run one after the other.
 *
 * **Details**
 *
 * Each program is a transaction of a few calls on four keys, with pauses between them. `check` runs all programs at the
 * same time, and records the result of each call. Each transaction that writes also writes its own mark, so the changes
 * of the store show the order of the commits. Then a simple model runs the programs in this order, one after the other.
 * Each call must have the same result there, and the store must have the same records at the end. A transaction that
 * only reads, or that fails, must have seen one of the states between the commits.
 *
 * **Example** (Checking a store)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Store } from "effect-lmdb"
 * import { TransactionOrder } from "effect-lmdb/testing"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* Store
 *   yield* TransactionOrder.check(store, [
 *     { start: 0, end: "commit", steps: [{ call: "update", key: "k0", pauses: 2 }] },
 *     { start: 1, end: "commit", steps: [{ call: "update", key: "k0", pauses: 1 }] }
 *   ])
 * })
 *
 * Effect.runPromise(Effect.provide(program, Store.layerTemp()))
 * ```
 *
 * @since 0.2.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { StoreService } from "../StoreService.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Key = Schema.Literals(["k0", "k1", "k2", "k3"])

const keys = Key.literals

/** The keys of the records. The marks have greater keys. */
const lastKey = "l"

/**
 * Describes one call of a program.
 *
 * @category models
 * @since 0.2.0
 */
export const Step = Schema.Struct({
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
  /** The number of turns that the program pauses after the call. */
  pauses: between(0, 6)
})

type Step = typeof Step.Type

/**
 * Describes one transaction.
 *
 * @category models
 * @since 0.2.0
 */
export const Program = Schema.Struct({
  steps: Schema.Array(Step).check(Schema.isBetweenLength(1, 5)),
  /** The number of turns before it begins. */
  start: between(0, 30),
  /** Whether it commits, or fails at its end. */
  end: Schema.Literals(["commit", "commit", "commit", "fail"])
})

/**
 * One transaction, as a type.
 *
 * @category models
 * @since 0.2.0
 */
export type Program = typeof Program.Type

/**
 * The schema of four to fourteen programs, for a property test.
 *
 * @category models
 * @since 0.2.0
 */
export const Programs = Schema.Array(Program).check(Schema.isBetweenLength(4, 14))

/**
 * The transactions were not serializable: no order of them gives the results that the calls have had.
 *
 * @category errors
 * @since 0.2.0
 */
export class OrderViolation extends Data.TaggedError("OrderViolation")<{
  readonly message: string
  /** The programs that were committed, by their numbers, in the order of their commits. */
  readonly order: ReadonlyArray<number>
  readonly expected: unknown
  readonly actual: unknown
}> {}

// ---------------------------------------------------------------------------
// the model
// ---------------------------------------------------------------------------

type State = Readonly<Record<string, unknown>>

const initial: State = { k0: "start", k1: "start" }

const without = (state: State, key: string): State =>
  Object.fromEntries(Object.entries(state).filter(([name]) => name !== key))

const from = (state: State, key: string): State =>
  Object.fromEntries(Object.entries(state).filter(([name]) => name >= key))

/** Runs a call on the model. Returns its result and the state after it. */
const modelOf = (state: State, { call, key }: Step, value: unknown): readonly [result: unknown, after: State] => {
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

const isWriting = ({ call }: Step): boolean => !["get", "has", "getMany", "range", "count"].includes(call)

const valueOf = (program: number, step: number): string => `${program}.${step}`

// ---------------------------------------------------------------------------
// the store
// ---------------------------------------------------------------------------

const turns = (times: number): Effect.Effect<void> => Effect.asVoid(Effect.repeat(Effect.yieldNow, { times }))

/** Reads the records from a key on, without the marks. */
const recordsOf = (store: StoreService, key: string) =>
  Effect.map(
    Stream.runCollect(store.entries({ gte: key, lt: lastKey })),
    (entries) => Object.fromEntries<unknown>(entries)
  )

/** Makes a call. */
const take = (store: StoreService, { call, key }: Step, value: unknown): Effect.Effect<unknown, unknown> => {
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
      return store.count({ gte: key, lt: lastKey })
    case "put":
      return store.put(key, value)
    case "nested":
      // One nested transaction fails and is undone, the other one succeeds.
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

/** The results of the calls of a program. A program that fails at its end has them as its error. */
type Outcome = Result.Result<ReadonlyArray<unknown>, unknown>

const runProgram = (
  store: StoreService,
  { end, start, steps }: Program,
  index: number
): Effect.Effect<ReadonlyArray<unknown>, unknown> =>
  Effect.andThen(
    turns(start),
    store.withTransaction(Effect.gen(function*() {
      const seen: Array<unknown> = []
      for (const [number, step] of steps.entries()) {
        seen.push(yield* take(store, step, valueOf(index, number)))
        yield* turns(step.pauses)
      }
      if (end === "fail") return yield* Effect.fail(seen)
      // A program that only reads must not write a mark.
      if (steps.some(isWriting)) yield* store.put(`mark${index}`, index)
      return seen
    }))
  )

/** The recorded results of the programs. */
interface Observation {
  readonly outcomes: ReadonlyArray<Outcome>
  /** The records at the end. */
  readonly content: State
  readonly order: ReadonlyArray<number>
}

const observe = Effect.fnUntraced(function*(store: StoreService, programs: ReadonlyArray<Program>) {
  yield* store.putMany(initial)
  const marks = yield* Effect.forkChild(Stream.runCollect(store.changes({ prefix: "mark" })), {
    startImmediately: true
  })
  const fibers = yield* Effect.forEach(
    programs,
    (program, index) => Effect.forkChild(Effect.result(runProgram(store, program, index)), { startImmediately: true })
  )
  const outcomes = yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber))
  const content = yield* recordsOf(store, keys[0])
  yield* store.close({ strict: true })
  const order = (yield* Fiber.join(marks)).map((change) =>
    change._tag === "Clear" ? -1 : Number(change.key.slice("mark".length))
  )
  const observation: Observation = { outcomes, content, order }
  return observation
})

// ---------------------------------------------------------------------------
// the check
// ---------------------------------------------------------------------------

/** Runs a program on the model. */
const runModel = (state: State, program: Program | undefined, index: number) => {
  let after = state
  const seen = (program?.steps ?? []).map((step, number) => {
    const [result, next] = modelOf(after, step, valueOf(index, number))
    after = next
    return result
  })
  return { seen, after }
}

const seenBy = (outcome: Outcome | undefined): unknown => outcome === undefined ? undefined : Result.merge(outcome)

/** Finds a result that the model does not have, or a difference between the records at the end. */
const violationIn = (
  programs: ReadonlyArray<Program>,
  { content, order, outcomes }: Observation
): OrderViolation | undefined => {
  const violation = (message: string, expected: unknown, actual: unknown) =>
    new OrderViolation({ message: `${message}; the order is ${JSON.stringify(order)}`, order, expected, actual })
  const unexplained = new Set([...programs.keys()].filter((index) => !order.includes(index)))
  let state = initial
  const explain = () => {
    for (const index of unexplained) {
      if (Equal.equals(runModel(state, programs[index], index).seen, seenBy(outcomes[index]))) unexplained.delete(index)
    }
  }
  explain()
  for (const index of order) {
    const { after, seen } = runModel(state, programs[index], index)
    const actual = seenBy(outcomes[index])
    if (!Equal.equals(seen, actual)) {
      return violation(`Transaction ${index} has seen what was not there`, seen, actual)
    }
    state = after
    explain()
  }
  if (!Equal.equals(content, state)) return violation("The records are not those of the last state", state, content)
  const [index] = unexplained
  if (index !== undefined) {
    return violation(`Transaction ${index} has seen no state that there was`, undefined, seenBy(outcomes[index]))
  }
  const failed = programs.findIndex(({ end }, number) => {
    const outcome = outcomes[number]
    return end === "commit" && outcome !== undefined && Result.isFailure(outcome)
  })
  return failed < 0 ? undefined : violation(`Transaction ${failed} was not made`, undefined, seenBy(outcomes[failed]))
}

/**
 * Runs programs at the same time and closes the store. Fails if no order of the programs, one after the other, gives the
 * same results.
 *
 * **Gotchas**
 *
 * The store must be empty.
 *
 * @category checks
 * @since 0.2.0
 */
export const check = Effect.fnUntraced(function*(store: StoreService, programs: ReadonlyArray<Program>) {
  const violation = violationIn(programs, yield* observe(store, programs))
  if (violation !== undefined) return yield* violation
})
