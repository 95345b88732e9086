/**
 * Opens a store with the durability "relaxed", commits five times, and closes it.
 *
 * Argument: the path.
 */
import * as Effect from "effect/Effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = ""] = process.argv

const program = Effect.gen(function*() {
  const store = yield* Store.make({ path, durability: "relaxed" })
  for (let number = 0; number < 5; number++) {
    yield* store.put(`key ${number}`, number)
    yield* store.flush
  }
})

await Effect.runPromise(Effect.scoped(program))
