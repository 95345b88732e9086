/**
 * Writes until the operating system refuses, and goes on when it no longer does.
 *
 * Run under a limit on the size of files: a limit stands in for a full disk, whose
 * errors the engine gives in the same way.
 */
import { Effect, Exit } from "effect"
import { Store } from "../../src/index.ts"

const value = "x".repeat(100_000)

const program = Effect.gen(function*() {
  const store = yield* Store.make({ path: process.argv[2] ?? "", flushInterval: "Infinity" })
  yield* store.put("first", "on disk")
  yield* store.flush

  for (let i = 0; i < 30; i++) yield* store.put(`key${i}`, value)
  const flushed = yield* Effect.flip(store.flush)
  const unit = yield* Effect.flip(store.putMany({ unit: value.repeat(20) }))
  const { pending } = yield* store.stats
  const seen = [yield* store.has("key29"), yield* store.has("unit"), yield* store.getOrFail("first")]

  for (let i = 5; i < 30; i++) yield* store.delete(`key${i}`)
  const recovered = yield* Effect.exit(store.flush)
  return {
    flushed: [flushed._tag, "code" in flushed ? flushed.code : 0],
    unit: unit._tag,
    pending,
    seen,
    recovered: Exit.isSuccess(recovered),
    entries: yield* store.size
  }
}).pipe(Effect.scoped)

void Effect.runPromise(program).then((report) => process.stdout.write(`${JSON.stringify(report)}\n`))
