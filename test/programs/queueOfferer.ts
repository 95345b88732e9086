/** Offers elements to a queue of a store that another process works on. Arguments: the path, and how many. */
import { Effect, Layer, Schema } from "effect"
import { PersistedQueue } from "effect/persistence"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"

const [, , path = "", times = "0"] = process.argv

const program = Effect.gen(function*() {
  const queue = yield* PersistedQueue.make({ name: "work", schema: Schema.Int })
  for (let number = 0; number < Number(times); number++) yield* queue.offer(number, { id: `${number}` })
})

const Live = LmdbPersistedQueue.layer().pipe(Layer.provide(Store.layer({ path, shared: true })))

await Effect.runPromise(Effect.provide(program, Live))
