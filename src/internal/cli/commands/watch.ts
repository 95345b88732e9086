/** `watch`: what all processes commit, until Ctrl-C. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import type { Commit } from "../../../Backend.ts"
import * as Inspect from "../../../Inspect.ts"
import { Store } from "../../../Store.ts"
import { jsonText } from "../jsonText.ts"
import * as Keys from "../keys.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import * as Shown from "../shown.ts"
import { cut, printable } from "../table.ts"

const parameters = {
  store: Parameters.store,
  place: Parameters.place,
  bounds: Parameters.bounds,
  values: Parameters.flag("values", "Show the new values, not only the keys"),
  poll: Flag.Int("poll").pipe(
    Flag.withDescription("How often it looks for commits of other processes, in milliseconds. Default: 50"),
    Flag.filter((poll) => poll > 0, () => "a number of more than 0"),
    Flag.withDefault(50)
  )
}

interface Given {
  readonly place: Inspect.Place
  readonly isPlaced: boolean
  readonly bounds: Parameters.BoundParameters
  readonly values: boolean
  readonly poll: number
}

/** A line of the output. */
interface Line {
  readonly time: string
  readonly transactionId: number
  readonly what: string
  readonly name: string
  readonly text: string
  readonly json: object
}

const writeLine = (output: Output.Output, { json, name, text, time, transactionId, what }: Line) =>
  output.settings.format === "text"
    ? output.write(
      `${cut(printable([time, transactionId, what, name, text].join("  ").trimEnd()), output.width ?? Infinity)}\n`
    )
    : output.write(`${jsonText({ time, transactionId, what, ...json })}\n`)

/** The changes between two moments. */
type Changes = ReadonlyArray<Omit<Line, "time" | "transactionId">>

// ---------------------------------------------------------------------------
// the whole store: numbers of records
// ---------------------------------------------------------------------------

const countsOf = ({ collections, namespaces, records }: Inspect.Contents): ReadonlyMap<string, number> =>
  new Map([
    ["(store)", records],
    ...namespaces.map(({ name, records: found }) => [`-n ${name}`, found] as const),
    ...collections.map(({ name, records: found }) => [`-c ${name}`, found] as const)
  ])

const signed = (count: number): string => count > 0 ? `+${count}` : String(count)

/** Compares the numbers of records of all places. */
const makeOverview = Effect.gen(function*() {
  let before = countsOf(yield* Inspect.contents)
  return Effect.map(Inspect.contents, (contents): Changes => {
    const after = countsOf(contents)
    const changed = Array.from(after).flatMap(([name, records]) => {
      const added = records - (before.get(name) ?? 0)
      return added === 0 ? [] : [`${name} ${signed(added)}`]
    })
    before = after
    return [{ what: "commit", name: changed.join(", "), text: "", json: { records: Object.fromEntries(after) } }]
  })
})

// ---------------------------------------------------------------------------
// a place: its records
// ---------------------------------------------------------------------------

/** What is kept of each record: enough to see that it has changed. */
type Kept = Map<string, { readonly record: Inspect.StoredRecord; readonly digest: string }>

const digestOf = (bytes: Uint8Array): string =>
  bytes.length <= 32 ? Buffer.from(bytes).toString("latin1") : createHash("sha256").update(bytes).digest("base64")

const withoutValue = (record: Inspect.StoredRecord): Inspect.StoredRecord => ({ ...record, bytes: new Uint8Array() })

/** Compares the records of a range. */
const makeRecords = Effect.fnUntraced(function*({ bounds, place, values }: Given) {
  const range = yield* Keys.rangeOf(bounds, yield* Keys.examplesOf(place))
  const readAll = Effect.gen(function*() {
    const found: Kept = new Map()
    const changed: Array<Inspect.StoredRecord> = []
    yield* Stream.runForEach(Inspect.records(place, range), (record) =>
      Effect.sync(() => {
        const key = jsonText(Inspect.keyToJson(record.key))
        const digest = digestOf(record.bytes)
        if (before.get(key)?.digest !== digest) changed.push(record)
        found.set(key, { record: withoutValue(record), digest })
      }))
    return { found, changed }
  })
  let before: Kept = new Map()
  before = (yield* readAll).found
  return Effect.gen(function*() {
    const { changed, found } = yield* readAll
    const deleted = [...before].flatMap(([key, { record }]) => found.has(key) ? [] : [record])
    before = found
    const puts = yield* Effect.forEach(changed, (record) =>
      Effect.map(Shown.asStored.record(record), (shown) => ({
        what: "put",
        name: Keys.show(record.key),
        text: values ? Shown.valueText(shown) : "",
        json: values ? Shown.recordJson(shown) : { key: shown.keyJson }
      })))
    const changes: Changes = [
      ...puts,
      ...deleted.map(({ key }) => ({
        what: "delete",
        name: Keys.show(key),
        text: "",
        json: { key: Inspect.keyToJson(key) }
      }))
    ]
    return changes
  })
})

/** The most commits that wait for the output. Of more, the last ones are written: each is compared with what was written before. */
const waitingCommits = 1024

const handle = Effect.fnUntraced(function*(given: Given) {
  const output = yield* Output.make
  const store = yield* Store
  const commits = yield* Queue.sliding<Commit>(waitingCommits)
  // It follows the commits before it reads the state with which it compares the first one: it misses no commit between them.
  const following = yield* Effect.forkScoped(
    Stream.runForEach(
      store.commits({ pollInterval: Duration.millis(given.poll) }),
      (commit) => Queue.offer(commits, commit)
    ),
    { startImmediately: true }
  )
  const compare = yield* given.isPlaced ? makeRecords(given) : makeOverview
  yield* output.note("Watching. Ctrl-C ends it.")
  const writeNext = Effect.gen(function*() {
    const { transactionId } = yield* Queue.take(commits)
    const time = DateTime.formatIso(yield* DateTime.now)
    for (const change of yield* compare) yield* writeLine(output, { time, transactionId, ...change })
  })
  yield* Effect.raceFirst(Effect.forever(writeNext), Fiber.join(following))
})

/** The command. */
export const command = Command.make(
  "watch",
  parameters,
  Effect.fnUntraced(function*({ place: given, store, ...others }) {
    const place = yield* Parameters.placeOf(given)
    const isBounded = Object.values(others.bounds).some(Option.isSome)
    yield* withStore(
      store,
      handle({ ...others, place, isPlaced: place._tag !== "Store" || isBounded || others.values })
    )
  })
).pipe(
  Command.withExamples([
    { command: "effect-lmdb watch ./data/cities", description: "Each commit, and how many records it added" },
    {
      command: "effect-lmdb watch ./data/cities -c cities --gte 3413829 --lt 3413830 --values",
      description: "The changes of a range of keys, with the new values"
    }
  ])
)
