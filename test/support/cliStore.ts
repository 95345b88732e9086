/**
 * A store with every kind of key, for the tests of the command line and of `Inspect`.
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Collection, Store } from "../../src/index.ts"
import { temporaryFolder } from "./harness.ts"

/** Users by number, with a unique index and a compound one. */
export class Users extends Collection.Service<Users>()("users", {
  key: Schema.Int,
  value: Schema.Struct({ name: Schema.String, country: Schema.String, born: Schema.DateTimeUtcFromString }),
  indexes: {
    byName: { key: Schema.String, of: ({ name }) => name, unique: true },
    byCountry: {
      key: Schema.Tuple([Schema.String, Schema.Date]),
      of: ({ born, country }) => [country, DateTime.toDateUtc(born)]
    }
  }
}) {}

const simple = [
  Collection.make("prices", { key: Schema.Tuple([Schema.String, Schema.Int]), value: Schema.Finite }),
  Collection.make("tags", { key: Schema.String, value: Schema.String }),
  Collection.make("events", { key: Schema.Date, value: Schema.String }),
  Collection.make("counters", { key: Schema.BigInt, value: Schema.Int }),
  Collection.make("flags", { key: Schema.Boolean, value: Schema.Int }),
  Collection.make("blobs", { key: Schema.Uint8Array, value: Schema.Int }),
  Collection.make("empty", { key: Schema.String, value: Schema.String })
] as const

const user = (name: string, country: string, born: string) => ({
  name,
  country,
  born: DateTime.makeUnsafe(`${born}T00:00:00Z`)
})

/** Fills an empty store. */
export const fill = Effect.provide(
  Effect.gen(function*() {
    const store = yield* Store
    yield* store.putMany({
      "greeting": "hello",
      "when": new Date("2026-03-01T12:00:00Z"),
      "set": new Set(["a"]),
      "10": "ten"
    })
    yield* store.put(Uint8Array.of(0xff, 0x00), Uint8Array.of(1, 2, 3))
    const sessions = yield* store.namespace("sessions")
    yield* sessions.put("ada", { page: 3 }, { ttl: "400 days" })
    const users = yield* Users
    yield* users.putMany([
      [1, user("Ada", "GB", "1815-12-10")],
      [2, user("Alan", "GB", "1912-06-23")],
      [3, user("Grace", "US", "1906-12-09")],
      [10, user("Kurt", "AT", "1906-04-28")]
    ])
    const [prices, tags, events, counters, flags, blobs] = yield* Effect.all(simple)
    yield* prices.putMany([[["FR", 9], 1.5], [["FR", 10], 2.5], [["IT", 1], 3]])
    yield* tags.putMany([["10", "ten"], ["apple", "fruit"], ["[x]", "brackets"]])
    yield* events.put(new Date("2026-01-01T00:00:00Z"), "new year")
    yield* counters.put(7n, 1)
    yield* flags.put(true, 1)
    yield* blobs.put(Uint8Array.of(1, 2), 12)
  }),
  Users.layer
)

/** Opens the users of a store. */
export const usersOf = (path: string) => Users.layer.pipe(Layer.provideMerge(Store.layer({ path })))

/** Writes the store into a folder. */
export const write = (path: string) => Effect.provide(fill, Store.layer({ path }))

/** The folder of a store that no test writes to. */
export class CliStore extends Context.Service<CliStore, string>()("test/CliStore") {
  static readonly layer = Layer.effect(CliStore, Effect.tap(temporaryFolder, write))
}
