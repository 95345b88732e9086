/**
 * Opens one path with two copies of the package, first at once and then one after the other.
 *
 * Argument: the path, the address of the other copy, and whether both share, as JSON.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import * as first from "../../src/index.ts"

const Arguments = Schema.Struct({ path: Schema.String, copy: Schema.String, shared: Schema.Boolean })
const { copy, path, shared } = Schema.decodeUnknownSync(Schema.fromJsonString(Arguments))(process.argv[2])

const program = Effect.gen(function*() {
  const second = yield* Effect.promise((): Promise<typeof first> => import(copy))
  const options = { path, shared, lockTimeout: 100 }
  yield* Effect.scoped(Effect.gen(function*() {
    const store = yield* first.Store.make(options)
    const { detail, reason } = yield* Effect.flip(second.Store.make(options))
    yield* Console.log(JSON.stringify({ isOther: second.Store !== first.Store, reason: reason._tag, detail }))
    yield* store.putMany({ a: 1 })
  }))
  yield* Effect.scoped(Effect.flatMap(second.Store.make(options), (store) => Effect.flatMap(store.size, Console.log)))
})

NodeRuntime.runMain(Effect.scoped(program))
