/** A durable workflow whose process is killed just before each of its commits in turn. */
import { assert, describe, it } from "@effect/vitest"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store } from "../../../src/index.ts"
import * as Messages from "../../../src/internal/ports/cluster/messages.ts"
import * as Replies from "../../../src/internal/ports/cluster/replies.ts"
import { Order, ordersOn } from "../../support/fixtures/orders.ts"
import { temporaryFolder, withStore } from "../../support/harness.ts"
import { testLimit } from "../../support/timeLimits.ts"

const program = new URL("../../programs/orderWorkflow.ts", import.meta.url).pathname

/** Runs the order in a process that kills itself before a commit; gives what it printed, or nothing if it was killed. */
const runProcess = (path: string, file: string, killAt: string) =>
  Effect.callback<string | undefined>((resume) => {
    const child = spawn(process.execPath, [program, path, file, killAt], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    let printed = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text
    })
    child.once("close", (code, signal) =>
      resume(
        code === 0
          ? Effect.succeed(printed)
          : signal === "SIGKILL"
          ? Effect.succeed(undefined)
          : Effect.die(`It ended with ${code ?? signal}`)
      ))
  })

/** The activities that have run, in order, once for each time. */
const actsOf = (file: string): ReadonlyArray<string> =>
  existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").filter((line) => line !== "") : []

const activityName = Schema.decodeUnknownSync(Schema.Struct({ name: Schema.String }))

/** The activities whose results are on disk. */
const storedActs = Effect.gen(function*() {
  const messages = yield* Messages.open
  const replies = yield* Replies.open
  const all = yield* messages.collect({})
  const stored: Array<string> = []
  for (const message of all.filter(Messages.isRequest)) {
    const last = yield* Replies.last(replies, message.id)
    if (message.tag !== "activity" || last._tag === "None") continue
    stored.push(activityName(message.payload).name)
  }
  return stored
})

const expected = "A-1: pay done, ship done"

describe("an order whose process is killed", () => {
  it.live(
    "before any commit ends in the next process, and repeats no activity whose result is stored",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const whole = yield* runProcess(join(folder, "whole"), join(folder, "whole.acts"), "0")
        const commits = Number(/(\d+) commits/.exec(whole ?? "")?.[1])
        assert.include(whole, expected)
        assert.isAtLeast(commits, 10)

        // Some runs have another commit more, such as a heartbeat. So the moments after an activity are tried by themselves too.
        const moments = [...Array.range(1, commits).map(String), "1:1", "1:2", "1:3", "2:1", "2:2", "2:3"]
        const killed = yield* Effect.forEach(moments, (killAt) =>
          Effect.gen(function*() {
            const path = join(folder, killAt.replace(":", "-"))
            const file = `${path}.acts`
            const ended = yield* runProcess(path, file, killAt)
            const before = actsOf(file)
            const [stored, result] = yield* withStore({ path }, (store) =>
              Effect.gen(function*() {
                const known = yield* Effect.provideService(storedActs, Store, store)
                return [known, yield* Effect.provide(Order.execute({ id: "A-1" }), ordersOn(store, file))] as const
              }))
            const after = actsOf(file).slice(before.length)
            const about = `killed before commit ${killAt}: ${before.join()} | ${after.join()}`
            assert.strictEqual(result, expected, about)
            assert.deepStrictEqual(after, ["pay", "ship"].filter((act) => !stored.includes(act)), about)
            for (const act of stored) assert.include(before, act, about)
            return ended === undefined ? { before, after } : undefined
          }), { concurrency: 2 })

        // It was killed before, between and after its activities.
        const acts = killed.flatMap((one) => one === undefined ? [] : [`${one.before.join()} | ${one.after.join()}`])
        for (const kind of [" | pay,ship", "pay | pay,ship", "pay | ship", "pay,ship | ship", "pay,ship | "]) {
          assert.include(acts, kind)
        }
      }).pipe(Effect.scoped),
    testLimit
  )
})
