/**
 * All sections of the harness, by name, and how one round of them is run.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as disk from "./disk.ts"
import * as files from "./files.ts"
import * as input from "./input.ts"
import * as kill from "./kill.ts"
import * as limit from "./limit.ts"
import * as load from "./load.ts"
import * as mixed from "./mixed.ts"
import * as queueDay from "./queueDay.ts"
import { empty, type Report, type RoundOptions, type Section } from "./section.ts"
import * as workflows from "./workflows.ts"

/** The sections, in the order in which they are run. */
export const sections: ReadonlyMap<string, Section> = new Map([
  ["kill", kill.section],
  ["disk", disk.section],
  ["limit", limit.section],
  ["files", files.section],
  ["input", input.section],
  ["load", load.section],
  ["mixed", mixed.section],
  ["workflows", workflows.section],
  ["queue-day", queueDay.section]
])

/** Runs a round; what it fails with or dies of is a loss. */
export const runRound = (section: Section, seed: number, options: RoundOptions): Effect.Effect<Report> =>
  Effect.map(
    Effect.exit(Effect.scoped(section.round(seed, options))),
    Exit.match({
      onFailure: (cause): Report => ({ ...empty, losses: [Cause.pretty(cause)] }),
      onSuccess: (report) => report
    })
  )
