/** A store that closes and cannot write what is pending says so: no write is lost in silence. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as process from "node:process"
import { Collection, MapFull, Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import * as FaultyEngine from "../support/engines/faultyEngine.ts"
import { faultyStore, start, temporaryFolder, withLog, withStore } from "../support/harness.ts"

const { diskFull } = FaultyEngine.faults

/** The limit of the file, which a value of `large` is over. */
const small: Partial<StoreOptions> = { maxMapSize: "512 KiB", flushInterval: "Infinity" }

const large = "x".repeat(600_000)

/** Fails unless an exit has exactly these defects. */
const defectsOf = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<unknown> =>
  Exit.isSuccess(exit) ? [] : exit.cause.reasons.filter(Cause.isDieReason).map(({ defect }) => defect)

const asMapFull = (error: unknown): MapFull => {
  assert.instanceOf(error, MapFull)
  return error
}

/** Opens a small store, uses it and closes its scope. */
const useAndClose = <A, E>(options: Partial<StoreOptions>, use: (store: StoreService) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const path = yield* temporaryFolder
    const exit = yield* Effect.exit(withStore({ ...small, ...options, path }, use))
    return { exit, path }
  })

describe("a scope whose store cannot commit the pending writes", () => {
  it.effect("dies with the typed error, which names the lost keys", () =>
    Effect.gen(function*() {
      const { exit, path } = yield* useAndClose({}, (store) =>
        Effect.all([store.put("a", large), store.put("b", 1), store.delete("c")]))
      const [defect, ...others] = defectsOf(exit)
      assert.deepStrictEqual(others, [])
      const { lost, message, outcome } = asMapFull(defect)
      assert.strictEqual(outcome, "lost")
      assert.deepStrictEqual(lost, { path, count: 3, keys: ["\"a\"", "\"b\"", "\"c\""] })
      assert.include(
        message,
        `The store at ${path} closed, and 3 keys that had not been written are lost: "a", "b", "c"`
      )
      assert.strictEqual(
        yield* withStore({ path }, (store) =>
          store.size),
        0
      )
    }))

  it.effect("names the first ten keys and their number", () =>
    Effect.gen(function*() {
      const { exit } = yield* useAndClose({}, (store) =>
        Effect.andThen(
          store.put("key 00", large),
          Effect.forEach(Array.from({ length: 1199 }, (_, index) => `key ${index + 1}`), (key) => store.put(key, 1))
        ))
      const { lost, message } = asMapFull(defectsOf(exit)[0])
      assert.strictEqual(lost?.count, 1200)
      assert.lengthOf(lost?.keys ?? [], 10)
      assert.match(message, /"key 00", .* and 1,190 more keys$/)
    }))

  it.effect("shows keys by its own formatKey, and keys of collections as typed values", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const options: StoreOptions = { ...small, path, formatKey: () => "hidden" }
      const exit = yield* Effect.gen(function*() {
        const people = yield* Collection.make("people", {
          key: Schema.Tuple([Schema.Int, Schema.Int]),
          value: Schema.Struct({ name: Schema.String }),
          indexes: { byName: { key: Schema.String, of: ({ name }) => name.slice(0, 5) } }
        })
        const store = yield* Store
        yield* store.put("a", large)
        yield* people.put([7, 8], { name: "Anna" })
      }).pipe(Effect.provide(Store.layer(options)), Effect.exit)
      assert.deepStrictEqual(asMapFull(defectsOf(exit)[0]).lost, { path, count: 2, keys: ["hidden", "people: [7,8]"] })
    }))

  it.effect.each<{ readonly how: string; readonly end: Effect.Effect<never, string> }>([
    { how: "error", end: Effect.fail("of the program") },
    { how: "defect", end: Effect.die("of the program") }
  ])("keeps the $how of the program together with it", ({ end }) =>
    Effect.gen(function*() {
      const { exit } = yield* useAndClose({}, (store) => Effect.andThen(store.put("a", large), end))
      const [first, second] = defectsOf(exit)
      assert.strictEqual(first, "of the program")
      assert.strictEqual(asMapFull(second).outcome, "lost")
    }))

  it.effect("only logs the same with closeFailure: \"log\"", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { exit, path } = yield* useAndClose({ closeFailure: "log" }, (store) => store.put("a", large))
        assert.isTrue(Exit.isSuccess(exit))
        const errors = log.filter(({ level }) => level === "ERROR")
        assert.lengthOf(errors, 1)
        assert.include(errors[0]?.text, `The store at ${path} closed, and 1 key that had not been written is lost: "a"`)
      })
    ))

  it.effect("dies with an EngineFailure in the same way", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const exit = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
        const { faulty, store } = yield* faultyStore({ path })
        yield* store.put("a", 1)
        yield* faulty.failAlways("commit", diskFull)
      })))
      const [defect] = defectsOf(exit)
      assert.deepInclude(defect, {
        _tag: "EngineFailure",
        code: diskFull.code,
        lost: { path, count: 1, keys: ["\"a\""] }
      })
      assert.include(String(defect), "1 key that had not been written is lost: \"a\"")
    }))
})

