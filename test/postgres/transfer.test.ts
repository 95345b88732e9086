/** Exports of a store on LMDB, imported into a store on PostgreSQL, and back. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import { Store, type StoreService } from "../../src/index.ts"
import * as Inspect from "../../src/Inspect.ts"
import { openUsers, userOf } from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"
import * as PostgresStores from "../support/postgresStore.ts"
import { storedContents } from "../support/storedContents.ts"

/** Moves everything from one store to another. */
const move = Effect.fnUntraced(function*(from: StoreService, to: StoreService, format: Inspect.TransferFormat) {
  const bytes = yield* Effect.provideService(Stream.runCollect(Inspect.exportStore({ format })), Store, from)
  yield* Effect.provideService(
    Inspect.importStore(Stream.fromIterable(bytes), { format, batchSize: 25 }),
    Store,
    to
  )
})

describe("an export", () => {
  it.effect.each(["ndjson", "dump"] as const)(
    "can be imported into a store on PostgreSQL, and from there into one on LMDB: $0",
    (format) =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const from = yield* Store.make({ path: join(folder, "from") })
        const source = yield* Effect.provideService(openUsers, Store, from)
        yield* source.putMany(
          Array.from({ length: 80 }, (_, key) => [key, userOf(`u${key}`, key % 30, ["a"])] as const)
        )
        yield* from.put("expiring", new Map([[1n, new Date(0)]]), { ttl: "1 hour" })
        yield* (yield* from.namespace("n")).put("a", 1)
        const contents = yield* storedContents(from)
        const server = yield* PostgresStores.openOn({ table: yield* PostgresStores.freshTable })
        yield* move(from, server, format)
        assert.deepStrictEqual(yield* storedContents(server), contents)
        const target = yield* Effect.provideService(openUsers, Store, server)
        assert.deepStrictEqual(yield* target.verify, [])
        const back = yield* Store.make({ path: join(folder, "back") })
        yield* move(server, back, format)
        assert.deepStrictEqual(yield* storedContents(back), contents)
      })
  )
})
