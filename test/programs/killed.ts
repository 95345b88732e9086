/**
 * Says what a store and its collections hold, and changes it until somebody kills this
 * process or it is done.
 *
 * Each line begins with what it is about: `work` and what is done to a collection that
 * is being opened, `records` and what the store held when it was opened, `problems` and
 * what was wrong with its collections, `archive` and how much the archive holds,
 * `backup` and what a backup holds, `ready`, `done` with the lane and the number of an
 * operation that was acknowledged, `through` with the lane that a rate limit let through, `begin` with an element of a
 * queue and its attempt, `settled` with an element that was handled, `elements` and the states of all, `closed`. A line is written when what it tells has
 * happened, and not before.
 *
 * Argument: the place, the folder of the backups and the names of those to look at,
 * the milliseconds between commits, the size of a batch, and the life, as JSON.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { existsSync, writeSync } from "node:fs"
import * as process from "node:process"
import { isDeepStrictEqual } from "node:util"
import { Store, type StoreService } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import * as Place from "../support/place.ts"
import * as KillCollections from "../torture/killCollections.ts"
import { lifeOfBackup, markOf, operationsOf, perform } from "../torture/killOperations.ts"
import type { PortOperation } from "../torture/killPortOperations.ts"
import * as KillPorts from "../torture/killPorts.ts"
import * as KillQueue from "../torture/killQueue.ts"
import * as Say from "../torture/say.ts"

const Arguments = Schema.Struct({
  place: Place.Place,
  backups: Schema.String,
  names: Schema.Array(Schema.String),
  flushInterval: Schema.Number,
  batchSize: Schema.Int,
  life: Schema.Struct({
    seed: Schema.Int,
    number: Schema.Int,
    lanes: Schema.Int,
    operations: Schema.Int,
    shared: Schema.Boolean
  })
})

const { backups, batchSize, flushInterval, life, names, place } = Schema.decodeUnknownSync(
  Schema.fromJsonString(Arguments)
)(process.argv[2])

const write = (about: string, what: unknown): void => Say.say(`${about} ${JSON.stringify(what)}\n`)

const say = (about: string, what: unknown = "") => Effect.sync(() => write(about, what))

let isWorked = false

const sayWork = (work: KillCollections.Work): void => {
  isWorked = true
  write("work", work)
}

const isValue = Schema.is(Schema.Struct({ number: Schema.Number, text: Schema.String }))

/** The keys of a store with the marks of their values; a value that is not what it was made as has a size of -1. */
const recordsOfStore = (store: StoreService) =>
  Effect.map(Stream.runCollect(store.entries()), (entries) =>
    entries.map(([key, value]) => {
      if (!isValue(value)) return [key, -1, -1] as const
      const size = value.text.length
      return [key, value.number, isDeepStrictEqual(value, markOf([value.number, size])) ? size : -1] as const
    }))

/** The same with those of the collections, and what is wrong with these. */
const lookAt = Effect.fnUntraced(
  function*(store: StoreService, collections: KillCollections.Collections, ports: KillPorts.Ports, number: number) {
    const { accounts, journal } = collections
    const records = [
      ...(yield* recordsOfStore(store)),
      ...(yield* KillCollections.recordsOf(accounts, number)),
      ...(yield* KillCollections.recordsOf(journal, number)),
      ...(yield* KillPorts.recordsOf(ports))
    ]
    return {
      records,
      problems: [
        ...(yield* KillCollections.problemsOf(accounts)),
        ...(yield* KillCollections.problemsOf(journal)),
        ...(yield* KillPorts.problemsOf(ports))
      ]
    }
  }
)

const lookAtBackup = Effect.fnUntraced(function*(name: string) {
  const number = lifeOfBackup(name)
  const store = yield* Store.make({ path: `${backups}/${name}`, readOnly: true })
  const open = Effect.all([KillCollections.openAll(number, () => undefined), KillPorts.open])
  const [collections, ports] = yield* Effect.provideService(open, Store, store)
  return yield* lookAt(store, collections, ports, number)
}, Effect.scoped)

const sayBackup = (name: string) =>
  existsSync(`${backups}/${name}/data.mdb`)
    ? Effect.flatMap(lookAtBackup(name), (found) => say("backup", { name, ...found }))
    : say("backup", { name })

/** Looks at the archive after something was done to it, and makes it where it is not there. */
const sayArchive = Effect.fnUntraced(function*(archive: KillCollections.Opened) {
  const size = yield* archive.size
  yield* say("archive", size)
  if (size > 0 && isWorked) yield* say("problems", yield* KillCollections.archiveProblemsOf(archive, life.number))
  if (size > 0) return
  yield* KillCollections.fillArchive(archive, life.number)
  yield* say("archive", yield* archive.size)
})

type Queue = Effect.Success<ReturnType<typeof KillQueue.make>>

const letThrough = (lane: number) => say("through", lane)

/** What the lanes of a life do. */
const live = Effect.fnUntraced(function*(
  store: StoreService,
  collections: KillCollections.Collections,
  ports: KillPorts.Ports,
  { offer }: Queue
) {
  const places = { ...KillCollections.placesOf(store, collections), ...KillPorts.placesOf(store, ports) }
  const performPort = (operation: PortOperation) => KillPorts.perform({ ports, places, offer, letThrough }, operation)
  const lanes = Array.from(
    { length: life.lanes },
    (_, lane) =>
      Effect.forEach(operationsOf(life, lane), (operation, index) =>
        Effect.andThen(
          perform({ store, places, lane, lanes: life.lanes, backups, offer, performPort }, operation),
          say("done", [lane, index + 1])
        ), { discard: true })
  )
  yield* Effect.all(lanes, { concurrency: "unbounded", discard: true })
})

const program = Effect.gen(function*() {
  const store = yield* Place.open(place, { shared: life.shared, mapSize: "256 KiB", batchSize, flushInterval })
  const use = Effect.gen(function*() {
    const archive = yield* KillCollections.open("archive", life.number, sayWork)
    const collections = yield* KillCollections.openAll(life.number, sayWork)
    const ports = yield* KillPorts.open
    const { problems, records } = yield* lookAt(store, collections, ports, life.number)
    yield* say("records", records)
    yield* say("problems", problems)
    yield* sayArchive(archive)
    yield* Effect.forEach(names, sayBackup)
    const queue = yield* KillQueue.make(say)
    yield* say("ready")
    const lanes = Effect.andThen(live(store, collections, ports, queue), KillQueue.awaitHandled())
    yield* Effect.raceFirst(lanes, queue.work)
    yield* say("elements", yield* KillQueue.statesOf)
  })
  const queues = LmdbPersistedQueue.layer({ lockExpiration: "1 second" })
  yield* Effect.scoped(use).pipe(Effect.provide(queues), Effect.provideService(Store, store))
  yield* store.close({ strict: true })
  yield* say("closed")
}).pipe(
  Effect.tapCause((cause) => Effect.sync(() => void writeSync(2, Cause.pretty(cause)))),
  Effect.provide(Logger.layer([])),
  Effect.scoped
)

NodeRuntime.runMain(program)
