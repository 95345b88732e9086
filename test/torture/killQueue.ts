/**
 * The queue of a store whose process is killed. Lanes offer elements to it, and workers handle them meanwhile.
 *
 * Each element whose offer was acknowledged is handled at least once, in this life or in a later one. After `take` has
 * returned, it is not handled again. An element whose transaction has failed is never handled.
 */
import * as Effect from "effect/Effect"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schema from "effect/Schema"
import * as QueueElements from "../../src/internal/ports/queueElements.ts"
import { type Life, type Operation, operationsOf } from "./killOperations.ts"
import type { Recorder } from "./section.ts"

// ---------------------------------------------------------------------------
// the process that is killed
// ---------------------------------------------------------------------------

/** A killed process has used an attempt: no number of lives uses up all of them. */
const open = PersistedQueue.make({
  name: "killed",
  schema: Schema.Int,
  maxAttempts: 1000
})

/** How many elements a process handles at the same time. */
const workers = 3

/** Tells what has happened: `begin` with an element and its attempt, `settled` with an element. */
type Tell = (about: string, what: unknown) => Effect.Effect<void>

/** The queue, and what works on it for ever. */
export const make = Effect.fnUntraced(function*(tell: Tell) {
  const queue = yield* open
  const work = queue.take((element, { attempts }) =>
    tell("begin", [element, attempts]).pipe(
      Effect.andThen(Effect.sleep(element % 4)),
      // The first attempt of some elements fails
      Effect.andThen(
        element % 5 === 0 && attempts === 1 ? Effect.fail("a fault of the handler") : Effect.succeed(element)
      )
    )
  ).pipe(
    Effect.tap((element) => tell("settled", element)),
    Effect.catchIf((error) => error === "a fault of the handler", () => Effect.void),
    Effect.forever
  )
  return {
    offer: (element: number) => queue.offer(element, { id: `${element}` }),
    work: Effect.all(Array.from({ length: workers }, () => work), { concurrency: "unbounded", discard: true })
  }
})

/** Waits until all elements are handled. Those of a process that has died come when its leases have ended. */
export const awaitHandled = Effect.fnUntraced(function*() {
  const elements = yield* QueueElements.open
  const pending = Effect.map(elements.collect({}), (all) => all.filter(({ state }) => state === "pending").length)
  yield* Effect.repeat(Effect.andThen(Effect.sleep(50), pending), { until: (count) => count === 0 })
})

/** The elements by their ids, and their states. */
export const statesOf = Effect.gen(function*() {
  const elements = yield* QueueElements.open
  return (yield* elements.collect({})).map(({ id, state }) => [Number(id), state] as const)
})

// ---------------------------------------------------------------------------
// the process that watches
// ---------------------------------------------------------------------------

/** What is known of the elements, from life to life. */
export interface Known {
  /** The elements whose offer was acknowledged. */
  readonly offered: Set<number>
  /** Those that may be in the queue besides: the process was killed while it offered them. */
  readonly possible: Set<number>
  readonly settled: Set<number>
  /** The last attempt of each element that was taken. */
  readonly attempts: Map<number, number>
}

export const nothingKnown = (): Known => ({
  offered: new Set(),
  possible: new Set(),
  settled: new Set(),
  attempts: new Map()
})

const offeredBy = (operation: Operation): ReadonlyArray<number> => {
  if (operation._tag === "Offer") return [operation.element]
  return operation._tag === "Transaction" && operation.ending === "commit" ? operation.offered : []
}

const noteOffers = (known: Known, life: Life, acknowledged: ReadonlyMap<number, number>): void => {
  for (let lane = 0; lane < life.lanes; lane++) {
    const done = acknowledged.get(lane) ?? 0
    const operations = operationsOf(life, lane)
    for (const element of operations.slice(0, done).flatMap(offeredBy)) known.offered.add(element)
    for (const element of operations.slice(done, done + 1).flatMap(offeredBy)) known.possible.add(element)
  }
}

const readElement = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Int))
const readBegin = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Tuple([Schema.Int, Schema.Int])))
const readStates = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Array(Schema.Tuple([Schema.Int, Schema.String])))
)

const expectBegin = (recorder: Recorder, known: Known, life: Life, [element, attempt]: readonly [number, number]) => {
  const what = `element ${element}, attempt ${attempt} in life ${life.number}`
  const before = known.attempts.get(element) ?? 0
  recorder.count("elements taken")
  if (before > 0) recorder.count("elements taken again")
  recorder.expect(!known.settled.has(element), `${what}: it was settled before`)
  // An attempt that was interrupted does not count: its number comes again
  recorder.expect(attempt >= Math.max(before, 1), `${what}: attempt ${before} was before it`)
  known.attempts.set(element, attempt)
}

/** Checks what a life has done to the elements. */
export const expectLife = (
  recorder: Recorder,
  known: Known,
  life: Life,
  acknowledged: ReadonlyMap<number, number>,
  lines: ReadonlyArray<string>
): void => {
  for (const line of lines) {
    const [about, what] = [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]
    if (about === "begin") expectBegin(recorder, known, life, readBegin(what))
    if (about === "settled") known.settled.add(readElement(what))
    if (about === "elements") expectStates(recorder, known, readStates(what))
  }
  noteOffers(known, life, acknowledged)
  const strange = [...known.attempts.keys()].filter((one) => !known.offered.has(one) && !known.possible.has(one))
  recorder.expect(
    strange.length === 0,
    `elements ${strange.slice(0, 5).join()} were handled, and were not offered`
  )
}

/** Checks the elements after all are handled. */
const expectStates = (recorder: Recorder, known: Known, states: ReadonlyArray<readonly [number, string]>): void => {
  const stateOf = new Map(states)
  recorder.count("elements offered", known.offered.size)
  for (const element of known.offered) {
    const state = stateOf.get(element) ?? "missing"
    recorder.expect(state === "completed", `element ${element} was offered, and is ${state} in the end`)
    recorder.expect(known.attempts.has(element), `element ${element} is ${state}, and was never handled`)
  }
  for (const element of known.settled) {
    const state = stateOf.get(element) ?? "missing"
    recorder.expect(state === "completed", `element ${element} was settled, and is ${state} in the end`)
  }
}
