/**
 * Fills a store under a limit on the addresses of the process until it cannot grow any more, and prints what
 * came of it.
 *
 * Arguments: the path of the store, how many MiB of addresses the process may take in addition, and "snapshot" to keep
 * one open meanwhile.
 */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import * as process from "node:process"
import { Store } from "../../src/index.ts"

const [, , path = "", mebibytes = "", snapshot = ""] = process.argv
const mebibyte = 1024 * 1024

const used = 1024 * Number(/VmSize:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1])
const limit = used + Number(mebibytes) * mebibyte
spawnSync("prlimit", [`--pid=${process.pid}`, `--as=${limit}`])

const value = (number: number) => `${number} ${"x".repeat(mebibyte)}`

const fill = Effect.gen(function*() {
  const store = yield* Store.make({ path, mapSize: "1 MiB", durability: "noSync" })
  let written = 0
  const fillUp = Effect.gen(function*() {
    for (; written < 2000; written++) yield* store.putMany({ [`key ${written}`]: value(written) })
    return { _tag: "none", detail: "", code: 0, isRetryable: false }
  })
  yield* store.putMany({ a: 1, b: 2 })
  // A reader that does not go on: the map grows within transactions as long as its snapshot is open.
  if (snapshot === "snapshot") {
    yield* Effect.forkScoped(Stream.runForEach(Stream.rechunk(store.keys(), 1), () => Effect.never), {
      startImmediately: true
    })
  }
  const error = yield* Effect.match(fillUp, {
    onSuccess: (none) => none,
    onFailure: (failure) => ({
      _tag: failure._tag,
      detail: "detail" in failure ? failure.detail : "",
      code: "code" in failure ? failure.code : 0,
      isRetryable: "isRetryable" in failure && failure.isRetryable
    })
  })
  // The rest of the map: not even a page is left. With an open snapshot LMDB could not reuse what is deleted.
  const fillRest = Effect.gen(function*() {
    for (let number = 0; number < 2000; number++) yield* store.putMany({ [`rest ${number}`]: "x".repeat(2500) })
  })
  if (snapshot === "") yield* Effect.ignore(fillRest)
  let wrong = 0
  for (let number = 0; number < written; number++) {
    if ((yield* store.getOrFail(`key ${number}`)) !== value(number)) wrong++
  }
  // What was asked for is still not committed, and closing goes on without it.
  const later = yield* Effect.match(store.putMany({ large: value(0) + value(1) }), {
    onSuccess: () => "none",
    onFailure: ({ _tag }) => _tag
  })
  // Where not even a page is left, deletions make room: LMDB reuses their pages two transactions later.
  const makeRoom = (number: number) => store.deleteMany([`key ${number}`, `key ${number + 1}`])
  const putSmall = store.putMany({ small: 1 })
  yield* Effect.catchTag(
    putSmall,
    "EngineFailure",
    () => Effect.andThen(Effect.forEach([0, 2, 4], makeRoom, { discard: true }), putSmall)
  )
  return { error, hasWritten: written > 50, wrong, small: yield* store.getOrFail("small"), later }
})

const report = await Effect.runPromise(Effect.provide(Effect.scoped(fill), Logger.layer([])))
process.stdout.write(`${JSON.stringify(report)}\n`)
