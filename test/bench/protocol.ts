/**
 * What the process that runs the benchmark and those that measure say to each other: a
 * task as the argument, then for each line on the standard input (`first` or `sample`)
 * a sample on the standard output, and at the end of the input a summary.
 */
import * as Schema from "effect/Schema"
import { scenarioIds } from "./plan.ts"
import { systemNames } from "./systems.ts"

/** The name of a scenario. */
export const ScenarioId = Schema.Literals(scenarioIds)

/** The name of a system. */
export const SystemName = Schema.Literals(systemNames)

/** What a process is started for: to fill a folder with records, or to measure. */
export const Task = Schema.fromJsonString(Schema.Struct({
  do: Schema.Literals(["load", "measure"]),
  system: SystemName,
  scenario: ScenarioId,
  records: Schema.Int,
  /** The folder that is filled, or that was. */
  folder: Schema.String,
  /** A folder for stores that are written to. */
  scratch: Schema.String,
  sampleMillis: Schema.Number
}))

/** What a process is started for. */
export type Task = typeof Task.Type

/** Work that was measured. */
export const Sample = Schema.TaggedStruct("Sample", {
  operations: Schema.Int,
  milliseconds: Schema.Number,
  /** The time of the processors in all threads of the process. */
  cpuMillis: Schema.Number,
  /** The longest time that the event loop stood still in each run. */
  pausesMillis: Schema.Array(Schema.Number)
})

/** Work that was measured. */
export type Sample = typeof Sample.Type

/** What a process that measures says. */
export const Message = Schema.fromJsonString(Schema.Union([
  Schema.TaggedStruct("Ready", {}),
  Sample,
  Schema.TaggedStruct("Summary", { peakMemoryBytes: Schema.Int })
]))

/** What a process that measures says. */
export type Message = typeof Message.Type
