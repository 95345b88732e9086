/**
 * The scenarios of the storage interfaces: what is prepared, what is timed, and how it is known to be right.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Persistable from "effect/persistence/Persistable"
import * as PersistedCache from "effect/persistence/PersistedCache"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Persistence from "effect/persistence/Persistence"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Activity, Workflow } from "effect/workflow"
import { WrongResult } from "../benchError.ts"
import type { Run } from "../measuring.ts"
import * as Records from "../records.ts"
import type { PortScenarioId } from "./plan.ts"
import type { Ports } from "./systems.ts"

type Scenario = (ports: Ports) => Effect.Effect<Run, unknown, Scope.Scope>

/** The number of records in a cache or key-value store, all of which a run reads or writes. */
const records = 1000

/** The number of reads or buffered writes in a run. */
const operations = records

/** The number of durable writes of one fiber in a run. */
const durableWrites = 50

const expectNumber = (what: string, seen: number, expected: number) =>
  seen === expected ? Effect.void : Effect.fail(new WrongResult({ what, seen, expected }))

/** Some of the numbers of the records, spread over all of them: others in each run. */
const spread = (count: number) => {
  let last = 0
  return () =>
    Array.from({ length: count }, () => {
      // Coprime with the number of records: it comes to all of them
      last = (last + 617) % records
      return last
    })
}

/** Builds a layer until the scope closes, and gets a service with it. */
const using = <I, S>(
  layer: Layer.Layer<I, unknown>,
  service: Effect.Effect<S, unknown, I | Scope.Scope>
): Effect.Effect<S, unknown, Scope.Scope> =>
  Effect.flatMap(Layer.build(layer), (context) => Effect.provideContext(service, context))

// -----------------------------------------------------------------------------
// queues
// -----------------------------------------------------------------------------

const openQueue = Effect.flatMap(
  PersistedQueue.PersistedQueueFactory,
  (factory) => factory.make({ name: "records", schema: Records.BenchRecord })
)

type Queue = Effect.Success<typeof openQueue>

/** The most fibers that use a queue. */
const mostFibers = 200

const offerAll = (queue: Queue, elements: number, concurrency: number) =>
  Effect.forEach(Records.range(0, elements), (index) => queue.offer(Records.recordOf(index)), {
    concurrency,
    discard: true
  })

/** Takes elements, each of which has to be there once. */
const takeAll = (queue: Queue, elements: number, concurrency: number) =>
  Effect.forEach(Records.range(0, elements), () => queue.take(({ id }) => Effect.succeed(id)), { concurrency }).pipe(
    Effect.flatMap((taken) =>
      expectNumber("the sum of the elements taken", Records.sumOf(taken), Records.sumOf(Records.range(0, elements)))
    )
  )

/** Measures offers or takes of some fibers. The queue is empty before and after. */
const queue = (fibers: number, isOffering: boolean): Scenario => ({ queues }) =>
  Effect.map(using(queues, openQueue), (elements): Run => {
    const count = fibers * Math.max(10, durableWrites / fibers)
    return (stopwatch) =>
      Effect.as(
        isOffering
          ? Effect.andThen(stopwatch.time(offerAll(elements, count, fibers)), takeAll(elements, count, mostFibers))
          : Effect.andThen(offerAll(elements, count, mostFibers), stopwatch.time(takeAll(elements, count, fibers))),
        count
      )
  })

// -----------------------------------------------------------------------------
// workflows
// -----------------------------------------------------------------------------

/** The activities of a workflow. */
const steps = 10

const Steps = Workflow.make("Steps", {
  payload: { id: Schema.String },
  success: Schema.Number,
  idempotencyKey: ({ id }) => id
})

const StepsLive = Steps.toLayer(() =>
  Effect.map(
    Effect.forEach(
      Records.range(0, steps),
      (step) => Activity.make({ name: `step ${step}`, success: Schema.Number, execute: Effect.succeed(step) })
    ),
    (results) => Records.sumOf(results)
  )
)

