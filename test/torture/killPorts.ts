/**
 * The implementations of Effect's storage interfaces in a store whose process is killed: key-value stores, caches, an event
 * journal, the messages of a cluster and rate limits.
 */
import * as Clock from "effect/Clock"
import type * as MessageStorage from "effect/cluster/MessageStorage"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import type { KeyValueStore } from "effect/persistence/KeyValueStore"
import type { BackingPersistenceStore } from "effect/persistence/Persistence"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { isDeepStrictEqual } from "node:util"
import * as Cluster from "../../src/Cluster.ts"
import * as LmdbEventLog from "../../src/EventLog.ts"
import type { StoreService } from "../../src/index.ts"
import * as Messages from "../../src/internal/ports/cluster/messages.ts"
import * as Replies from "../../src/internal/ports/cluster/replies.ts"
import * as JournalRecords from "../../src/internal/ports/eventlog/journalRecords.ts"
import * as RateLimits from "../../src/internal/ports/rateLimits.ts"
import * as LmdbKeyValueStore from "../../src/KeyValueStore.ts"
import * as LmdbPersistence from "../../src/Persistence.ts"
import * as LmdbRateLimiter from "../../src/RateLimiter.ts"
import { keysOfPlace, laneOf, type Mark, markOf, mostLanes, type Place, type PlaceName } from "./killOperations.ts"
import { type PortOperation, tokenLimit } from "./killPortOperations.ts"

/** The interfaces, and the records below those that cannot list what they hold. */
export interface Ports {
  readonly keyValues: KeyValueStore
  readonly results: BackingPersistenceStore
  readonly journal: EventJournal.EventJournal["Service"]
  readonly messages: MessageStorage.Encoded
  readonly limiter: RateLimiter.RateLimiter
  readonly records: {
    readonly events: Effect.Success<typeof JournalRecords.open>["entries"]
    readonly messages: Messages.Messages
    readonly replies: Replies.Replies
    readonly limits: RateLimits.RateLimits["records"]
  }
}

/** Opens them in the store of the context. */
export const open = Effect.gen(function*() {
  const limiterStore = yield* LmdbRateLimiter.makeStore()
  const ports: Ports = {
    keyValues: yield* LmdbKeyValueStore.make(),
    results: yield* Effect.flatMap(LmdbPersistence.makeBacking(), (backing) => backing.make("results")),
    journal: yield* LmdbEventLog.makeJournal(),
    messages: yield* Cluster.MessageStorage.makeEncoded,
    limiter: yield* Effect.provideService(RateLimiter.make, RateLimiter.RateLimiterStore, limiterStore),
    records: {
      events: (yield* JournalRecords.open).entries,
      messages: yield* Messages.open,
      replies: yield* Replies.open,
      limits: yield* RateLimits.open
    }
  }
  return ports
})

// ---------------------------------------------------------------------------
// what lanes do
// ---------------------------------------------------------------------------

const textOf = (mark: Mark): string => JSON.stringify(markOf(mark))

/** How long the entry of a cache lives: until long after the test, or for good. */
const lifeOf = ([number]: Mark) => number % 2 === 0 ? undefined : Duration.days(1)

/** Key-value stores and caches, as places to which lanes write. */
export const placesOf = (
  store: StoreService,
  { keyValues, results }: Ports
): Readonly<Record<"keyValues" | "results", Place>> => {
  const all = <A, E extends { readonly _tag: string }>(writes: Iterable<Effect.Effect<A, E>>) =>
    store.withTransaction(Effect.all(writes, { discard: true }))
  return {
    keyValues: {
      put: (key, mark) => keyValues.set(key, textOf(mark)),
      update: (key, mark) =>
        Effect.flatMap(
          keyValues.modify(key, () => textOf(mark)),
          (found) => found === undefined ? keyValues.set(key, textOf(mark)) : Effect.void
        ),
      delete: (key) => keyValues.remove(key),
      putMany: (entries) => all(entries.map(([key, mark]) => keyValues.set(key, textOf(mark)))),
      deleteMany: (keys) => all(keys.map((key) => keyValues.remove(key)))
    },
    results: {
      put: (key, mark) => results.set(key, markOf(mark), lifeOf(mark)),
      update: (key, mark) => results.set(key, markOf(mark), lifeOf(mark)),
      delete: (key) => results.remove(key),
      putMany: ([first, ...rest]) =>
        first === undefined
          ? Effect.void
          : results.setMany([
            [first[0], markOf(first[1]), lifeOf(first[1])],
            ...rest.map(([key, mark]) => [key, markOf(mark), lifeOf(mark)] as const)
          ]),
      deleteMany: (keys) => all(keys.map((key) => results.remove(key)))
    }
  }
}

