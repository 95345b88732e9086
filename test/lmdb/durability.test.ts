/** What is on disk when a process ends, however it ends. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { temporaryFolder } from "../support/harness.ts"

const program = new URL("../programs/writer.ts", import.meta.url).pathname

/** Runs the writer, stops it when it has acknowledged enough, and gives how many it did. */
const writeUntil = (path: string, mode: "put" | "flush", signal: NodeJS.Signals, enough: number) =>
  Effect.callback<{ readonly acknowledged: number; readonly errors: string }>((resume) => {
    const child = spawn(process.execPath, [program, path, mode])
    let output = ""
    let errors = ""
    const acknowledged = (): number => Number(output.slice(0, output.lastIndexOf("\n")).split("\n").at(-1) ?? 0)
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
      if (!child.killed && acknowledged() >= enough) child.kill(signal)
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text
    })
    child.on("close", () => resume(Effect.succeed({ acknowledged: acknowledged(), errors })))
  })

const isThere = Effect.fnUntraced(function*(path: string, count: number) {
  const store = yield* Store.make({ path })
  const keys = Array.from({ length: count }, (_, index) => `key ${index + 1}`)
  const { found, missing } = yield* store.getMany(keys)
  assert.deepStrictEqual(missing, [])
  for (const [index, key] of keys.entries()) {
    assert.deepStrictEqual(found.get(key), { count: index + 1, text: "x".repeat((index + 1) % 300) })
  }
  return yield* store.size
}, Effect.scoped)

describe("a process that ends", () => {
  it.effect.each<NodeJS.Signals>(["SIGINT", "SIGTERM"])(
    "by %s while it writes has all puts on disk",
    (signal) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const { acknowledged, errors } = yield* writeUntil(path, "put", signal, 700)
        assert.strictEqual(errors, "")
        assert.isAtLeast(acknowledged, 700)
        const size = yield* isThere(path, acknowledged)
        // The last put may have been made without a chance to say so
        assert.isAtMost(size - acknowledged, 1)
      })
  )

  it.effect("by SIGKILL has all flushed writes on disk, and the next process continues", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (const enough of [10, 120]) {
        const { acknowledged } = yield* writeUntil(path, "flush", "SIGKILL", enough)
        assert.isAtLeast(acknowledged, enough)
        yield* isThere(path, acknowledged)
      }
    }))

  it.effect("by SIGKILL leaves complete batches: a flush is on disk completely or not at all", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const { acknowledged } = yield* writeUntil(path, "flush", "SIGKILL", 150)
      const size = yield* isThere(path, acknowledged)
      assert.strictEqual(size % 10, 0)
    }))
})
