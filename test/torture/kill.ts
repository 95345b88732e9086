/**
 * Kill: a process that writes is killed at a random moment, again and again on one
 * store, and the next process finds what was acknowledged. It may be killed in the
 * middle of a migration or of building indexes, which the next process goes on with.
 *
 * What the store holds of a lane must be what the lane had made after some number of
 * its operations: at least those that were durable when they were acknowledged, at
 * the most one more than was acknowledged. So every batch is whole or absent, and
 * nothing comes back that was replaced.
 *
 * On PostgreSQL, the server is killed too, and started again. The process goes on, or ends with an error.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { temporaryFolder } from "../support/harness.ts"
import * as Place from "../support/place.ts"
import { ownServer } from "../support/postgresServer.ts"
import * as Children from "./children.ts"
import { archived } from "./killCollections.ts"
import { change, isDurable, laneOf, type Life, type Model, mostLanes, operationsOf } from "./killOperations.ts"
import { tokenLimit, tokensKey } from "./killPortOperations.ts"
import * as KillQueue from "./killQueue.ts"
import * as Observer from "./observer.ts"
import * as Random from "./random.ts"
import { record, type Recorder, type Section } from "./section.ts"

const program = new URL("../programs/killed.ts", import.meta.url)

/** How a life ends: by a signal to its process, or after the server was killed and started again. */
type End = "SIGKILL" | "SIGTERM" | "SIGINT" | "server"

/** How the lives of a round end, besides the last, which ends by itself. */
const endsOf: Readonly<Record<Place.Kind, ReadonlyArray<End>>> = {
  lmdb: [...Array.from({ length: 10 }, () => "SIGKILL" as const), "SIGTERM", "SIGINT"],
  postgres: [...Array.from({ length: 6 }, () => ["SIGKILL", "server"] as const).flat(), "SIGTERM", "SIGINT"]
}

const Records = Schema.Array(Schema.Tuple([Schema.String, Schema.Number, Schema.Number]))
const readRecords = Schema.decodeUnknownSync(Schema.fromJsonString(Records))
const readBackup = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Struct({
      name: Schema.String,
      records: Schema.optional(Records),
      problems: Schema.optional(Schema.Array(Schema.String))
    })
  )
)
const readProblems = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(Schema.String)))
const readDone = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Tuple([Schema.Int, Schema.Int])))

/** What a life found, and how far it came. */
interface Lived {
  readonly life: Life
  readonly found: typeof Records.Type
  /** How many of its operations each lane acknowledged. */
  readonly acknowledged: ReadonlyMap<number, number>
  /** Whether the process had the time to close the store. */
  readonly isClosed: boolean
}

/** A backup that was begun, and what it must hold. */
interface Backup {
  readonly name: string
  readonly life: Life
  readonly lane: number
  readonly model: Model
  readonly isAcknowledged: boolean
}

/** What the keys of a lane have; a lane that is alone has all keys. */
const modelOf = (records: typeof Records.Type, life: Life, lane: number): Model =>
  new Map(
    records.filter(([key]) => life.lanes === 1 || laneOf(key) === lane)
      .map(([key, number, size]) => [key, [number, size]])
  )

const differences = (expected: Model, seen: Model): string =>
  [...new Set([...expected.keys(), ...seen.keys()])]
    .filter((key) => !isDeepStrictEqual(expected.get(key), seen.get(key)))
    .slice(0, 5)
    .map((key) => `${key}: ${JSON.stringify(expected.get(key))} expected, ${JSON.stringify(seen.get(key))} seen`)
    .join("; ")

/** Says what is wrong with what a lane left, if anything is. */
const checkLane = ({ acknowledged, found, isClosed, life }: Lived, lane: number, seen: Model): string | undefined => {
  const done = acknowledged.get(lane) ?? 0
  let model = modelOf(found, life, lane)
  let floor = isClosed ? done : 0
  const states = [model]
  for (const [index, operation] of operationsOf(life, lane).slice(0, done + 1).entries()) {
    if (index < done && isDurable(model, operation, life.shared)) floor = Math.max(floor, index + 1)
    model = change(model, operation)
    states.push(model)
  }
  if (states.slice(floor).some((state) => isDeepStrictEqual(state, seen))) return undefined
  const older = states.slice(0, floor).findLastIndex((state) => isDeepStrictEqual(state, seen))
  const detail = older < 0
    ? differences(states[done] ?? model, seen)
    : `it is what it was after ${older} operations`
  return `lane ${lane} of life ${life.number}: ${floor} operations were durable, ${done} acknowledged: ${detail}`
}

