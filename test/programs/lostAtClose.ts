/**
 * Puts more than fits into the file, so that the last commit fails.
 *
 * Arguments: the path, how the program ends, and what `closeFailure` is. It ends by itself
 * (`succeed`), fails or dies, or waits for a signal (`wait`); with `promise` and `failPromise` it is run by
 * `Effect.runPromise`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"

const [path = "", end = "succeed", closeFailure] = process.argv.slice(2)

const program = Effect.gen(function*() {
  const store = yield* Store
  const users = yield* Collection.make("users", { key: Schema.Int, value: Schema.String })
  for (let index = 0; index < 20; index++) yield* store.put(`key ${index}`, "x".repeat(50_000))
  yield* users.put(7, "seven")
  yield* Console.log("put")
  switch (end) {
    case "fail":
    case "failPromise":
      return yield* Effect.fail(new Error("the program failed"))
    case "die":
      return yield* Effect.die(new Error("the program died"))
    case "wait":
      return yield* Effect.never
  }
}).pipe(Effect.provide(Store.layer({
  path,
  maxMapSize: "512 KiB",
  flushInterval: "1 hour",
  closeFailure: closeFailure === "log" ? "log" : undefined
})))

if (end.endsWith("romise")) void Effect.runPromise(program)
else NodeRuntime.runMain(program)