describe("close", () => {
  it.effect("dies if writes are lost, and later closes do nothing", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ ...small, path }, (store) =>
        Effect.gen(function*() {
          yield* store.put("a", large)
          assert.strictEqual(asMapFull(defectsOf(yield* Effect.exit(store.close()))[0]).outcome, "lost")
          yield* store.close()
        }))
    }))

  it.effect("fails with the same error when it is strict", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ ...small, path }, (store) =>
        Effect.gen(function*() {
          yield* store.put("a", large)
          const error = asMapFull(yield* Effect.flip(store.close({ strict: true })))
          assert.deepStrictEqual(error.lost, { path, count: 1, keys: ["\"a\""] })
        }))
    }))

  it.effect("logs the lost writes if its fiber is interrupted", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { faulty, store } = yield* faultyStore()
        yield* store.put("a", 1)
        yield* faulty.failAlways("commit", diskFull)
        const held = yield* faulty.holdCommit
        const closing = yield* start(store.close())
        yield* held.isWanted
        const interrupting = yield* start(Fiber.interrupt(closing))
        yield* held.release
        yield* Fiber.join(interrupting)
        assert.isTrue(
          log.some(({ level, text }) => level === "ERROR" && text.includes("1 key that had not been written is lost"))
        )
      })
    ))
})

describe("one of two handles that is closed", () => {
  const twoHolders = Effect.gen(function*() {
    const opened = yield* faultyStore({ flushInterval: "Infinity" })
    return { ...opened, first: opened.store, second: yield* opened.open }
  })

  it.effect("loses no write: the error stays for the other handle, whose next commit includes the writes", () =>
    Effect.gen(function*() {
      const { faulty, first, second } = yield* twoHolders
      yield* first.put("a", 1)
      yield* faulty.fail("commit", diskFull)
      yield* first.close()
      assert.strictEqual(yield* Effect.flip(second.put("b", 1)), diskFull)
      yield* second.close({ strict: true })
      // It was tried twice
      assert.deepStrictEqual(faulty.batches().map((batch) => batch.map(([, key]) => key)), [["a"], ["a"]])
    }))

  it.effect("with strict fails, and says that no write is lost", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* Store.make({ ...small, path })
      const second = yield* Store.make({ ...small, path, closeFailure: "log" })
      yield* first.put("a", large)
      const { lost, outcome } = asMapFull(yield* Effect.flip(first.close({ strict: true })))
      assert.deepStrictEqual([outcome, lost], ["pending", undefined])
      yield* second.delete("a")
    }))
})

