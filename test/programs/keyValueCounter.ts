/**
 * Adds to a number in a `KeyValueStore` that other processes change as well.
 *
 * Arguments: the path of the store, and how many times.
 */
import { Effect, Layer } from "effect"
import { KeyValueStore } from "effect/persistence"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import * as LmdbKeyValueStore from "../../src/KeyValueStore.ts"

const [, , path = "", times = "0"] = process.argv

const program = Effect.gen(function*() {
  const kv = yield* KeyValueStore.KeyValueStore
  const add = kv.modify("n", (text) => `${Number(text) + 1}`)
  yield* Effect.replicateEffect(add, Number(times), { discard: true })
})

const Live = Layer.provide(LmdbKeyValueStore.layer(), Store.layer({ path, shared: true }))

await Effect.runPromise(Effect.provide(program, Live))
