/**
 * The rows of a run of the storage interfaces: one for each scenario.
 */
import * as Schema from "effect/Schema"
import { type Column, headOf, lineOf, opsPerSecondOf, showCount, showRatio } from "../table.ts"
import type { Measured } from "../workers.ts"
import { portScaleOf, type PortScenarioId, type PortSystem, portSystemNames } from "./plan.ts"
import { PortScenario, PortSystem as PortSystemSchema } from "./protocol.ts"

/** What was measured in one scenario. */
export const PortRow = Schema.Struct({
  scenario: PortScenario,
  /** By the median of the processes. */
  opsPerSecond: Schema.Record(PortSystemSchema, Schema.optionalKey(Schema.Finite))
})

/** What was measured in one scenario. */
export type PortRow = typeof PortRow.Type

/** The rows of a run as they stand in a file. */
export const PortRows = Schema.fromJsonString(Schema.Array(PortRow))

/** The row of a scenario. */
export const rowOf = (scenario: PortScenarioId, measured: ReadonlyArray<Measured<PortSystem>>): PortRow => ({
  scenario,
  opsPerSecond: Object.fromEntries(measured.map(({ processes, system }) => [system, opsPerSecondOf(processes)]))
})

/** The time of an operation of this store over that of another system: below 1 is faster. */
const ratioTo = (system: PortSystem) => ({ opsPerSecond }: PortRow): string => {
  const [other, own] = [opsPerSecond[system], opsPerSecond["effect-lmdb"]]
  return other === undefined || own === undefined ? "" : showRatio(other / own)
}

const number = (title: string, width: number, show: (row: PortRow) => string): Column<PortRow> => ({
  title,
  width,
  isNumber: true,
  show
})

const columns: ReadonlyArray<Column<PortRow>> = [
  { title: "scenario", width: 18, isNumber: false, show: ({ scenario }) => scenario },
  ...portSystemNames.map((system) =>
    number(system, 13, ({ opsPerSecond: { [system]: speed } }) => speed === undefined ? "" : showCount(speed))
  ),
  number("to memory", 9, ratioTo("memory")),
  number("to SQL", 9, ratioTo("SQL on SQLite")),
  {
    title: "durable",
    width: 8,
    isNumber: false,
    show: ({ scenario }) => portScaleOf(scenario).isDurable ? "each" : "in all"
  }
]

/** The head of the table, in Markdown. */
export const head: string = headOf(columns)

/** A row of the table. */
export const showRow = (row: PortRow): string => lineOf(columns, row)
