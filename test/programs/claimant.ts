/**
 * Takes an element of a queue and the lock of a shard, and keeps both until it is killed or its input ends. Then it prints
 * `claims` and the id of its opening of the store.
 *
 * Arguments: the path, and `shared` if it shares the store.
 */
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import { RunnerStorage } from "../../src/Cluster.ts"
import { Store } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"

const [, , path = "", mode = ""] = process.argv

const program = Effect.gen(function*() {
  const { opening } = yield* Store
  const runners = yield* RunnerStorage.makeEncoded
  yield* runners.register("killed:1", "the killed runner", true)
  yield* runners.acquire("killed:1", ["default:1"])
  const queue = yield* PersistedQueue.make({ name: "work", schema: Schema.Int })
  yield* queue.offer(1, { id: "a" })
  yield* queue.take(() =>
    Effect.callback<void>((resume) => {
      process.stdout.write(`claims ${opening.id}\n`)
      process.stdin.once("end", () => resume(Effect.void)).resume()
    })
  )
}).pipe(Effect.scoped)

const Live = Layer.merge(LmdbPersistedQueue.layer(), ShardingConfig.layer()).pipe(
  Layer.provideMerge(Store.layer({ path, shared: mode === "shared" }))
)

await Effect.runPromise(Effect.provide(program, Live))
process.exit(0)
