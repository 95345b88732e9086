/**
 * Tries to break the store: kills it, fills its disk, feeds it garbage.
 *
 *     npm run torture                             the long form
 *     npm run torture -- --quick                  within two minutes
 *     npm run torture -- --only kill,limit        some sections
 *     npm run torture -- --only limit --seed 17 --rounds 1
 *     npm run torture -- --only queue-day --elements 1000000
 *     npm run torture -- --store postgres         the sections that run on a PostgreSQL server
 *
 * Each round follows from its seed, which a loss is printed with; the times at which
 * processes are killed do not. Ends with an exit code of 1 where anything was lost.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Kind } from "../support/place.ts"
import * as Children from "./children.ts"
import { combine, empty, readReport, type Report, type RoundOptions, type Section } from "./section.ts"
import { sections } from "./sections.ts"

const program = new URL("../programs/tortureRounds.ts", import.meta.url)

/** How long a round may take without saying anything, in milliseconds, besides the time that it is meant to take. */
const silence = 1_800_000

class Lost extends Data.TaggedError("Lost")<{ readonly message: string }> {}

const flags = {
  quick: Flag.Boolean("quick").pipe(
    Flag.withDefault(false),
    Flag.withDescription("The short form, within two minutes")
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDefault(1),
    Flag.withDescription("The seed of the first round; each further round has the next")
  ),
  only: Flag.String("only").pipe(
    Flag.optional,
    Flag.withDescription(`Some of ${[...sections.keys()].join(",")}`)
  ),
  store: Flag.Literals("store", Kind.literals).pipe(
    Flag.withDefault("lmdb"),
    Flag.withDescription("What the stores are on; postgres runs the sections that can run on a server")
  ),
  rounds: Flag.Int("rounds").pipe(Flag.optional, Flag.withDescription("How many rounds of each section")),
  minutes: Flag.Finite("minutes").pipe(
    Flag.optional,
    Flag.withDescription("How long the section mixed goes on; default: 60, quick: 0.1")
  ),
  elements: Flag.Int("elements").pipe(
    Flag.optional,
    Flag.withDescription("How many elements the section queue-day has; default: 86400, quick: 4800")
  )
}

/** A section by name, and what is known of it. */
interface Result {
  readonly name: string
  readonly rounds: number
  readonly seconds: number
  readonly report: Report
}

/** Runs rounds in child processes: a new one after each that dies. */
const runRounds = Effect.fnUntraced(function*(name: string, first: number, rounds: number, options: RoundOptions) {
  let report = empty
  const last = first + rounds - 1
  for (let seed = first; seed <= last;) {
    const ending = yield* Children.run(program, { name, first: seed, last, options }, {
      silence: silence + options.minutes * 60_000
    })
    const reports = ending.lines.filter((line) => line.startsWith("{")).map((line) => readReport(line))
    for (const [index, each] of reports.entries()) {
      const losses = each.losses.map((loss) => `${name}, --seed ${seed + index}: ${loss}`)
      report = combine(report, { ...each, losses })
    }
    seed += reports.length
    if (seed > last && ending.code === 0) break
    const loss = `${name}, --seed ${seed}: the process died: ${Children.describe(ending)}`
    report = combine(report, { ...empty, losses: [loss] })
    seed++
  }
  return report
})

const showFigures = ({ figures }: Report): string =>
  Object.entries(figures).map(([figure, value]) => `${value.toLocaleString("en")} ${figure}`).join(", ")

const showTable = (results: ReadonlyArray<Result>): string =>
  results.map(({ name, report, rounds, seconds }) =>
    [
      name.padEnd(9),
      `${rounds}`.padStart(5),
      `${seconds.toFixed(0)} s`.padStart(7),
      `${report.losses.length}`.padStart(7),
      `  ${showFigures(report)}`
    ].join(" ")
  ).join("\n")

/** Losses that differ only in their numbers are shown once. */
const showLosses = (losses: ReadonlyArray<string>): ReadonlyArray<string> => {
  const kinds = Map.groupBy(losses, (loss) => loss.replace(/\d+/g, "").slice(0, 100))
  return [...kinds.values()].map(([first = "", ...others]) =>
    others.length === 0 ? `LOST ${first}` : `LOST ${first}\n     and ${others.length} more like it`
  )
}

const chosen = (
  only: Option.Option<string>,
  store: Kind
): Effect.Effect<ReadonlyArray<readonly [string, Section]>, Lost> =>
  Option.match(only, {
    onNone: () =>
      Effect.succeed([...sections].filter(([, section]) => store === "lmdb" || section.runsOnPostgres === true)),
    onSome: (names) =>
      Effect.forEach(names.split(","), (name) => {
        const section = sections.get(name)
        if (section === undefined) return Effect.fail(new Lost({ message: `there is no section ${name}` }))
        if (store === "postgres" && section.runsOnPostgres !== true) {
          return Effect.fail(new Lost({ message: `the section ${name} runs on LMDB only` }))
        }
        return Effect.succeed([name, section] as const)
      })
  })

const torture = Command.make(
  "torture",
  flags,
  ({ elements, minutes, only, quick, rounds, seed, store }) =>
    Effect.gen(function*() {
      const options: RoundOptions = {
        store,
        quick,
        minutes: Option.getOrElse(minutes, () => quick ? 0.1 : 60),
        elements: Option.getOrElse(elements, () => quick ? 4800 : 86_400)
      }
      const results: Array<Result> = []
      for (const [name, section] of yield* chosen(only, store)) {
        const count = Option.getOrElse(rounds, () => quick ? section.rounds.quick : section.rounds.long)
        yield* Console.log(`${name}: ${count} rounds, seeds ${seed} to ${seed + count - 1}`)
        const start = yield* Clock.currentTimeMillis
        const report = yield* runRounds(name, seed, count, options)
        const seconds = ((yield* Clock.currentTimeMillis) - start) / 1000
        results.push({ name, rounds: count, seconds, report })
        yield* Effect.forEach(showLosses(report.losses), (loss) => Console.error(loss))
        yield* Effect.forEach(report.skipped, (reason) => Console.log(`skipped in ${name}: ${reason}`))
      }
      yield* Console.log(`\nsection   rounds  time  losses  figures\n${showTable(results)}`)
      const losses = results.reduce((sum, { report }) => sum + report.losses.length, 0)
      if (losses > 0) return yield* new Lost({ message: `${losses} losses` })
    })
).pipe(Command.withDescription("Tries to break the store"))

NodeRuntime.runMain(Effect.provide(Command.run(torture, { version: "0.1.0" }), NodeServices.layer))
