/**
 * Opens a store, says how that went as a line of JSON, and stays until it is killed if asked to.
 *
 * Argument: the options of the store, and whether it stays, as JSON.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const Arguments = Schema.Struct({
  stays: Schema.Boolean,
  options: Schema.Struct({
    path: Schema.String,
    readOnly: Schema.optionalKey(Schema.Boolean),
    shared: Schema.optionalKey(Schema.Boolean),
    lock: Schema.optionalKey(Schema.Boolean),
    lockTimeout: Schema.optionalKey(Schema.String)
  })
})
const { options: { lockTimeout, ...options }, stays } = Schema.decodeUnknownSync(Schema.fromJsonString(Arguments))(
  process.argv[2]
)

const begun = performance.now()
let longestPause = 0
let lastTurn = begun
setInterval(() => {
  longestPause = Math.max(longestPause, performance.now() - lastTurn)
  lastTurn = performance.now()
}, 5).unref()

const say = (outcome: object) =>
  Console.log(JSON.stringify({ ...outcome, millis: performance.now() - begun, longestPause }))

const program = Effect.gen(function*() {
  const store = yield* Store.make(
    lockTimeout === undefined ? options : { ...options, lockTimeout: Number(lockTimeout) }
  )
  yield* say({ outcome: "opened", entries: yield* store.size })
  if (stays) yield* Effect.never
}).pipe(
  Effect.scoped,
  Effect.catchTag("OpenFailed", ({ detail, holder, reason }) => say({ outcome: reason._tag, detail, holder })),
  Effect.exit,
  Effect.flatMap((exit) => Exit.isFailure(exit) ? Console.log(String(exit.cause)) : Effect.void)
)

NodeRuntime.runMain(program)
