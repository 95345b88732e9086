/**
 * Writes to the namespace "sessions" of a shared store. Arguments: the path of the store, the job, and how many times.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { increment } from "../support/fixtures/transactions.ts"

const [, , path = "", job = "", times = "1"] = process.argv

const program = Effect.gen(function*() {
  const store = yield* Store.make({ path, shared: true })
  const sessions = yield* store.namespace("sessions")
  const jobs: Record<string, Effect.Effect<unknown, { readonly _tag: string }>> = {
    count: sessions.update("hits", increment),
    expiring: sessions.put("session", 1, { ttl: "400 millis" }),
    put: store.withTransaction(Effect.andThen(sessions.put("ada", { page: 3 }), store.put("sessions", 1)))
  }
  yield* Effect.repeat(jobs[job] ?? Effect.die(`there is no job ${job}`), { times: Number(times) - 1 })
})

NodeRuntime.runMain(Effect.scoped(program))
