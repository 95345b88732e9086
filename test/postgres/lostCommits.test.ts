/** A server that has lost its last commits: a follower never takes other commits for them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { below } from "../support/fixtures/transactions.ts"
import { start } from "../support/harness.ts"
import * as PostgresStores from "../support/postgresStore.ts"

/** Opens a store twice, and follows its changes with one of them. */
const followed = Effect.gen(function*() {
  const table = yield* PostgresStores.freshTable
  const options = { table, flushInterval: "Infinity" } as const
  const reader = yield* PostgresStores.openOn(options)
  const writer = yield* PostgresStores.openOn(options)
  const seen: Array<unknown> = []
  const following = yield* start(Effect.exit(Stream.runForEach(
    reader.changes({ since: 0, pollInterval: "20 millis" }),
    (change) => Effect.sync(() => seen.push("key" in change ? change.key : change._tag))
  )))
  const put = (key: string) => writer.put(key, true, { durable: true })
  yield* Effect.forEach(below(5), (number) => put(`key ${number}`))
  yield* PostgresStores.waitUntil(() => seen.length === 5)
  return { following, put, reader, seen, table, writer }
})

/** Takes the last commits from the tables, as a crash does with `synchronous_commit = off`. */
const loseCommits = (table: string, count: number) =>
  Effect.scoped(Effect.gen(function*() {
    const sql = yield* PostgresStores.connect
    const connection = yield* sql.reserve
    const [row] = yield* connection.executeValues(
      `WITH lost AS (UPDATE ${table}_store SET number = number - $1::int RETURNING number),
         gone AS (DELETE FROM ${table}_log l USING lost WHERE l.number > lost.number)
       SELECT number::float8 FROM lost`,
      [count]
    )
    return Number(row?.[0])
  }))

const missed = (exit: Exit.Exit<unknown, unknown>) => {
  assert.propertyVal(Option.getOrThrow(Exit.findErrorOption(exit)), "_tag", "ChangesMissed")
}

describe("a follower of a server that has lost commits", () => {
  it.live("fails with ChangesMissed, also if there are no other commits yet", () =>
    Effect.gen(function*() {
      const { following, seen, table } = yield* followed
      yield* loseCommits(table, 2)
      missed(yield* Fiber.join(following))
      assert.lengthOf(seen, 5)
    }))

  it.live("fails with ChangesMissed when other commits have the numbers of the lost ones, and does not skip them", () =>
    Effect.gen(function*() {
      const { following, seen, table, writer } = yield* followed
      // Other connections do not see the lost number: one statement loses two commits and makes three others.
      yield* Effect.scoped(Effect.gen(function*() {
        const sql = yield* PostgresStores.connect
        const connection = yield* sql.reserve
        yield* connection.executeValues(
          `WITH log AS (UPDATE ${table}_log SET at = at + 1000 WHERE number >= (SELECT number - 1 FROM ${table}_store)),
             added AS (INSERT INTO ${table}_log (number, n, db, kind, key, value, had, has_old, at)
               SELECT s.number + 1, l.n, l.db, l.kind, l.key, l.value, l.had, l.has_old, l.at + 2000
               FROM ${table}_store s, ${table}_log l WHERE l.number = s.number)
           UPDATE ${table}_store SET number = number + 1`,
          []
        )
      }))
      yield* writer.put("other", true, { durable: true })
      missed(yield* Fiber.join(following))
      assert.lengthOf(seen, 5)
    }))
})

describe("commits of a server that has lost commits", () => {
  it.live("are told from the lower number on", () =>
    Effect.gen(function*() {
      const { put, reader, table } = yield* followed
      const numbers: Array<number> = []
      yield* start(Stream.runForEach(reader.commits({ pollInterval: "20 millis" }), ({ transactionId }) =>
        Effect.sync(() =>
          numbers.push(transactionId)
        )))
      // The stream tells the commits from when it has asked the server for the last number: one of these is later.
      yield* Effect.repeat(put("first"), {
        until: () =>
          numbers.length > 0
      })
      const lost = yield* loseCommits(table, 3)
      yield* PostgresStores.waitUntil(() => numbers.at(-1) === lost)
      yield* put("second")
      yield* PostgresStores.waitUntil(() => numbers.at(-1) === lost + 1)
    }))
})