const workflow = (concurrency: number): Scenario => ({ workflows }) =>
  Effect.map(Layer.build(Layer.provideMerge(StepsLive, workflows)), (context): Run => {
    let last = 0
    return (stopwatch) =>
      Effect.gen(function*() {
        const ids = Records.range(last, 2 * concurrency)
        last += ids.length
        const sums = yield* stopwatch.time(
          Effect.forEach(ids, (id) => Steps.execute({ id: String(id) }), { concurrency })
        )
        yield* expectNumber("the sum of all steps", Records.sumOf(sums), ids.length * steps * (steps - 1) / 2)
        return ids.length * steps
      }).pipe(Effect.provideContext(context))
  })

// -----------------------------------------------------------------------------
// caches
// -----------------------------------------------------------------------------

class GetRecord extends Persistable.Class<{ payload: { index: number } }>()("GetRecord", {
  primaryKey: ({ index }) => Records.keyOf(index),
  success: Records.BenchRecord
}) {}

/** The requests. Effect compiles the schema of each request once, so later runs do not pay for it. */
const requests = Records.range(0, records).map((index) => new GetRecord({ index }))

const requestOf = (index: number): GetRecord => requests[index] ?? new GetRecord({ index })

/** Persistence with all records in it. */
const openCache = (timeToLive: "1 day" | "Infinity") =>
  Effect.gen(function*() {
    const persistence = yield* Persistence.Persistence
    const cache = yield* persistence.make({ storeId: "records", timeToLive: () => timeToLive })
    yield* cache.setMany(
      Records.range(0, records).map((index) => [requestOf(index), Exit.succeed(Records.recordOf(index))])
    )
    return cache
  })

const cacheGet: Scenario = ({ persistence }) =>
  Effect.map(using(persistence, openCache("1 day")), (cache): Run => {
    const next = spread(operations)
    return Effect.fnUntraced(function*(stopwatch) {
      const indexes = next()
      const found = yield* stopwatch.time(
        Effect.forEach(indexes, (index) => cache.get(requestOf(index)))
      )
      const ids = found.map((exit) => exit !== undefined && Exit.isSuccess(exit) ? exit.value.id : Number.NaN)
      yield* expectNumber("the sum of the records read", Records.sumOf(ids), Records.sumOf(indexes))
      return indexes.length
    })
  })

/** The cache keeps one record in memory, so it finds each in its store. */
const cacheHit: Scenario = ({ persistence }) => {
  const open = Effect.andThen(
    openCache("1 day"),
    PersistedCache.make(({ index }: GetRecord) => Effect.die(new Error(`The record ${index} is missing.`)), {
      storeId: "records",
      timeToLive: () => "1 day",
      inMemoryCapacity: 1
    })
  )
  return Effect.map(using(persistence, open), (cache): Run => {
    const next = spread(operations)
    return Effect.fnUntraced(function*(stopwatch) {
      const indexes = next()
      const found = yield* stopwatch.time(Effect.forEach(indexes, (index) => cache.get(requestOf(index))))
      yield* expectNumber("the sum of the records read", Records.sumOf(found.map(Records.idOf)), Records.sumOf(indexes))
      return indexes.length
    })
  })
}

const cacheSet = (timeToLive: "1 day" | "Infinity", count: number): Scenario => ({ onDisk, persistence }) =>
  Effect.map(using(persistence, openCache(timeToLive)), (cache): Run => {
    const next = spread(count)
    let version = 0
    return Effect.fnUntraced(function*(stopwatch) {
      version++
      const indexes = next()
      const write = (index: number) => cache.set(requestOf(index), Exit.succeed(Records.recordOf(index, version)))
      yield* stopwatch.time(Effect.andThen(Effect.forEach(indexes, write, { discard: true }), onDisk))
      const last = yield* cache.get(requestOf(indexes[0] ?? 0))
      yield* expectText("the record that was set", JSON.stringify(last), version, indexes[0] ?? 0)
      return count
    })
  })

