/**
 * Opens people with an optional field that another process, which has them open, does not know, and puts one.
 *
 * Argument: the path.
 */
import { Effect, Schema } from "effect"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"

const [, , path = ""] = process.argv

const people = Collection.make("people", {
  key: Schema.Int,
  value: Schema.Struct({ name: Schema.String, nick: Schema.optionalKey(Schema.String) }),
  indexes: { byName: { key: Schema.String, of: ({ name }) => name, unique: true } }
})

const program = Effect.flatMap(people, ({ put }) => put(5, { name: "Barbara", nick: "B" }))

await Effect.runPromise(Effect.provide(program, Store.layer({ path, shared: true })))
process.stdout.write("opened\n")
