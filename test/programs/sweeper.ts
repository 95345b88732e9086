/**
 * Opens a store with expired sessions, and prints how many of them this process has deleted, each time that it
 * has deleted some, until no record is stored any more.
 *
 * Arguments: the path, and `shared` where other processes have the store open too.
 */
import * as Effect from "effect/Effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { entriesOf } from "../support/expiring.ts"

const [, , path = "", mode = ""] = process.argv

const program = Effect.gen(function*() {
  const store = yield* Store
  let told = 0
  for (;;) {
    // The entries first: the figure of the last batch comes after its commit
    const left = yield* entriesOf(store)
    const { expired } = yield* store.stats
    if (expired > told || left === 0) process.stdout.write(`${expired}\n`)
    told = expired
    if (left === 0) return
    yield* Effect.sleep("1 millis")
  }
})

await Effect.runPromise(Effect.provide(program, Store.layer({ path, shared: mode === "shared" })))
