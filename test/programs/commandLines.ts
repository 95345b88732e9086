/**
 * Runs command lines of `effect-lmdb` one after the other, and prints `codes` and their exit codes.
 *
 * Argument: the command lines, as JSON.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import { run } from "../../src/internal/cli/commandLine.ts"

const lines = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(Schema.Array(Schema.String))))(
  process.argv[2]
)

Effect.forEach(lines, (args) => run(args, "1.2.3")).pipe(
  Effect.flatMap((codes) => Console.log(["codes", ...codes].join(" "))),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
