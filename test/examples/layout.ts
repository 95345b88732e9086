/**
 * Writes the store whose bytes `docs/design.md` shows.
 *
 * Argument: the folder of the store.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Layer, Schema } from "effect"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"

class Users extends Collection.Service<Users>()("users", {
  key: Schema.Int,
  value: Schema.Struct({ email: Schema.String, age: Schema.Int }),
  indexes: {
    byEmail: { key: Schema.String, of: (user) => user.email, unique: true },
    byAge: { key: Schema.Int, of: (user) => user.age }
  }
}) {}

const program = Effect.gen(function*() {
  const store = yield* Store
  const users = yield* Users
  yield* store.put("greeting", { text: "hello" })
  yield* users.put(1, { email: "ada@x.org", age: 36 })
})

const StoreLive = Store.layer({ path: process.argv[2] ?? "./data" })

program.pipe(Effect.provide(Layer.provideMerge(Users.layer, StoreLive)), NodeRuntime.runMain)
