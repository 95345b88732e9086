/** `stat`: the size and the state of a store, once or again and again. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Inspect from "../../../Inspect.ts"
import * as Format from "../format.ts"
import { jsonText } from "../jsonText.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import * as Screen from "../screen.ts"

const parameters = {
  store: Parameters.store,
  watch: Flag.String("watch").pipe(
    Flag.withDescription("Show it again and again, with commits per second: --watch=500ms"),
    Flag.withMetavar("interval"),
    Flag.withOptionalValue("1s"),
    Flag.filterMap(
      (text) => Option.filter(Duration.fromInput(spelled(text)), Duration.isPositive),
      () => "a time such as 1s or 500ms"
    ),
    Flag.optional
  )
}

const units: ReadonlyMap<string, string> = new Map([["ms", "millis"], ["s", "seconds"], ["m", "minutes"]])

/** Spells out the unit of a duration: `1s` is `1 seconds`. */
const spelled = (text: string): Duration.Input => {
  const [, amount = "", unit = ""] = /^([\d.]+) ?(\w+)$/.exec(text) ?? []
  const name = units.get(unit) ?? unit
  const parsed: unknown = `${amount} ${name}`
  return isDuration(parsed) ? parsed : Number.NaN
}

const isDuration = (text: unknown): text is Duration.Input =>
  typeof text === "string" && /^[\d.]+ (?:milli|second|minute|hour)s?$/.test(text)

/** What is shown. */
interface Report {
  readonly state: Inspect.StoreState
  readonly records: number
  readonly collections: number
  readonly indexes: number
  readonly namespaces: number
}

const sum = (places: ReadonlyArray<{ readonly records: number }>): number =>
  places.reduce((total, place) => total + place.records, 0)

const read = Effect.gen(function*() {
  const state = yield* Inspect.state
  const { collections, namespaces, records } = yield* Inspect.contents
  const report: Report = {
    state,
    records: records + sum(collections) + sum(namespaces),
    collections: collections.length,
    indexes: collections.flatMap(({ indexes }) => indexes).length,
    namespaces: namespaces.length
  }
  return report
})

type Fields = ReadonlyArray<readonly [name: string, text: string]>

const fieldsOf = (path: string, { collections, indexes, namespaces, records, state }: Report): Fields => [
  ["store", path],
  ["file", Format.bytes(state.fileBytes)],
  ["used", `${Format.bytes(state.usedBytes)} (${Format.number(100 * state.usedBytes / state.fileBytes)} %)`],
  ["free", Format.bytes(Math.max(0, state.fileBytes - state.usedBytes))],
  ["map", Format.bytes(state.mapSize)],
  ["page", Format.bytes(state.pageSize)],
  ["transaction", Format.number(state.transactionId)],
  ["readers", `${Format.number(state.readers)} (the most at one time)`],
  ["change log", state.changeLog === undefined ? "none" : `${Format.number(state.changeLog.commits)} transactions`],
  ["records", Format.number(records)],
  ["collections", Format.number(collections)],
  ["indexes", Format.number(indexes)],
  ["namespaces", Format.number(namespaces)]
]

const jsonOf = (path: string, { state, ...counts }: Report): object => ({ path, ...state, ...counts })

/** Two reports, and how much time is between them. */
interface Interval {
  readonly before: Report
  readonly after: Report
  readonly seconds: number
}

const rateOf = (of: (report: Report) => number, { after, before, seconds }: Interval): number =>
  (of(after) - of(before)) / seconds

const transactionOf = ({ state }: Report): number => state.transactionId

/** One line about an interval, for a file or a pipe. */
const lineOf = (time: string, interval: Interval): string =>
  [
    time,
    `transaction ${transactionOf(interval.after)}`,
    `${Format.number(rateOf(transactionOf, interval))} commits/s`,
    `${Format.number(rateOf(({ records }) => records, interval))} records/s`,
    `file ${Format.bytes(interval.after.state.fileBytes)}`,
    `used ${Format.bytes(interval.after.state.usedBytes)}`
  ].join("  ")

const watch = Effect.fnUntraced(function*(output: Output.Output, path: string, every: Duration.Duration) {
  const draw = Screen.make(output)
  const show = (interval: Interval, time: string) => {
    const commits = rateOf(transactionOf, interval)
    if (output.settings.format !== "text") {
      return output.write(`${jsonText({ time, commitsPerSecond: commits, ...jsonOf(path, interval.after) })}\n`)
    }
    if (output.width === undefined) return output.write(`${lineOf(time, interval)}\n`)
    const fields: Fields = [
      ["time", time],
      ["commits", `${Format.number(commits)} a second`],
      ["growth", `${Format.number(rateOf(({ records }) => records, interval))} records a second`],
      ...fieldsOf(path, interval.after)
    ]
    return draw(Output.fieldLines(output, fields))
  }
  let before = yield* read
  let since = yield* Clock.currentTimeMillis
  for (;;) {
    yield* Effect.sleep(every)
    const after = yield* read
    const now = yield* Clock.currentTimeMillis
    yield* show({ before, after, seconds: Math.max(1, now - since) / 1000 }, DateTime.formatIso(yield* DateTime.now))
    before = after
    since = now
  }
})

const handle = Effect.fnUntraced(function*(path: string, every: Option.Option<Duration.Duration>) {
  const output = yield* Output.make
  if (Option.isSome(every)) return yield* watch(output, path, every.value)
  const report = yield* read
  yield* Output.writeFields(output, fieldsOf(path, report), jsonOf(path, report))
})

/** The command. */
export const command = Command.make(
  "stat",
  parameters,
  ({ store, watch: every }) => withStore(store, handle(store.path, every))
).pipe(
  Command.withExamples([
    { command: "effect-lmdb stat ./data/cities", description: "The size of the file, and how much of it is used" },
    { command: "effect-lmdb stat ./data/cities --json", description: "The same as a JSON document" },
    { command: "effect-lmdb stat ./data/cities --watch", description: "Every second, until Ctrl-C" }
  ])
)
