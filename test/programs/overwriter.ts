/**
 * Overwrites records of a store in one transaction after the other until it is stopped,
 * so that pages are freed and used again all the time. Says `ready` before the first.
 *
 * Argument: the path.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = ""] = process.argv

const program = Effect.gen(function*() {
  const store = yield* Store
  process.stdout.write("ready\n")
  for (let count = 1;; count++) {
    const value = "x".repeat(900 + count % 200)
    const keys = Array.from({ length: 10 }, (_, index) => `key ${(count * 7 + index * 499) % 5000}`)
    yield* store.putMany(keys.map((key) => [key, value] as const))
  }
})

NodeRuntime.runMain(Effect.provide(program, Store.layer({ path, shared: true, durability: "noSync" })))
