/**
 * Deletes the keys of a store from one on, and puts another.
 *
 * Arguments: the path, and the first key to delete.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = "", first = ""] = process.argv

const program = Effect.gen(function*() {
  const store = yield* Store
  yield* store.deleteRange({ gte: first })
  yield* store.putMany({ other: "process" })
})

NodeRuntime.runMain(Effect.provide(program, Store.layer({ path, shared: true })))
