/**
 * Uses a store in all main ways and prints what it read. Tests bundle it.
 *
 * Argument: the path of the store.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"

const people = {
  key: Schema.String,
  value: Schema.Struct({ name: Schema.String, born: Schema.Int }),
  indexes: { byBorn: { key: Schema.Int, of: ({ born }: { readonly born: number }) => born } }
}

const write = Effect.gen(function*() {
  const store = yield* Store
  yield* store.put("plain", { list: [1, "two"], map: new Map([["a", new Set([1n])]]), bytes: Uint8Array.of(1, 2) })
  for (let index = 0; index < 100; index++) yield* store.put(`record ${index}`, { index, text: "x".repeat(2000) })
  const collection = yield* Collection.make("people", people)
  yield* store.withTransaction(collection.putMany([["ada", { name: "Ada", born: 1815 }]]))
})

const read = Effect.gen(function*() {
  const store = yield* Store
  const collection = yield* Collection.make("people", people)
  yield* Console.log(yield* store.getOrFail("plain"))
  yield* Console.log((yield* store.getMany(["record 7", "missing"])).missing, yield* store.size)
  yield* Console.log(yield* Stream.runCollect(collection.indexes.byBorn.values({ equals: 1815 })))
  const error = yield* Effect.flip(store.getOrFail("missing"))
  yield* Console.log(error._tag, error.message)
})

const [path = ""] = process.argv.slice(2)

const layer = Store.layer({ path, compression: true })

Effect.andThen(Effect.provide(write, layer), Effect.provide(read, layer)).pipe(NodeRuntime.runMain)
