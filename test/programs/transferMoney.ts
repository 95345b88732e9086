/**
 * Moves money among accounts, each transfer a transaction. Looks at the sum now and then,
 * and prints how many transfers were made then, and in the end `done`.
 *
 * Arguments: the path, the number of accounts, and the number of transfers.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Random, Stream } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = "", accounts = "", transfers = ""] = process.argv

const anyAccount = Effect.map(Random.nextIntBetween(0, Number(accounts) - 1), (n) => `account ${n}`)

const program = Effect.gen(function*() {
  const store = yield* Store
  const transfer = Effect.gen(function*() {
    const [from, to] = [yield* anyAccount, yield* anyAccount]
    const amount = yield* Random.nextIntBetween(1, 9)
    yield* store.put(from, Number(yield* store.getOrFail(from)) - amount)
    yield* Effect.yieldNow
    yield* store.put(to, Number(yield* store.getOrFail(to)) + amount)
  })
  const sum = Effect.map(
    Stream.runCollect(store.values({ prefix: "account" })),
    (values) => values.reduce((total: number, value) => total + Number(value), 0)
  )
  const before = yield* store.withTransaction(sum)
  for (let count = 0; count < Number(transfers); count++) {
    yield* store.withTransaction(transfer)
    if (count % 20 > 0) continue
    const now = yield* store.withTransaction(sum)
    if (now !== before) return yield* Effect.die(`the sum was ${before} and is ${now}`)
    process.stdout.write(`${count}\n`)
  }
  process.stdout.write("done\n")
})

NodeRuntime.runMain(Effect.provide(program, Store.layer({ path, shared: true, durability: "noSync" })))