const entryOf = ([key, mark]: readonly [string, Mark]) => ({
  event: "Written",
  primaryKey: key,
  payload: Buffer.from(textOf(mark))
})

const addressOf = (lane: number) => ({
  shardId: { group: "default", id: lane + 1 },
  entityType: "Lane",
  entityId: `lane ${lane}`
})

/** What operations are done to. */
interface Subject {
  readonly ports: Ports
  readonly places: Readonly<Record<PlaceName, Place>>
  readonly offer: (element: number) => Effect.Effect<unknown, unknown>
  readonly letThrough: (lane: number) => Effect.Effect<void>
}

/** Does an operation. */
export const perform = (
  { letThrough, offer, places, ports }: Subject,
  operation: PortOperation
): Effect.Effect<unknown, unknown> => {
  switch (operation._tag) {
    case "Write": {
      const [first, ...rest] = operation.entries
      return ports.journal.writeMany({
        entries: [entryOf(first), ...rest.map(entryOf)],
        effect: () => places.accounts.put(...operation.handled)
      })
    }
    case "Request":
      return ports.messages.saveEnvelope({
        envelope: {
          _tag: "Request",
          requestId: `${operation.mark[0]}`,
          address: addressOf(laneOf(operation.key)),
          tag: "Run",
          payload: markOf(operation.mark),
          headers: {}
        },
        primaryKey: operation.key,
        deliverAt: null
      })
    case "Reply":
      return ports.messages.saveReply({
        _tag: "WithExit",
        id: `${operation.mark[0]}`,
        requestId: `${operation.request}`,
        exit: { _tag: "Success", value: markOf(operation.mark) }
      })
    case "Consume":
      return ports.limiter.consume({ key: operation.key, limit: tokenLimit, window: "1 day" }).pipe(
        Effect.andThen(letThrough(laneOf(operation.key))),
        Effect.catchReason("RateLimiterError", "RateLimitExceeded", () => Effect.void)
      )
    case "Offer":
      return offer(operation.element)
  }
}

// ---------------------------------------------------------------------------
// what they hold
// ---------------------------------------------------------------------------

type Row = readonly [key: string, number: number, size: number]

const isValue = Schema.is(Schema.Struct({ number: Schema.Number, text: Schema.String }))

/** What a value was made of; a size of -1 if it is not what it was made as. */
const rowOf = (key: string, value: unknown): Row => {
  if (!isValue(value)) return [key, -1, -1]
  const size = value.text.length
  return [key, value.number, isDeepStrictEqual(value, markOf([value.number, size])) ? size : -1]
}

const parse = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Unknown))

const keyValuesOf = ({ keyValues }: Ports) =>
  Effect.flatMap(
    keyValues.keys,
    (keys) => Effect.forEach(keys, (key) => Effect.map(keyValues.get(key), (text) => rowOf(key, parse(text))))
  )

const resultKeys = Array.from({ length: mostLanes }, (_, lane) => keysOfPlace(lane, "results")).flat()

const resultsOf = Effect.fnUntraced(function*({ results }: Ports) {
  const [first = "", ...rest] = resultKeys
  const values = yield* results.getMany([first, ...rest])
  return resultKeys.flatMap((key, index) => values[index] === undefined ? [] : [rowOf(key, values[index])])
})

