/**
 * Works on a queue of a store that other processes work on too, until its input ends.
 *
 * It prints `ready` when it waits for elements, and `holds` with an id when it has its first one, which it handles when it
 * reads a line. Of every element, it writes a line to a file when the handler begins, and another when it ends:
 * `begin` or `end`, the id, the attempt, its name.
 *
 * Arguments: the path, the file, its name, how many elements it handles at the same time, how many seconds its leases last.
 */
import { Deferred, Effect, Layer, Schema } from "effect"
import { PersistedQueue } from "effect/persistence"
import { appendFileSync } from "node:fs"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"

const [, , path = "", file = "", name = "", concurrency = "1", seconds = "120"] = process.argv

const note = (...words: ReadonlyArray<string | number>) =>
  Effect.sync(() => appendFileSync(file, `${[...words, name].join(" ")}\n`))

const program = Effect.gen(function*() {
  const queue = yield* PersistedQueue.make({ name: "work", schema: Schema.Int })
  const line = yield* Deferred.make<void>()
  const end = yield* Deferred.make<void>()
  process.stdin.once("data", () => Deferred.doneUnsafe(line, Effect.void))
  process.stdin.once("end", () => Deferred.doneUnsafe(end, Effect.void))
  let isFirst = true
  const take = queue.take((_, { attempts, id }) =>
    Effect.gen(function*() {
      yield* note("begin", id, attempts)
      if (isFirst) {
        isFirst = false
        process.stdout.write(`holds ${id}\n`)
        yield* Deferred.await(line)
      }
      // Other handlers, and other processes, run meanwhile.
      yield* Effect.sleep(1)
      yield* note("end", id, attempts)
    })
  )
  process.stdout.write("ready\n")
  const workers = Effect.all(Array.from({ length: Number(concurrency) }, () => Effect.forever(take)), {
    concurrency: "unbounded"
  })
  yield* Effect.raceFirst(workers, Deferred.await(end))
})

const Live = LmdbPersistedQueue.layer({ lockExpiration: 1000 * Number(seconds) }).pipe(
  Layer.provide(Store.layer({ path, shared: true }))
)

await Effect.runPromise(Effect.provide(program, Live))
process.exit(0)
