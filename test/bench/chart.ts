/**
 * Makes a chart of what `bench.ts` has written.
 *
 *     npm run bench:chart -- --json rows.json --svg chart.svg
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { names } from "./names.ts"
import { ScenarioId, SystemName } from "./protocol.ts"
import { Rows } from "./result.ts"
import { draw } from "./svg.ts"

const flags = {
  json: Flag.File("json").pipe(Flag.withDescription("The rows")),
  svg: Flag.File("svg").pipe(Flag.withDescription("Where the chart is written to")),
  scenario: names("scenario", ScenarioId, "Only these scenarios, with commas between them").pipe(
    Flag.withDefault(ScenarioId.literals)
  ),
  system: names("system", SystemName, "Only these systems, with commas between them").pipe(
    Flag.withDefault(SystemName.literals)
  ),
  records: Flag.Int("records").pipe(
    Flag.withDescription("Of several rows the one with most records, but no more than these"),
    Flag.withDefault(100_000)
  )
}

const program = Command.make(
  "chart",
  flags,
  Effect.fnUntraced(function*({ json, records, scenario, svg, system }) {
    const fs = yield* FileSystem.FileSystem
    const rows = yield* Schema.decodeEffect(Rows)(yield* fs.readFileString(json))
    const wanted = rows.filter((row) => scenario.includes(row.scenario))
    yield* fs.writeFileString(svg, draw(wanted, { systems: system, mostRecords: records }))
  })
).pipe(Command.withDescription("Draws the results of the benchmark."))

program.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