/** The messages have names as lanes give them: those of requests are their primary keys. */
const messagesOf = Effect.fnUntraced(function*({ records }: Ports) {
  const requests = (yield* records.messages.collect({})).filter(Messages.isRequest)
  const replies = yield* records.replies.collect({})
  const laneOfRequest = new Map(requests.map(({ id, primaryKey = "" }) => [id, laneOf(primaryKey)]))
  return [
    ...requests.map(({ payload, primaryKey = "" }) => rowOf(primaryKey, payload)),
    ...replies.map((reply) =>
      rowOf(
        `${laneOfRequest.get(reply.requestId)}/replies/${reply.requestId}`,
        reply._tag === "WithExit" && reply.exit._tag === "Success" ? reply.exit.value : undefined
      )
    )
  ]
})

/** What they hold, as lanes name it. */
export const recordsOf = Effect.fnUntraced(function*(ports: Ports) {
  const entries = yield* ports.journal.entries
  const limits = yield* ports.records.limits.collect({})
  return [
    ...(yield* keyValuesOf(ports)),
    ...(yield* resultsOf(ports)),
    ...entries.map(({ payload, primaryKey }) => rowOf(primaryKey, parse(Buffer.from(payload).toString()))),
    ...(yield* messagesOf(ports)),
    ...limits.map((limit): Row => [limit.key, limit._tag === "FixedWindow" ? limit.count : -1, 0])
  ]
})

/** Says what is wrong with numbers that should go from 1 up without a gap. */
const gapsIn = (numbers: ReadonlyArray<number>): ReadonlyArray<string> =>
  numbers.flatMap((number, index) => number === index + 1 ? [] : [`the journal has ${number} as number ${index + 1}`])
    .slice(0, 3)

/** What is wrong with an event journal: its numbers have no gap, and the entries of a lane are in the order of its writes. */
const journalProblemsOf = Effect.fnUntraced(function*({ journal, records }: Ports) {
  const entries = yield* journal.entries
  const isAscending = entries.every(({ id }, index) => {
    const before = entries[index - 1]
    return before === undefined || EventJournal.EntryIdOrder(before.id, id) < 0
  })
  const numbers = entries.map(({ primaryKey }) => [laneOf(primaryKey), Number(primaryKey.split("/")[2])] as const)
  const lanes = [...Map.groupBy(numbers, ([lane]) => lane).values()]
  const isInOrder = lanes.every((lane) =>
    lane.every(([, number], index) => index === 0 || number > (lane[index - 1]?.[1] ?? 0))
  )
  const sequences = (yield* records.events.collect({})).map(({ sequence }) => sequence).toSorted((a, b) => a - b)
  return [
    ...(isAscending ? [] : ["the ids of the journal do not rise"]),
    ...(isInOrder ? [] : ["the entries of a lane are not in the order in which it has written them"]),
    ...gapsIn(sequences)
  ]
})

/** What is wrong with the messages: those without a reply wait to be delivered, and no others. */
const messageProblemsOf = Effect.fnUntraced(function*({ messages, records }: Ports) {
  const [first, ...rest] = Array.from({ length: mostLanes }, (_, lane) => `default:${lane + 1}`)
  if (first === undefined) return []
  const waiting = yield* messages.unprocessedMessages([first, ...rest], yield* Clock.currentTimeMillis, undefined)
  const answered = new Set((yield* records.replies.collect({})).map(({ requestId }) => requestId))
  const expected = (yield* records.messages.collect({})).filter(({ id }) => !answered.has(id)).map(({ id }) => `${id}`)
  const seen = waiting.map(({ envelope }) => envelope._tag === "Request" ? envelope.requestId : envelope._tag)
  return isDeepStrictEqual(new Set(seen), new Set(expected)) && seen.length === expected.length
    ? []
    : [`${seen.length} messages wait for delivery, ${expected.length} have no reply`]
})

/** What is wrong with them. */
export const problemsOf = Effect.fnUntraced(function*(ports: Ports) {
  const { events, messages, replies } = ports.records
  const broken = yield* Effect.forEach(
    [events, messages, replies],
    (collection) =>
      Effect.map(
        collection.verify,
        (problems) => problems.map((problem) => `${collection.name}: ${JSON.stringify(problem)}`)
      )
  )
  return [...broken.flat(), ...(yield* journalProblemsOf(ports)), ...(yield* messageProblemsOf(ports))]
})
