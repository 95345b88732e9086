/**
 * The program `effect-lmdb`. `effect-lmdb.js` starts it.
 *
 * @since 0.2.0
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import { run } from "./internal/cli/commandLine.ts"
import { ExitCode } from "./internal/cli/failures.ts"

const Manifest = Schema.fromJsonString(Schema.Struct({ version: Schema.String }))

/** The version of the package, from its `package.json`: it is beside the folder of this file. */
const readVersion = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = yield* path.fromFileUrl(new URL("../package.json", import.meta.url))
  return (yield* Schema.decodeEffect(Manifest)(yield* fs.readFileString(file))).version
})

const program = Effect.gen(function*() {
  const { args } = yield* Stdio.Stdio
  const code = yield* run(yield* args, yield* Effect.orDie(readVersion))
  if (code !== 0) return yield* new ExitCode({ code })
})

program.pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain({ disableErrorReporting: true }))
