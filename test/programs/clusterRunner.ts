/**
 * Runs entities of a cluster until it is killed or its input ends. Prints `ready` when it has registered.
 *
 * Arguments: the path of the store, the file of the entities, the port.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { cluster, workerOf } from "../support/fixtures/clusterRunners.ts"

const [, , path = "", file = "", port = ""] = process.argv

const Live = workerOf({ file, runner: port }).pipe(
  Layer.provide(cluster(Number(port))),
  Layer.provide(Store.layer({ path, shared: true }))
)

const program = Effect.gen(function*() {
  const end = yield* Deferred.make<void>()
  process.stdin.once("end", () => Deferred.doneUnsafe(end, Effect.void)).resume()
  process.stdout.write("ready\n")
  yield* Deferred.await(end)
})

await Effect.runPromise(Effect.provide(program, Live))
process.exit(0)
