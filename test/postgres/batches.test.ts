/** Writes of many records with indexes: how often they ask the server. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CuttingProxy from "../support/cuttingProxy.ts"
import { stopSweeper } from "../support/expiring.ts"
import { open as openSessions, session } from "../support/fixtures/sessions.ts"
import { below } from "../support/fixtures/transactions.ts"
import { serverUrl } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"

const number = 600

/** The most pieces of data that the answers to one call have. */
const mostAnswers = 60

describe("a batch of records that expire and have indexes", () => {
  it.effect("asks the server a few times, however many records it has", () =>
    Effect.gen(function*() {
      const url = new URL(serverUrl())
      const proxy = yield* CuttingProxy.make(Number(url.port), 1)
      url.port = `${proxy.port}`
      const table = yield* PostgresStores.freshTable
      const store = yield* PostgresStores.openOn({ table, notify: false, flushInterval: "Infinity" }, url.href)
      yield* stopSweeper(store)
      const sessions = yield* openSessions(store)
      const entries = (round: string) => below(number).map((key) => [key, session(round, `${round} ${key}`)] as const)
      const answersTo = <E>(write: Effect.Effect<unknown, E>) =>
        Effect.suspend(() => {
          const before = proxy.answers
          return Effect.map(write, () => proxy.answers - before)
        })
      assert.isBelow(yield* answersTo(sessions.putMany(entries("first"))), mostAnswers)
      assert.isBelow(yield* answersTo(sessions.putMany(entries("second"))), mostAnswers)
      assert.isBelow(yield* answersTo(sessions.deleteMany(below(number))), mostAnswers)
      assert.strictEqual(yield* sessions.indexes.byToken.count(), 0)
      assert.isBelow(yield* answersTo(sessions.insertMany(entries("third"))), mostAnswers)
      assert.isBelow(yield* answersTo(store.withTransaction(sessions.putMany(entries("fourth")))), mostAnswers)
      assert.strictEqual(yield* sessions.indexes.byToken.count(), number)
      assert.isBelow(yield* answersTo(sessions.deleteRange({})), mostAnswers)
      assert.strictEqual(yield* sessions.size, 0)
      assert.deepStrictEqual(yield* sessions.verify, [])
    }))
})
