/** Checks that one process at a time runs the workflows of a store, and that another one goes on when it has ended. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { StoreService } from "../../src/index.ts"
import { goFileOf, Shared, sharedOn } from "./fixtures/sharedOrders.ts"
import { temporaryFolder } from "./harness.ts"
import { startProgram } from "./startProgram.ts"
import { hangLimit } from "./timeLimits.ts"

const program = new URL("../programs/sharedOrders.ts", import.meta.url).pathname

const execute = (id: string) => Shared.execute({ id })

/** Starts a process, which is killed with the scope, and waits until it has the result of a workflow. */
const startProcess = Effect.fnUntraced(function*(args: ReadonlyArray<string>) {
  const { child, exit, line } = yield* startProgram(program, ...args)
  const ended = Effect.flatMap(exit, (code) => Effect.die(`It ended with ${code}`))
  const kill = Effect.andThen(Effect.sync(() => child.kill("SIGKILL")), exit)
  return { result: yield* Effect.raceFirst(line(""), ended), kill }
})

/**
 * Runs workflows in this process and in two others, on stores of one place. `place` are the first two arguments of the other
 * processes.
 */
export const check = Effect.fnUntraced(function*(store: StoreService, place: readonly [server: string, place: string]) {
  const file = join(yield* temporaryFolder, "lines")
  writeFileSync(file, "")
  const linesOf = (id: string) => readFileSync(file, "utf8").split("\n").filter((line) => line.split(" ")[1] === id)
  const noted = (line: string) =>
    Effect.repeat(Effect.sleep(10), { until: () => readFileSync(file, "utf8").includes(`${line}\n`) }).pipe(
      Effect.timeoutOrElse({
        duration: hangLimit,
        orElse: () =>
          Effect.die(`Nobody has noted "${line}", only: ${readFileSync(file, "utf8").trim().split("\n").join(", ")}`)
      })
    )

  const scope = yield* Scope.fork(yield* Effect.scope)
  const first = yield* startProcess([...place, file, "first", "a"])
  assert.strictEqual(first.result, "first")
  const second = { file, runner: "second" }
  const standby = yield* Scope.provide(Layer.build(sharedOn(store, second)), scope)
  yield* Effect.gen(function*() {
    // The second process gets its replies, and runs nothing.
    const held = yield* Effect.forkChild(execute("hold"), { startImmediately: true })
    yield* noted("begin hold first")
    assert.strictEqual(yield* execute("b"), "first")
    assert.strictEqual(yield* execute("a"), "first")
    assert.deepStrictEqual(linesOf("hold"), ["begin hold first"])
    // It goes on after the end of the first one.
    yield* first.kill
    writeFileSync(goFileOf(second, "hold"), "")
    assert.strictEqual(yield* Fiber.join(held), "second")
    assert.strictEqual(yield* execute("c"), "second")
  }).pipe(Effect.provideContext(standby))
  assert.deepStrictEqual(linesOf("hold"), ["begin hold first", "begin hold second", "end hold second"])
  for (const id of ["a", "b"]) assert.deepStrictEqual(linesOf(id), [`begin ${id} first`, `end ${id} first`])

  // A process that starts does not take the work of one that lives.
  const third = yield* startProcess([...place, file, "third", "d"])
  assert.strictEqual(third.result, "second")
  yield* Scope.close(scope, Exit.void)
  const asClient = Layer.fresh(sharedOn(store, { file, runner: "client" }, { runnerAddress: Option.none() }))
  assert.strictEqual(yield* Effect.provide(execute("e"), asClient), "third")
})