describe("the message of MapFull", () => {
  it.effect("says whether the writes stay pending or were not made", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ ...small, path: yield* temporaryFolder, closeFailure: "log" })
      const notMade = [
        store.putMany({ a: large, b: 1 }),
        store.withTransaction(Effect.andThen(store.put("a", large), store.put("b", 1)))
      ]
      for (const call of notMade) {
        const error = asMapFull(yield* Effect.flip(call))
        assert.deepStrictEqual([error.outcome, error.pending], ["notMade", 2])
        assert.match(error.message, /^2 writes did not fit: .* None of them was made; /)
      }
      yield* store.put("pending", large)
      const pending = asMapFull(yield* Effect.flip(store.flush))
      assert.strictEqual(pending.outcome, "pending")
      assert.match(pending.message, /^1 write did not fit: .* They stay pending and readable; /)
      // Neither the pending write nor this one fits
      const behind = asMapFull(yield* Effect.flip(store.putMany({ a: large })))
      assert.deepStrictEqual([behind.outcome, behind.pending], ["notMade", 1])
      assert.strictEqual((yield* store.stats).pending, 1)
    }))

  it.effect("is about the earlier writes if a put is refused", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({
        ...small,
        path: yield* temporaryFolder,
        batchSize: 1,
        closeFailure: "log"
      })
      yield* store.put("a", large)
      const error = asMapFull(yield* Effect.flip(Effect.forever(store.put("b", 1))))
      assert.strictEqual(error.outcome, "pending")
      assert.isTrue(yield* store.has("a"))
    }))
})

/** How a program ended, and what it said. */
interface Ending {
  readonly code: number | null
  readonly output: string
}

const program = new URL("../programs/lostAtClose.ts", import.meta.url).pathname

/** Runs a program that loses writes; sends it a signal, if any, when it has put them. */
const run = (end: string, options: { readonly signal?: NodeJS.Signals; readonly closeFailure?: string } = {}) =>
  Effect.gen(function*() {
    const path = yield* temporaryFolder
    return yield* Effect.promise(async (): Promise<Ending> => {
      const child = spawn(process.execPath, [program, path, end, options.closeFailure ?? "die"], {
        env: { ...process.env, NO_COLOR: "1" }
      })
      let output = ""
      let isStopped = false
      const take = (text: string): void => {
        output += text
        if (isStopped || options.signal === undefined || !output.includes("put\n")) return
        isStopped = true
        child.kill(options.signal)
      }
      child.stdout.setEncoding("utf8").on("data", take)
      child.stderr.setEncoding("utf8").on("data", take)
      await once(child, "close")
      return { code: child.exitCode, output }
    })
  })

/** Fails unless the last lines name the keys. */
const assertNamesKeys = (output: string): void => {
  const last = output.trimEnd().split("\n").slice(-40).join("\n")
  assert.include(last, "and 21 keys that had not been written are lost: \"key 0\", \"key 1\", \"key 2\"")
  assert.include(last, "and 11 more keys")
}

describe("a program whose writes did not fit", () => {
  it.live.each(["succeed", "promise"])(
    "ends with code 1, and its last lines name the keys: %s",
    (end) =>
      Effect.gen(function*() {
        const { code, output } = yield* run(end)
        assert.strictEqual(code, 1, output)
        assertNamesKeys(output)
      })
  )

  it.live.each([["fail", "the program failed"], ["die", "the program died"]] as const)(
    "and that failed itself shows both errors: %s",
    ([end, own]) =>
      Effect.gen(function*() {
        const { code, output } = yield* run(end)
        assert.strictEqual(code, 1, output)
        assert.include(output, own)
        assertNamesKeys(output)
      })
  )

  it.live("and that failed itself under runPromise reports one failure and logs the other", () =>
    Effect.gen(function*() {
      const { code, output } = yield* run("failPromise")
      assert.strictEqual(code, 1, output)
      assert.include(output, "the program failed")
      assertNamesKeys(output)
    }))

  it.live.each(["SIGINT", "SIGTERM"] as const)(
    "and that is stopped by %s reports them too",
    (signal) =>
      Effect.gen(function*() {
        const { code, output } = yield* run("wait", { signal })
        assert.strictEqual(code, 1, output)
        assertNamesKeys(output)
      })
  )

  it.live("ends with code 0 with closeFailure: log, and logs the keys", () =>
    Effect.gen(function*() {
      const { code, output } = yield* run("succeed", { closeFailure: "log" })
      assert.strictEqual(code, 0, output)
      assertNamesKeys(output)
    }))
})
