/** Writes a record to a shared store that expires soon after this process has ended. Argument: the path of the store. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = ""] = process.argv

const program = Effect.gen(function*() {
  const store = yield* Store.make({ path, shared: true })
  yield* store.put("session", 1, { ttl: "400 millis" })
  yield* store.flush
})

NodeRuntime.runMain(Effect.scoped(program))
