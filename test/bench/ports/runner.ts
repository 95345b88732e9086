/** Runs the systems through the scenarios of the interfaces. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as Workers from "../workers.ts"
import { portScaleOf, type PortScenarioId, type PortSystem, portSystemNames } from "./plan.ts"
import { PortTask } from "./protocol.ts"

/** The systems that take part in a scenario. */
export const participantsOf = (scenario: PortScenarioId): ReadonlyArray<PortSystem> =>
  portSystemNames.filter((system) => !(system === "SQL on SQLite" && portScaleOf(scenario).lacksSql === true))

/** Measures the systems in a scenario. */
export const run = Effect.fnUntraced(function*(scenario: PortScenarioId, options: Workers.RunOptions) {
  const fs = yield* FileSystem.FileSystem
  const { effort, folder: directory } = options
  const startAll = Effect.forEach(
    participantsOf(scenario),
    (system) =>
      Effect.flatMap(Effect.orDie(fs.makeTempDirectoryScoped({ directory })), (folder) => {
        const argument: PortTask = { system, scenario, folder, sampleMillis: effort.sampleMillis }
        const program = {
          url: new URL("worker.ts", import.meta.url),
          argument: Schema.encodeSync(PortTask)(argument)
        }
        return Workers.start({ system, scenario }, program)
      })
  )
  return yield* Workers.measure(startAll, effort)
})
