/**
 * Opens a store and reads the first of its entries, then waits to be killed.
 *
 * Argument: the path.
 */
import { Effect, Stream } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = ""] = process.argv

const read = Effect.gen(function*() {
  const store = yield* Store.make({ path, readOnly: true })
  yield* Stream.runForEach(
    store.entries(),
    () => Effect.andThen(Effect.sync(() => process.stdout.write("reading\n")), Effect.never)
  )
})

await Effect.runPromise(Effect.scoped(read))