/** What the lanes of a life left, and those that had no part in it. */
const expectLanes = (recorder: Recorder, lived: Lived, records: typeof Records.Type): void => {
  const { found, life } = lived
  for (let lane = 0; lane < (life.lanes === 1 ? 1 : mostLanes); lane++) {
    const seen = modelOf(records, life, lane)
    if (lane < life.lanes) {
      const wrong = checkLane(lived, lane, seen)
      recorder.expect(wrong === undefined, `${wrong}`)
    } else {
      const before = modelOf(found, life, lane)
      recorder.expect(isDeepStrictEqual(before, seen), `lane ${lane} had no part: ${differences(before, seen)}`)
    }
  }
}

const backupsOf = ({ acknowledged, found, life }: Lived, lane: number): ReadonlyArray<Backup> => {
  const done = acknowledged.get(lane) ?? 0
  let model = modelOf(found, life, lane)
  return operationsOf(life, lane).slice(0, done + 1).flatMap((operation, index) => {
    model = change(model, operation)
    return operation._tag === "Backup"
      ? [{ name: operation.name, life, lane, model, isAcknowledged: index < done }]
      : []
  })
}

/** When a process is killed: when it has said something so many times, and some milliseconds later. */
interface Moment {
  readonly end: End | undefined
  readonly after: "start" | "work" | "ready" | "done" | "begin" | "settled"
  readonly times: number
  readonly delay: number
}

const momentOf = (random: Random.Random, number: number, end: End | undefined): Moment => {
  if (end === "SIGKILL" && random.oneIn(12)) {
    return { end, after: "start", times: 0, delay: random.between(100, 400) }
  }
  // Collections are others in every second life
  if (random.oneIn(number % 2 === 0 ? 2 : 6)) {
    return { end, after: "work", times: random.between(1, 24), delay: random.below(3) }
  }
  if (random.oneIn(4)) {
    return { end, after: random.pick(["begin", "settled"]), times: random.between(1, 6), delay: 0 }
  }
  if (random.oneIn(12)) return { end, after: "ready", times: 1, delay: random.below(10) }
  return { end, after: "done", times: random.between(1, 120), delay: random.oneIn(2) ? 0 : random.below(12) }
}

const restartServer = (): void => {
  const server = ownServer()
  server.kill()
  server.restart()
}

const killAt = ({ after, delay, end, times }: Moment): Children.Watch => {
  let said = 0
  let isDone = false
  const kill = (child: { readonly kill: (signal: NodeJS.Signals) => void }) => {
    if (isDone || end === undefined) return
    isDone = true
    const now = () => end === "server" ? restartServer() : child.kill(end)
    if (delay === 0) now()
    else setTimeout(now, delay)
  }
  return {
    onStart: (child) => {
      if (after === "start") kill(child)
    },
    onLine: (line, child) => {
      if (line.startsWith(`${after} `)) said++
      // Who had less work to do is killed afterwards
      if (said === times || (after === "work" && line.startsWith("ready "))) kill(child)
    }
  }
}

