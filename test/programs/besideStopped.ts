/**
 * Uses a store while another process is stopped in the middle of a write transaction, and after that one goes on.
 * Says the longest pause of the event loop, and what each step came to, as lines of JSON.
 *
 * Argument: the path of a store that has been closed.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { join } from "node:path"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"

const path = process.argv[2] ?? ""
const options = { path: join(path, "store"), shared: true, mapSize: "256 KiB", flushInterval: "Infinity" } as const

let longestPause = 0
let lastTurn = performance.now()
setInterval(() => {
  longestPause = Math.max(longestPause, performance.now() - lastTurn)
  lastTurn = performance.now()
}, 5).unref()

const say = (step: string, outcome: unknown) => Console.log(JSON.stringify({ step, outcome, longestPause }))

/** Says what an effect comes to. It must end while the other process is stopped: the test ends a program that hangs. */
const end = <A, E, R>(step: string, effect: Effect.Effect<A, E, R>) =>
  Effect.exit(effect).pipe(
    Effect.flatMap((exit) => say(step, exit._tag === "Success" ? exit.value ?? "done" : String(exit.cause)))
  )

/** Says whether an effect ends within half a second. It must not. */
const wait = <A, E, R>(step: string, effect: Effect.Effect<A, E, R>) => end(step, Effect.timeout(effect, "500 millis"))

const stopped = Effect.acquireRelease(
  Effect.callback<ReturnType<typeof spawn>>((resume) => {
    const program = new URL("./stoppedWriter.ts", import.meta.url).pathname
    const child = spawn(process.execPath, [program, options.path], { stdio: ["ignore", "pipe", "inherit"] })
    child.stdout.once("data", () => resume(Effect.succeed(child)))
  }),
  (child) => Effect.sync(() => child.kill("SIGKILL"))
)

const things = Collection.make("things", { key: Schema.Int, value: Schema.String })

const program = Effect.gen(function*() {
  const child = yield* stopped
  yield* end("read only", Effect.scoped(Effect.flatMap(Store.make({ ...options, readOnly: true }), (s) => s.size)))
  yield* end("open and close", Effect.scoped(Effect.flatMap(Store.make(options), (store) => store.size)))
  const store = yield* Store.make(options)
  yield* end("put and get", Effect.andThen(store.put("a", 2), store.getOrFail("a")))
  yield* end("stats", Effect.asVoid(store.stats))
  yield* wait("flush", store.flush)
  yield* wait("transaction", store.withTransaction(store.put("b", 1)))
  yield* wait("collection", Effect.asVoid(Effect.provideService(things, Store, store)))
  const growing = yield* Effect.forkChild(store.putMany([["large", "x".repeat(2_000_000)]]))
  const copying = yield* Effect.forkChild(store.backup(join(path, "copy")))
  const closing = yield* Effect.forkChild(Effect.scoped(Effect.flatMap(Store.make(options), (other) => other.close())))
  yield* Effect.sleep("200 millis")
  yield* say("growth, backup and close wait", [growing, copying].map((fiber) => fiber.pollUnsafe() === undefined))
  child.kill("SIGCONT")
  yield* Fiber.join(closing)
  yield* Fiber.join(copying)
  yield* Fiber.join(growing)
  yield* Effect.provideService(things, Store, store)
  yield* say("after", [yield* store.getOrFail("a"), yield* store.has("large")])
}).pipe(Effect.scoped)

NodeRuntime.runMain(program)
