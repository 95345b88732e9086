/**
 * Queue-day: a day's traffic of a queue, hour by hour. Elements are offered and handled at the same time, some of them later
 * or at another attempt, some fail for good, and what is old is cleaned up. The file stays flat after the first hours.
 *
 * The hours are short: when all that is due has been handled, the clock goes on to the next one.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { statSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import * as QueueElements from "../../src/internal/ports/queueElements.ts"
import { storageKey } from "../../src/internal/ports/storageKey.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import { temporaryFolder } from "../support/harness.ts"
import * as Random from "./random.ts"
import { record, type Recorder, type RoundOptions, type Section } from "./section.ts"

const hours = 24

/** The hours in which the file may grow: the longest delay and the time to live of failed elements have passed by then. */
const warmUp = 8

/**
 * How long the file may be afterwards. On a busy machine a reader may keep the pages of some commits from being used again,
 * once. What stays of each element, even 30 bytes, makes the file longer than that.
 */
const mostAfter = (bytes: number): number => 1.3 * bytes + 64 * 1024

/** How many fibers offer elements, and how many handle them. */
const fibers = 100

const timesToLive = { timeToLive: Duration.hours(1), failedTimeToLive: Duration.hours(2) }

/** A clock that can be put forward, beside the time that passes. */
interface DayClock {
  readonly clock: Clock.Clock
  readonly forward: (duration: Duration.Duration) => void
}

const makeClock = (real: Clock.Clock): DayClock => {
  let ahead = 0
  const millis = () => real.currentTimeMillisUnsafe() + ahead
  return {
    clock: {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: () => real.currentTimeNanosUnsafe(),
      currentTimeNanos: real.currentTimeNanos,
      monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: real.monotonicTimeNanos,
      sleep: (duration) => real.sleep(duration)
    },
    forward: (duration) => {
      ahead += Duration.toMillis(duration)
    }
  }
}

const Element = Schema.Struct({ number: Schema.Int, text: Schema.String })

type Element = typeof Element.Type

class HandlerFailed extends Data.TaggedError("HandlerFailed")<{}> {}

/** Some elements fail at their first attempt, and a few at each. */
const failsAlways = ({ number }: Element): boolean => number % 500 === 1

const failsFirst = ({ number }: Element): boolean => number % 50 === 0

/** A day of a queue. */
interface Day {
  readonly elements: QueueElements.Elements
  readonly queues: PersistedQueue.PersistedQueueStore["Service"]
  readonly queue: PersistedQueue.PersistedQueue<Element>
  readonly dayClock: DayClock
  readonly random: Random.Random
  /** How often each element was handled with success. */
  readonly handled: Uint8Array
  readonly recorder: Recorder
}

const queueName = "day"

const handle = ({ handled, queue }: Day) =>
  queue.take((element, { attempts }) =>
    failsAlways(element) || (failsFirst(element) && attempts === 1)
      ? Effect.fail(new HandlerFailed())
      : Effect.sync(() => {
        handled[element.number] = (handled[element.number] ?? 0) + 1
      })
  ).pipe(Effect.catchTag("HandlerFailed", () => Effect.void))

const offer = ({ queue, random }: Day, number: number) =>
  queue.offer(
    { number, text: "x".repeat(random.below(random.oneIn(50) ? 5000 : 400)) },
    random.oneIn(20) ? { delay: Duration.minutes(random.between(10, 170)) } : {}
  )

/** Waits until all that is due was handled. */
const awaitDue = Effect.fnUntraced(function*({ elements }: Day) {
  const key = storageKey(queueName)
  const left = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.zipWith(
      elements.indexes.due.count({ prefix: [key], lte: [key, now, Infinity] }),
      elements.indexes.leased.count({ prefix: [key] }),
      (due, leased) => due + leased
    ))
  yield* Effect.repeat(Effect.andThen(Effect.sleep(20), left), { until: (count) => count === 0 })
})

