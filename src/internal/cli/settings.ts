/**
 * The flags that all commands have: how they write what they found.
 */
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Parameters from "./parameters.ts"

const setting = <const Id extends string>(id: Id, description: string): GlobalFlag.Setting<Id, boolean> =>
  GlobalFlag.Setting(id)({
    flag: Parameters.flag(id, description)
  })

const Json = setting("json", "Write one JSON document to standard output, and errors as JSON to standard error")

const NdJson = setting("ndjson", "Write one JSON document on each line")

const Quiet = setting("quiet", "Write no notes and no progress to standard error")

const Color: GlobalFlag.Setting<"color", Option.Option<boolean>> = GlobalFlag.Setting("color")({
  flag: Flag.Boolean("color").pipe(
    Flag.withDescription("Use colors; --no-color uses none. Default: on a terminal, unless NO_COLOR is set"),
    Flag.optional
  )
})

/** All of them, for the command line. */
export const flags = [Json, NdJson, Quiet, Color] as const

/** What a handler needs to read them. */
export type SettingServices = GlobalFlag.Setting.Identifier<"json" | "ndjson" | "quiet" | "color">

/** How a command writes. */
export interface Settings {
  readonly format: "text" | "json" | "ndjson"
  readonly isQuiet: boolean
  readonly color: Option.Option<boolean>
}

/** The flags that the user has given. With both `--json` and `--ndjson`, a command writes lines. */
export const settings: Effect.Effect<Settings, never, SettingServices> = Effect.gen(function*() {
  const format = (yield* NdJson) ? "ndjson" : (yield* Json) ? "json" : "text"
  return { format, isQuiet: yield* Quiet, color: yield* Color }
})
