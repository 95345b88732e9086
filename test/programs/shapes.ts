/**
 * Puts numbered records of many shapes.
 *
 * Arguments: the path, the first number, and how many records.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { shapedRecord } from "../support/fixtures/shapes.ts"

const [, , path = "", first = "0", count = "0"] = process.argv

const program = Effect.gen(function*() {
  const store = yield* Store
  for (let number = Number(first); number < Number(first) + Number(count); number++) {
    yield* store.put(`record ${number}`, shapedRecord(number))
  }
})

NodeRuntime.runMain(Effect.provide(program, Store.layer({ path, shared: true, batchSize: 200, durability: "noSync" })))