const expectText = (what: string, seen: string, version: number, index: number) => {
  const { name } = Records.recordOf(index, version)
  return seen.includes(name) ? Effect.void : Effect.fail(new WrongResult({ what, seen, expected: name }))
}

// -----------------------------------------------------------------------------
// rate limits
// -----------------------------------------------------------------------------

const check = (limiter: RateLimiter.RateLimiter, algorithm: "fixed-window" | "token-bucket", key: string) =>
  limiter.consume({ algorithm, key, limit: 10_000_000, window: "1 day" })

const limit = (algorithm: "fixed-window" | "token-bucket"): Scenario => ({ onDisk, rateLimiter }) =>
  rateLimiter === undefined
    ? Effect.die(new Error("The system has no rate limiter."))
    : Effect.map(using(rateLimiter, Effect.service(RateLimiter.RateLimiter)), (limiter): Run => {
      const next = spread(operations)
      return Effect.fnUntraced(function*(stopwatch) {
        const keys = next().map((index) => Records.keyOf(index % 100))
        const results = yield* stopwatch.time(
          Effect.tap(Effect.forEach(keys, (key) => check(limiter, algorithm, key)), onDisk)
        )
        yield* expectNumber("the checks refused", results.filter(({ remaining }) => remaining < 0).length, 0)
        return keys.length
      })
    })

// -----------------------------------------------------------------------------
// key-value stores
// -----------------------------------------------------------------------------

const textOf = (index: number, version = 0): string => JSON.stringify(Records.recordOf(index, version))

const lengthOf = (text: string | undefined): number => text?.length ?? Number.NaN

/** A key-value store with all records in it. */
const openValues = Effect.tap(
  Effect.service(KeyValueStore.KeyValueStore),
  (values) =>
    Effect.forEach(Records.range(0, records), (index) => values.set(Records.keyOf(index), textOf(index)), {
      concurrency: "unbounded",
      discard: true
    })
)

const valueGet: Scenario = ({ keyValueStore }) =>
  Effect.map(using(keyValueStore, openValues), (values): Run => {
    const next = spread(operations)
    return Effect.fnUntraced(function*(stopwatch) {
      const indexes = next()
      const found = yield* stopwatch.time(Effect.forEach(indexes, (index) => values.get(Records.keyOf(index))))
      yield* expectNumber(
        "the characters read",
        Records.sumOf(found.map(lengthOf)),
        Records.sumOf(indexes, (index) => lengthOf(textOf(index)))
      )
      return indexes.length
    })
  })

const valueSet = (count: number): Scenario => ({ keyValueStore, onDisk }) =>
  Effect.map(using(keyValueStore, openValues), (values): Run => {
    const next = spread(count)
    let version = 0
    return Effect.fnUntraced(function*(stopwatch) {
      version++
      const indexes = next()
      const write = (index: number) => values.set(Records.keyOf(index), textOf(index, version))
      yield* stopwatch.time(Effect.andThen(Effect.forEach(indexes, write, { discard: true }), onDisk))
      const last = yield* values.get(Records.keyOf(indexes[0] ?? 0))
      yield* expectText("the value that was set", last ?? "", version, indexes[0] ?? 0)
      return count
    })
  })

/** The scenarios by their names. */
export const portScenarios: Record<PortScenarioId, Scenario> = {
  "queue-offer-1": queue(1, true),
  "queue-offer-16": queue(16, true),
  "queue-offer-200": queue(200, true),
  "queue-take-1": queue(1, false),
  "queue-take-16": queue(16, false),
  "queue-take-200": queue(200, false),
  "workflow-1": workflow(1),
  "workflow-16": workflow(16),
  "cache-hit": cacheHit,
  "cache-get": cacheGet,
  "cache-set": cacheSet("Infinity", operations),
  "cache-set-ttl": cacheSet("1 day", operations),
  "cache-set-durable": cacheSet("1 day", durableWrites),
  "limit-window": limit("fixed-window"),
  "limit-bucket": limit("token-bucket"),
  "kv-get": valueGet,
  "kv-set": valueSet(operations),
  "kv-set-durable": valueSet(durableWrites)
}
