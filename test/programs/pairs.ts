/**
 * Writes numbered pairs, each in a transaction, until it is stopped. Prints the number of
 * each when it is on disk.
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
  for (let count = 1;; count++) {
    yield* store.withTransaction(Effect.gen(function*() {
      yield* store.put(`left ${count}`, count)
      yield* store.withTransaction(store.put(`right ${count}`, count))
      yield* store.put("last", count)
    }))
    process.stdout.write(`${count}\n`)
  }
})

NodeRuntime.runMain(Effect.provide(program, Store.layer({ path, flushInterval: "1 day" })))
