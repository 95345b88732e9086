/** What a process that measures the interfaces of a system is started for. */
import * as Schema from "effect/Schema"
import { portScenarioIds, portSystemNames } from "./plan.ts"

/** The name of a scenario. */
export const PortScenario = Schema.Literals(portScenarioIds)

/** The name of a system. */
export const PortSystem = Schema.Literals(portSystemNames)

/** The argument of the process. */
export const PortTask = Schema.fromJsonString(Schema.Struct({
  system: PortSystem,
  scenario: PortScenario,
  /** An empty folder. */
  folder: Schema.String,
  sampleMillis: Schema.Number
}))

/** The argument of the process. */
export type PortTask = typeof PortTask.Type
