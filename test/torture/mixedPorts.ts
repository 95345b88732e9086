/**
 * The implementations of Effect's storage interfaces in a long run: calls by turns, each of which also deletes what it has
 * stored, now or later.
 */
import * as Clock from "effect/Clock"
import * as EntityAddress from "effect/cluster/EntityAddress"
import * as EntityId from "effect/cluster/EntityId"
import * as EntityType from "effect/cluster/EntityType"
import * as ShardId from "effect/cluster/ShardId"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as Cluster from "../../src/Cluster.ts"
import * as LmdbEventLog from "../../src/EventLog.ts"
import * as LmdbKeyValueStore from "../../src/KeyValueStore.ts"
import * as LmdbPersistence from "../../src/Persistence.ts"
import * as LmdbRateLimiter from "../../src/RateLimiter.ts"
import type { Random } from "./random.ts"
import type { Recorder } from "./section.ts"

type Step = () => Effect.Effect<unknown, unknown>

interface Choices {
  readonly random: Random
  readonly recorder: Recorder
}

const keyOf = (random: Random): string => `key ${random.below(300)}`

const textOf = (random: Random): string => "x".repeat(random.below(random.oneIn(20) ? 20_000 : 500))

const keyValueSteps = Effect.fnUntraced(function*({ random }: Choices) {
  const keyValues = yield* LmdbKeyValueStore.make()
  const key = () => keyOf(random)
  return (): Effect.Effect<unknown, unknown> => {
    const choice = random.below(100)
    if (choice < 50) return keyValues.set(key(), textOf(random))
    if (choice < 60) return keyValues.modify(key(), (text) => text.slice(1))
    if (choice < 75) return keyValues.get(key())
    if (choice < 97) return keyValues.remove(key())
    return choice < 99 ? keyValues.clearPrefix(`key ${random.below(10)}`) : keyValues.size
  }
})

/** Entries of a cache, most of which end while the section runs. */
const resultSteps = Effect.fnUntraced(function*({ random }: Choices) {
  const results = yield* Effect.flatMap(LmdbPersistence.makeBacking(), (backing) => backing.make("results"))
  const key = () => keyOf(random)
  const entry = () =>
    [key(), { text: textOf(random) }, random.oneIn(4) ? undefined : Duration.millis(random.between(1, 2000))] as const
  return (): Effect.Effect<unknown, unknown> => {
    const choice = random.below(100)
    if (choice < 50) return results.set(...entry())
    if (choice < 60) return results.setMany([entry(), entry(), entry()])
    if (choice < 75) return results.get(key())
    if (choice < 90) return results.getMany([key(), key(), key()])
    return choice < 99 ? results.remove(key()) : results.clear
  }
})

/** Tokens of windows that end soon. */
const limitSteps = Effect.fnUntraced(function*({ random }: Choices) {
  const limits = yield* LmdbRateLimiter.makeStore()
  const limiter = yield* Effect.provideService(RateLimiter.make, RateLimiter.RateLimiterStore, limits)
  return () =>
    limiter.consume({
      key: keyOf(random),
      limit: 3,
      window: random.between(10, 2000),
      algorithm: random.pick(["fixed-window", "token-bucket"])
    }).pipe(Effect.catchReason("RateLimiterError", "RateLimitExceeded", () => Effect.void))
})

/** Offers an element and takes it; some fail for good. */
const queueSteps = Effect.fnUntraced(function*({ random, recorder }: Choices) {
  const queues = yield* PersistedQueue.PersistedQueueStore
  const queue = yield* PersistedQueue.make({ name: "mixed", schema: Schema.String, maxAttempts: 1 })
  const now = Duration.millis(0)
  return Effect.fnUntraced(function*() {
    if (random.oneIn(100)) yield* queues.cleanup({ timeToLive: now, failedTimeToLive: now })
    const offered = textOf(random)
    yield* queue.offer(offered)
    const isFailing = random.oneIn(5)
    yield* queue.take((element) => {
      recorder.expect(element === offered, "the queue gave an element that was not offered last")
      return isFailing ? Effect.fail("a fault of the handler") : Effect.void
    }).pipe(Effect.catchIf((error) => error === "a fault of the handler", () => Effect.void))
  })
})

const journalSteps = Effect.fnUntraced(function*({ random, recorder }: Choices) {
  const journal = yield* LmdbEventLog.makeJournal()
  let written = 0
  return Effect.fnUntraced(function*() {
    if (random.oneIn(100)) {
      const { length } = yield* journal.entries
      recorder.expect(length === written, `the journal has ${length} entries, not ${written}`)
      yield* journal.destroy
      written = 0
    }
    yield* journal.write({
      event: "Written",
      primaryKey: keyOf(random),
      payload: random.bytes(random.below(300)),
      effect: () => Effect.void
    })
    written++
  })
})

const addressOf = (entity: number) =>
  EntityAddress.make({
    shardId: ShardId.make("default", 1),
    entityType: EntityType.make("Mixed"),
    entityId: EntityId.make(`entity ${entity}`)
  })

/** Requests to entities and their replies, until the entity is cleared. */
const messageSteps = Effect.fnUntraced(function*({ random, recorder }: Choices) {
  const messages = yield* Cluster.MessageStorage.makeEncoded
  let number = 0
  return Effect.fnUntraced(function*() {
    const requestId = `${++number}`
    const address = addressOf(Math.floor(number / 100))
    yield* messages.saveEnvelope({
      envelope: { _tag: "Request", requestId, address, tag: "Run", payload: { text: textOf(random) }, headers: {} },
      primaryKey: `request ${number}`,
      deliverAt: null
    })
    const waiting = yield* messages.unprocessedMessages(["default:1"], yield* Clock.currentTimeMillis, undefined)
    recorder.expect(waiting.length === 1, `${waiting.length} messages wait, and one was saved`)
    yield* messages.saveReply({
      _tag: "WithExit",
      id: `${++number}`,
      requestId,
      exit: { _tag: "Success", value: textOf(random) }
    })
    if (number % 100 === 0) yield* messages.clearAddress(address)
  })
})

/** Opens them in the store of the context, and gives what makes one call after the other. */
export const open = Effect.fnUntraced(function*(random: Random, recorder: Recorder) {
  const choices: Choices = { random, recorder }
  const keyValues: Step = yield* keyValueSteps(choices)
  const results: Step = yield* resultSteps(choices)
  const limits: Step = yield* limitSteps(choices)
  const queue: Step = yield* queueSteps(choices)
  const journal: Step = yield* journalSteps(choices)
  const messages: Step = yield* messageSteps(choices)
  return (): Effect.Effect<unknown, unknown> => {
    recorder.count("calls of ports")
    return random.pick([keyValues, keyValues, results, results, limits, queue, journal, messages])()
  }
})
