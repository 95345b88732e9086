/** A process on a store on PostgreSQL: moves money among accounts, and inserts users with unique addresses. */
import * as Effect from "effect/Effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { openUsers, userOf } from "../support/fixtures/collections.ts"
import * as PostgresStores from "../support/postgresStore.ts"

const [, , url = "", table = "", worker = "0", rounds = "20", accounts = "5"] = process.argv

const transfer = (store: Store["Service"], round: number) =>
  store.withTransaction(Effect.gen(function*() {
    const [from, to] = [round, round * 7 + 1 + Number(worker)].map((number) => `account ${number % Number(accounts)}`)
    if (from === undefined || to === undefined || from === to) return
    const less = Number(yield* store.getOrFail(from))
    const more = Number(yield* store.getOrFail(to))
    yield* store.put(from, less - 1)
    yield* store.put(to, more + 1)
  }))

const program = Effect.gen(function*() {
  const store = yield* PostgresStores.openOn({ table }, url)
  const users = yield* Effect.provideService(openUsers, Store, store)
  const indexes = Array.from({ length: Number(rounds) }, (_, round) => round)
  yield* Effect.forEach(indexes, (round) => transfer(store, round), { concurrency: 4, discard: true })
  const inserted = yield* Effect.forEach(
    indexes,
    (round) => Effect.result(users.insert(1000 * Number(worker) + round, userOf(`user${round}`, 20))),
    { concurrency: 4 }
  )
  yield* Effect.forEach(indexes, (round) => store.put(`done ${worker}`, round, { durable: true }), { discard: true })
  return inserted.map((result) => result._tag === "Success" ? "Success" : result.failure._tag)
})

process.stdout.write(JSON.stringify(await Effect.runPromise(Effect.scoped(program))))