/** Offers the elements with some numbers, and goes on to the next hour when all that is due was handled. */
const passHour = Effect.fnUntraced(function*(day: Day, numbers: ReadonlyArray<number>) {
  yield* Effect.forEach(numbers, (number) => offer(day, number), { concurrency: fibers, discard: true })
  yield* awaitDue(day)
  day.dayClock.forward(Duration.hours(1))
  yield* day.queues.cleanup(timesToLive)
})

/** After the day the delayed elements come, and everything is cleaned up in the end. */
const endDay = Effect.fnUntraced(function*(day: Day, count: number) {
  const { elements, handled, recorder } = day
  for (let hour = 0; hour < 4; hour++) {
    // An element that is due at once wakes those that wait for a time to which the clock was put forward
    yield* day.queue.offer({ number: count + hour, text: "" })
    yield* passHour(day, [])
  }
  day.dayClock.forward(Duration.hours(4))
  yield* day.queues.cleanup(timesToLive)
  const left = yield* elements.size
  recorder.expect(left === 0, `${left} elements are left after all were cleaned up`)
  let wrong = 0
  for (let number = 0; number < count; number++) {
    if (handled[number] !== (failsAlways({ number, text: "" }) ? 0 : 1)) wrong++
  }
  recorder.expect(wrong === 0, `${wrong} of ${count} elements were not handled, or more than once`)
})

const kibibytes = (bytes: number): number => Math.round(bytes / 1024)

const run = Effect.fnUntraced(function*(day: Day, count: number, file: string) {
  const { recorder } = day
  const perHour = Math.ceil(count / hours)
  yield* Effect.forkScoped(
    Effect.all(Array.from({ length: fibers }, () => Effect.forever(handle(day))), { concurrency: "unbounded" })
  )
  const sizes: Array<number> = []
  for (let hour = 0; hour < hours; hour++) {
    yield* passHour(day, Array.from({ length: perHour }, (_, index) => hour * perHour + index))
    sizes.push(statSync(file).size)
    if (hour % 4 === 3) {
      recorder.count(`most KiB of file after ${hour + 1} hours`, kibibytes(statSync(file).size))
      recorder.count(`most MiB of memory after ${hour + 1} hours`, kibibytes(process.memoryUsage().rss / 1024))
    }
  }
  const [before, after] = [Math.max(...sizes.slice(0, warmUp)), Math.max(...sizes.slice(warmUp))]
  recorder.expect(
    after <= mostAfter(before),
    `the file grows: ${before} bytes in the first ${warmUp} hours, ${after} afterwards`
  )
  recorder.count("elements", perHour * hours)
  yield* endDay(day, perHour * hours)
})

/** The section. */
export const section: Section = {
  rounds: { quick: 1, long: 1 },
  round: Effect.fnUntraced(function*(seed, { elements: count }: RoundOptions) {
    const recorder = record()
    const path = join(yield* temporaryFolder, "store")
    const dayClock = makeClock(yield* Clock.Clock)
    const use = Effect.gen(function*() {
      const day: Day = {
        elements: yield* QueueElements.open,
        queues: yield* PersistedQueue.PersistedQueueStore,
        queue: yield* PersistedQueue.make({
          name: queueName,
          schema: Element,
          maxAttempts: 3,
          retrySchedule: Schedule.spaced("10 millis")
        }),
        dayClock,
        random: Random.make(seed),
        handled: new Uint8Array(count + 2 * hours),
        recorder
      }
      yield* run(day, count, join(path, "data.mdb"))
    })
    yield* Effect.gen(function*() {
      const store = yield* Store.make({ path })
      yield* Effect.scoped(use).pipe(
        Effect.provide(LmdbPersistedQueue.layer()),
        Effect.provideService(Store, store)
      )
    }).pipe(Effect.provideService(Clock.Clock, dayClock.clock))
    return recorder.report()
  })
}
