/** The size of the tables while records come and go. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { openOn, openQueue, using } from "../support/fixtures/queues.ts"
import { below } from "../support/fixtures/transactions.ts"
import * as PostgresStores from "../support/postgresStore.ts"
import { testLimit } from "../support/timeLimits.ts"

it.live("the tables stay as they are when the log is short and the server vacuums", () =>
  Effect.gen(function*() {
    const table = yield* PostgresStores.freshTable
    const store = yield* PostgresStores.openOn({
      table,
      durability: "noSync",
      flushInterval: "Infinity",
      changeLog: { retention: { commits: 4 } }
    })
    const connection = yield* Effect.flatMap(PostgresStores.connect, (sql) => sql.reserve)
    const queues = yield* openOn(store)
    const numbers = below(60)
    const round = Effect.gen(function*() {
      const queue = yield* openQueue("traffic")
      yield* Effect.forEach(numbers, (n) => queue.offer({ n: BigInt(n) }), { concurrency: 200, discard: true })
      yield* Effect.forEach(numbers, () => queue.take(() => Effect.void), { concurrency: 200, discard: true })
      yield* queues.cleanup({ timeToLive: Duration.zero, failedTimeToLive: undefined })
      // Autovacuum does the same, about once a minute.
      yield* connection.executeValuesUnprepared(`VACUUM ${table}`, [])
      yield* connection.executeValuesUnprepared(`VACUUM ${table}_log`, [])
      return (yield* store.stats).fileBytes
    })
    const sizes = yield* Effect.replicateEffect(using(queues)(round), 14)
    // The log is shortened after every 16th commit.
    const before = Math.max(...sizes.slice(0, 7))
    assert.isAtMost(Math.max(...sizes.slice(7)), 1.25 * before, sizes.join(" "))
  }).pipe(Effect.scoped), testLimit)
