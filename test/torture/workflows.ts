/**
 * Workflows: many durable workflows at the same time, each of which waits for a queue four times, on one store.
 *
 * The cluster looks for messages by itself only once an hour here. So a message that is taken and not delivered, or saved
 * without waking the cluster, stops its workflow. The round ends when all workflows have, or when no result has come for a
 * while.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { DurableQueue, Workflow } from "effect/workflow"
import { Workflows } from "../../src/Cluster.ts"
import { Store, type StoreService } from "../../src/index.ts"
import * as Mailbox from "../../src/internal/ports/cluster/mailbox.ts"
import * as QueueElements from "../../src/internal/ports/queueElements.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { temporaryFolder } from "../support/harness.ts"
import { hangLimit } from "../support/timeLimits.ts"
import * as Random from "./random.ts"
import { record, type Recorder, type Section } from "./section.ts"

const Doubles = DurableQueue.make({
  name: "doubles",
  payload: { number: Schema.Int },
  success: Schema.Int,
  idempotencyKey: ({ number }) => `${number}`
})

const SixteenTimes = Workflow.make("SixteenTimes", {
  payload: { number: Schema.Int },
  success: Schema.Int,
  idempotencyKey: ({ number }) => `${number}`
})

/** How often each workflow waits for the queue. */
const steps = 4

const SixteenTimesLive = SixteenTimes.toLayer(Effect.fnUntraced(function*({ number }) {
  let product = number
  for (let step = 0; step < steps; step++) product = yield* DurableQueue.process(Doubles, { number: product })
  return product
}))

/** How workflows are run. */
interface Load {
  readonly executions: number
  /** How many of them run at the same time. */
  readonly concurrency: number
  /** How many elements the workers handle at the same time. */
  readonly workers: number
}

/** What the workers do, and what they have done. */
interface Work {
  readonly handled: Array<number>
  /** How long a worker has an element: none for most, so that its result comes while its workflow is being suspended. */
  readonly pause: Effect.Effect<void>
}

const pauseOf = (random: Random.Random): Effect.Effect<void> =>
  Effect.suspend(() =>
    random.pick<() => Effect.Effect<void>>([
      () => Effect.void,
      () => Effect.void,
      () => Effect.yieldNow,
      () => Effect.sleep(random.below(5))
    ])()
  )

const workersOf = ({ handled, pause }: Work, concurrency: number) =>
  DurableQueue.worker(
    Doubles,
    ({ number }) => Effect.as(Effect.andThen(Effect.sync(() => handled.push(number)), pause), 2 * number),
    { concurrency }
  )

/** Waits for all results, and gives up when none has come for a while. */
const awaitResults = Effect.fnUntraced(function*(numbers: ReadonlyArray<number>, concurrency: number) {
  const results = new Map<number, number>()
  const all = yield* Effect.forkChild(
    Effect.forEach(
      numbers,
      (number) => Effect.map(SixteenTimes.execute({ number }), (product) => results.set(number, product)),
      { concurrency, discard: true }
    )
  )
  for (let before = -1; before < results.size;) {
    before = results.size
    const ended = yield* Effect.timeoutOption(Fiber.await(all), hangLimit)
    if (Option.isSome(ended)) return yield* Effect.as(ended.value, results)
  }
  yield* Fiber.interrupt(all)
  return results
})

/** What is left in the store when all workflows have ended: nothing that waits, and each element completed. */
const expectNothingWaits = Effect.fnUntraced(function*(recorder: Recorder, elements: number) {
  const stored = yield* (yield* QueueElements.open).collect({})
  const completed = stored.filter(({ state }) => state === "completed").length
  recorder.expect(
    completed === elements && stored.length === elements,
    `${completed} of ${stored.length} elements are completed, not ${elements}`
  )
  const waiting = yield* (yield* Mailbox.open).size
  recorder.expect(waiting === 0, `${waiting} messages wait in the mailbox, although all workflows have ended`)
})

/** Runs workflows on a store, and checks their results and what they leave. */
const runOn = Effect.fnUntraced(function*(
  store: StoreService,
  { concurrency, executions, workers }: Load,
  random: Random.Random,
  recorder: Recorder
) {
  const work: Work = { handled: [], pause: pauseOf(random) }
  const numbers = Array.from({ length: executions }, (_, index) => index + 1)
  const Live = Layer.merge(SixteenTimesLive, workersOf(work, workers)).pipe(
    Layer.provideMerge(Workflows.layer({ shardingConfig: { entityMessagePollInterval: "1 hour" } })),
    Layer.provideMerge(LmdbPersistedQueue.layer()),
    Layer.provide(Layer.succeed(Store, store))
  )
  const results = yield* Effect.provide(awaitResults(numbers, concurrency), Live)
  const missing = numbers.filter((number) => !results.has(number))
  recorder.expect(missing.length === 0, `no result for ${hangLimit} ms: ${missing.length} workflows have none`)
  for (const [number, product] of results) {
    recorder.expect(product === 2 ** steps * number, `${2 ** steps} times ${number} is ${product}`)
  }
  // Each workflow has elements of its own, although two of them double the same number
  const expected = numbers.flatMap((number) => Array.from({ length: steps }, (_, step) => 2 ** step * number))
  const isHandledOnce = work.handled.toSorted((a, b) => a - b).join() === expected.toSorted((a, b) => a - b).join()
  recorder.expect(isHandledOnce, `${work.handled.length} elements were handled, not ${expected.length}, each once`)
  yield* Effect.provideService(expectNothingWaits(recorder, expected.length), Store, store)
  recorder.count("workflows", results.size)
  recorder.count("elements handled", work.handled.length)
})

/** The section. In every second round the store answers reads later, as a database server does. */
export const section: Section = {
  rounds: { quick: 1, long: 10 },
  round: Effect.fnUntraced(function*(seed, { quick }) {
    const recorder = record()
    const random = Random.make(seed)
    const path = yield* temporaryFolder
    const store = yield* seed % 2 === 0 ? DelayedStore.open({ path }, { seed }) : Store.make({ path })
    yield* runOn(store, { executions: quick ? 16 : 300, concurrency: 20, workers: 10 }, random, recorder)
    return recorder.report()
  })
}
