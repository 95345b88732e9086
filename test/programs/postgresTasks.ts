/**
 * A process on stores on PostgreSQL. It waits for tasks from its parent, and answers each with its result.
 *
 * It lives for many tasks: to start a process takes longer than most tasks.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import process from "node:process"
import { Store, type StoreService } from "../../src/index.ts"
import { openUsers, userOf } from "../support/fixtures/collections.ts"
import { below, increment } from "../support/fixtures/transactions.ts"
import * as PostgresStores from "../support/postgresStore.ts"
import { Task } from "../support/postgresTask.ts"

const tell = (message: object): Effect.Effect<void> => Effect.sync(() => void process.send?.(message))

/** Moves money among accounts, each amount in one transaction. */
const transfer = (store: StoreService, { accounts, rounds, worker }: Task) =>
  Effect.forEach(
    below(rounds),
    (round) => {
      const from = `account ${(round + worker) % accounts}`
      const to = `account ${(round * 3 + worker + 1) % accounts}`
      return from === to ? Effect.void : store.withTransaction(Effect.gen(function*() {
        const less = Number(yield* store.getOrFail(from))
        const more = Number(yield* store.getOrFail(to))
        yield* store.put(from, less - 1 - round % 3)
        yield* store.put(to, more + 1 + round % 3)
      }))
    },
    { concurrency: 4, discard: true }
  )

/** Two doctors are on call in each shift. One leaves if the other one stays: even workers are the first, odd ones the second. */
const leaveShifts = (store: StoreService, { rounds, worker }: Task) =>
  Effect.map(
    Effect.forEach(
      below(rounds),
      (shift) =>
        store.withTransaction(Effect.gen(function*() {
          const own = `shift ${shift} doctor ${worker % 2}`
          const onCall = yield* store.getMany([own, `shift ${shift} doctor ${1 - worker % 2}`])
          if (![...onCall.found.values()].every((value) => value === true)) return false
          yield* store.put(own, false)
          return true
        })),
      { concurrency: 4 }
    ),
    (left) => left.filter(Boolean).length
  )

/** Inserts users with the same addresses as the other workers. Returns the addresses that it won. */
const takeAddresses = (store: StoreService, { rounds, worker }: Task) =>
  Effect.gen(function*() {
    const users = yield* Effect.provideService(openUsers, Store, store)
    const won = yield* Effect.forEach(below(rounds), (round) =>
      users.insert(1000 * worker + round, userOf(`user${round}`, 20)).pipe(
        Effect.as([round]),
        Effect.catchTag("UniqueViolation", () =>
          Effect.succeed([]))
      ), { concurrency: 4 })
    return won.flat()
  })

/** Writes numbered records in all the ways that the log has to tell of. */
const write = (store: StoreService, { rounds, worker }: Task) =>
  Effect.gen(function*() {
    for (const round of below(rounds)) {
      yield* store.put(`writer ${worker} durable`, round, { durable: true })
      yield* store.put(`writer ${worker} pending ${round}`, round)
      yield* store.putMany([[`writer ${worker} first`, round], [`writer ${worker} second`, round]])
    }
    yield* store.flush
    yield* store.put(`done ${worker}`, true, { durable: true })
  })

/** Follows the changes until all writers are done. Returns what it has seen, in order. */
const follow = (store: StoreService, { workers }: Task) =>
  Effect.gen(function*() {
    let done = 0
    const changes = yield* Stream.runCollect(Stream.takeUntil(
      store.changes({ since: 0, pollInterval: "50 millis" }),
      (change) => change._tag === "Put" && change.key.startsWith("done") && ++done === workers
    ))
    return yield* Effect.forEach(changes, (change) =>
      change._tag === "Put"
        ? Effect.map(change.value, (value) => [change.transactionId, change.key, value])
        : Effect.succeed([change.transactionId, change._tag]))
  })

/** Counts until the parent says that it is enough. Tells of each step that was acknowledged. */
const count = (store: StoreService, { worker }: Task) =>
  Effect.gen(function*() {
    const enough = yield* Deferred.make<void>()
    process.once("message", () => Deferred.doneUnsafe(enough, Effect.void))
    let counted = 0
    while (!(yield* Deferred.isDone(enough))) {
      yield* store.update(`counter ${worker}`, increment)
      counted++
      yield* tell({ counted })
    }
    return counted
  })

const doing = { transfer, leaveShifts, takeAddresses, write, follow, count }

const perform = Effect.fnUntraced(function*(task: Task) {
  const store = yield* PostgresStores.openOn({ table: task.table, patience: "60 seconds", snapshots: 8 }, task.url)
  return yield* doing[task.name](store, task)
}, Effect.scoped)

/** The next task; none after the parent has ended. */
const nextTask = Effect.callback<unknown>((resume) => {
  process.once("message", (message) => resume(Effect.succeed(message)))
})

process.once("disconnect", () => process.exit())

await Effect.runPromise(Effect.forever(Effect.gen(function*() {
  const task = yield* Effect.flatMap(nextTask, Schema.decodeUnknownEffect(Task))
  yield* perform(task).pipe(
    Effect.matchCauseEffect({
      onFailure: (cause) => tell({ failure: Cause.pretty(cause) }),
      onSuccess: (result: unknown) => tell({ result: result ?? null })
    })
  )
})))
