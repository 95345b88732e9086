/**
 * A thread that counts up in a store which other threads have open too, and fails
 * when it sees one half of what was written together.
 *
 * Its worker data: the path, its number, and how often it counts.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { workerData } from "node:worker_threads"
import { Store } from "../../src/index.ts"

const Arguments = Schema.Struct({ path: Schema.String, number: Schema.Int, times: Schema.Int })
const { number, path, times } = Schema.decodeUnknownSync(Arguments)(workerData)

const program = Effect.gen(function*() {
  const store = yield* Store.make({ path, shared: true, allowWorkerThread: true })
  for (let count = 1; count <= times; count++) {
    yield* store.update(
      `thread ${number}`,
      Option.match({ onNone: () => Option.some(1), onSome: (n) => Option.some(Number(n) + 1) })
    )
    if (count % 10 === 0) yield* store.putMany([["same a", `${number} ${count}`], ["same b", `${number} ${count}`]])
  }
  const { found } = yield* store.getMany(["same a", "same b"])
  if (found.get("same a") !== found.get("same b")) return yield* Effect.die("it saw one half of a pair")
}).pipe(Effect.scoped)

await Effect.runPromise(program)