const linesAbout = (about: string, lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.filter((line) => line.startsWith(`${about} `)).map((line) => line.slice(about.length + 1))

const saysClosed = (lines: ReadonlyArray<string>): boolean => lines.some((line) => line.startsWith("closed "))

/** How a process may end that was sent a signal, or nothing. */
const isRightEnd = ({ code, errors, lines }: Children.Ending, end: End | undefined): boolean => {
  if (saysClosed(lines)) return code === 0 || code === end || code === 130
  // The store tries again for a while. Only the outcome of a commit may stay unknown
  if (end === "server") return code === 1 && /EngineFailure|OpenFailed|CollectionFailed/.test(errors)
  // A signal that comes before there is anybody to hear it ends the process at once
  return end !== undefined && (code === end || (end !== "SIGKILL" && code === 130))
}

const expectBackups = (recorder: Recorder, expected: ReadonlyArray<Backup>, lines: ReadonlyArray<string>): void => {
  const seen = new Map(linesAbout("backup", lines).map((line) => readBackup(line)).map((found) => [found.name, found]))
  for (const { isAcknowledged, lane, life, model, name } of expected) {
    const { problems = [], records } = seen.get(name) ?? {}
    recorder.count("backups looked at")
    for (const problem of problems) recorder.lose(`backup ${name}: ${problem}`)
    if (records === undefined) recorder.expect(!isAcknowledged, `the backup ${name} is not there`)
    else {
      const held = modelOf(records, life, lane)
      recorder.expect(isDeepStrictEqual(held, model), `backup ${name}: ${differences(model, held)}`)
    }
  }
}

/** What a process said of the collections that it found; gives whether the archive is there from now on. */
const expectCollections = (
  recorder: Recorder,
  number: number,
  isArchived: boolean,
  lines: ReadonlyArray<string>
): boolean => {
  for (const problem of linesAbout("problems", lines).flatMap((line) => readProblems(line))) {
    recorder.lose(`found by life ${number}: ${problem}`)
  }
  const sizes = linesAbout("archive", lines).map(Number)
  for (const [index, size] of sizes.entries()) {
    const isRight = size === archived || (size === 0 && index === 0 && !isArchived)
    recorder.expect(isRight, `found by life ${number}: the archive has ${size} records`)
  }
  const work = linesAbout("work", lines).at(-1)
  if (work !== undefined && !lines.some((line) => line.startsWith("records "))) recorder.count(`ends while ${work}`)
  return isArchived || sizes.includes(archived)
}

/** What a life let through a rate limit: no more than what its lanes had left when it began. */
const expectTokens = (recorder: Recorder, { found, life }: Lived, lines: ReadonlyArray<string>): void => {
  const taken = Map.groupBy(linesAbout("through", lines).map(Number), (lane) => lane)
  for (const [lane, tokens] of taken) {
    const before = modelOf(found, life, lane).get(tokensKey(lane))?.[0] ?? 0
    recorder.count("tokens taken", tokens.length)
    recorder.expect(
      before + tokens.length <= tokenLimit,
      `lane ${lane} of life ${life.number} had taken ${before} of ${tokenLimit} tokens, and took ${tokens.length} more`
    )
  }
}

/** How far the lanes of a process came, from what it said. */
const acknowledgedIn = (lines: ReadonlyArray<string>): ReadonlyMap<number, number> =>
  new Map(linesAbout("done", lines).map((line) => readDone(line)))

/** Lives after one another on one store; each but the last ends by a signal, or sees the end of the server. */
export const roundOf = (ends?: ReadonlyArray<End>): Section["round"] =>
  Effect.fnUntraced(function*(seed, { store: kind }) {
    const recorder = record()
    const random = Random.make(seed)
    const folder = yield* temporaryFolder
    const place = yield* Place.make(kind)
    // Every other store is open in a process that lives on: what the dead leave behind stays then
    const observer = seed % 2 === 0 ? undefined : yield* Observer.start({ place, readOnly: false, stays: false })
    let last: Lived | undefined
    let backups: ReadonlyArray<Backup> = []
    let isArchived = false
    const elements = KillQueue.nothingKnown()

    for (const [number, end] of [...(ends ?? endsOf[kind]), undefined].entries()) {
      const life: Life = {
        seed: Random.seedOf(seed, number),
        number,
        lanes: random.between(1, mostLanes),
        operations: end === undefined ? 0 : 200,
        // A store that is not shared has its rate limits in the buffer
        shared: kind === "postgres" || observer !== undefined || seed % 4 !== 0
      }
      const ending = yield* Children.run(program, {
        place,
        backups: join(folder, "backups"),
        names: backups.map(({ name }) => name),
        // What was acknowledged as on disk must not be there only because a commit came soon
        flushInterval: random.oneIn(3) ? 1000 : random.between(1, 30),
        batchSize: random.between(1, 40),
        life
      }, killAt(momentOf(random, number, end)))
      recorder.count(end === undefined ? "ends by itself" : `ends by ${end}`)
      const { lines } = ending
      recorder.expect(
        isRightEnd(ending, end),
        `life ${number} (${end}) ended badly: ${Children.describe(ending)}`
      )

      isArchived = expectCollections(recorder, number, isArchived, lines)
      const [found] = linesAbout("records", lines).map((line) => readRecords(line))
      // Who is killed before he could look did nothing either: the next one looks again
      if (found === undefined) continue
      if (last !== undefined) expectLanes(recorder, last, found)
      if (linesAbout("ready", lines).length > 0) {
        expectBackups(recorder, backups, lines)
        backups = []
      }
      last = {
        life,
        found,
        acknowledged: acknowledgedIn(lines),
        isClosed: end === "server" ? saysClosed(lines) : end !== "SIGKILL"
      }
      expectTokens(recorder, last, lines)
      KillQueue.expectLife(recorder, elements, life, last.acknowledged, lines)
      for (const done of last.acknowledged.values()) recorder.count("operations acknowledged", done)
      for (let lane = 0; lane < life.lanes; lane++) backups = [...backups, ...backupsOf(last, lane)]
    }
    if (observer !== undefined) {
      const { readings, wrong } = yield* observer.end
      recorder.count("readings meanwhile", readings)
      recorder.expect(wrong === undefined, `a process beside the killed ones: ${wrong}`)
    }
    recorder.count(
      "most bytes of a store",
      yield* Effect.flatMap(Place.open(place), (store) => Place.bytesOf(place, store))
    )
    return recorder.report()
  })

/** The section. */
export const section: Section = { rounds: { quick: 2, long: 100 }, runsOnPostgres: true, round: roundOf() }
