/**
 * Writes to a store that other processes write to as well, as fast as it can, and prints what came of its calls: how
 * many succeeded, and how many failed with each error.
 *
 * It prints `ready` when it has opened the store, and begins when it reads a line.
 *
 * Arguments: the path, the job, the name of this process, and how many times.
 */
import { Effect, Option, Result } from "effect"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { openUsers, user, userOf } from "../support/fixtures/collections.ts"
import { increment } from "../support/fixtures/transactions.ts"

const [, , path = "", job = "", name = "", times = "0"] = process.argv

const numbers = Array.from({ length: Number(times) }, (_, number) => number)

const goAhead = Effect.callback<void>((resume) => {
  process.stdin.once("data", () => {
    process.stdin.pause()
    resume(Effect.void)
  })
  process.stdout.write("ready\n")
})

/** Another number for each process and call. */
const keyOf = (number: number): number => 1000 * (1 + Number(name)) + number

const jobs = Effect.gen(function*() {
  const store = yield* Store
  const users = yield* openUsers
  return {
    emails: (number: number) => users.insert(keyOf(number), userOf(`email ${number}`, number)),
    keys: (number: number) => users.insert(number, userOf(`${name} ${number}`, number)),
    // Each takes an address from another record, or finds it taken
    puts: (number: number) => users.put(number % 7, userOf(`email ${number * (1 + Number(name)) % 11}`, number)),
    counter: () => Effect.asVoid(store.update("counter", increment)),
    birthdays: () =>
      Effect.asVoid(users.update(1, (current) => Option.some(user({ age: 1 + (Option.getOrThrow(current).age) })))),
    deletions: (number: number) => store.deleteOrFail(`key ${number}`),
    recordDeletions: (number: number) => users.deleteOrFail(number)
  }
})

const isJob = <J extends object>(all: J, given: string): given is Extract<keyof J, string> => given in all

const program = Effect.gen(function*() {
  const all = yield* jobs
  if (!isJob(all, job)) return yield* Effect.die(`there is no job ${job}`)
  const work: (number: number) => Effect.Effect<void, { readonly _tag: string }> = all[job]
  yield* goAhead
  const counts: Record<string, number> = {}
  for (const number of numbers) {
    const result = yield* Effect.result(work(number))
    const outcome = Result.isSuccess(result) ? "done" : result.failure._tag
    counts[outcome] = (counts[outcome] ?? 0) + 1
  }
  process.stdout.write(`${JSON.stringify(counts)}\n`)
})

await Effect.runPromise(Effect.provide(program, Store.layer({ path, shared: true, durability: "noSync" })))
