/**
 * A thread that opens a store and closes it, and says how that went.
 *
 * Its worker data: the options.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { parentPort, workerData } from "node:worker_threads"
import { Store } from "../../src/index.ts"

const Options = Schema.Struct({
  path: Schema.String,
  shared: Schema.optionalKey(Schema.Boolean),
  lockTimeout: Schema.optionalKey(Schema.Number),
  allowWorkerThread: Schema.optionalKey(Schema.Boolean)
})

const program = Effect.scoped(Store.make(Schema.decodeUnknownSync(Options)(workerData))).pipe(
  Effect.match({ onFailure: ({ message, reason }) => `${reason._tag}: ${message}`, onSuccess: () => "opened" })
)

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is of windows
parentPort?.postMessage(await Effect.runPromise(program))
