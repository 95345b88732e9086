/** Who may have a store open at the same time: processes, copies of the package, threads, containers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import * as process from "node:process"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { OpenFailed, Store, type StoreOptions } from "../../src/index.ts"
import { start, temporaryFolder, withLog, withStore } from "../support/harness.ts"
import { hangLimit, testLimit } from "../support/timeLimits.ts"

const programs = {
  besideStopped: fileURLToPath(new URL("../programs/besideStopped.ts", import.meta.url)),
  openings: fileURLToPath(new URL("../programs/openings.ts", import.meta.url)),
  openStore: fileURLToPath(new URL("../programs/openStore.ts", import.meta.url)),
  packageTwice: fileURLToPath(new URL("../programs/packageTwice.ts", import.meta.url)),
  threadOpens: fileURLToPath(new URL("../programs/threadOpens.ts", import.meta.url)),
  withoutLocks: fileURLToPath(new URL("../programs/withoutLocks.ts", import.meta.url))
}

const Outcome = Schema.fromJsonString(Schema.Struct({
  outcome: Schema.String,
  detail: Schema.optionalKey(Schema.String),
  holder: Schema.optionalKey(Schema.Struct({ processId: Schema.Int, host: Schema.String, shared: Schema.Boolean })),
  millis: Schema.Number,
  longestPause: Schema.Number
}))

const argumentOf = (stores: ReadonlyArray<object>, stays: boolean): string => JSON.stringify({ stores, stays })

/** Opens stores in another process, until the scope closes. */
const heldAll = (
  stores: ReadonlyArray<StoreOptions>,
  [command, ...args]: ReadonlyArray<string> = [process.execPath]
): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<ChildProcess>((resume) => {
      const child = spawn(command ?? "", [...args, programs.openStore, argumentOf(stores, true)])
      let output = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output += text
        if (output.split("\n").length > stores.length) resume(Effect.succeed(child))
      })
      child.stderr.once("data", (text) => resume(Effect.die(String(text))))
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Opens a store in another process, until the scope closes. */
const held = (options: StoreOptions) => heldAll([options])

/** Opens stores in another process, and closes each again before the next. */
const outcomesOf = (
  stores: ReadonlyArray<object>,
  [command, ...args]: ReadonlyArray<string> = [process.execPath]
) => {
  const { stderr, stdout } = spawnSync(command ?? "", [...args, argumentOf(stores, false)], { encoding: "utf8" })
  assert.strictEqual(stderr, "")
  const lines = stdout.trim().split("\n").slice(-stores.length)
  assert.strictEqual(lines.length, stores.length)
  return lines.map((line) => Schema.decodeUnknownSync(Outcome)(line))
}

const openStore = [process.execPath, programs.openStore]

const refused = (options: StoreOptions): Effect.Effect<OpenFailed> =>
  Effect.orDie(Effect.flip(Effect.asVoid(Effect.scoped(Store.make(options)))))

describe("a store that another process has open", () => {
  it.live(
    "is refused after the timeout, with the process that has it, and a reader can open it",
    () =>
      Effect.gen(function*() {
        const path = join(yield* temporaryFolder, "store")
        const { pid = 0 } = yield* held({ path })
        const error = yield* refused({ path, lockTimeout: "50 millis" })
        assert.strictEqual(error.reason._tag, "AlreadyOpen")
        assert.include(error.message, `process ${pid} on host ${JSON.stringify(hostname())}`)
        assert.include(error.message, "shared: true")
        const { holder } = error
        assert.deepInclude(holder, { processId: pid, host: hostname(), shared: false, readOnly: false })
        assert.isAtMost(
          Math.abs(Number(holder?.since.epochMilliseconds) - statSync(join(path, "store.lock")).mtimeMs),
          60_000
        )
        assert.strictEqual(yield* withStore({ path, readOnly: true }, (store) => store.size), 0)
        assert.isTrue(Schema.is(OpenFailed)(error))
      }),
    testLimit
  )

  it.live(
    "is refused by every path: its folder, the file in it, or a link",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const path = join(folder, "store")
        yield* held({ path })
        mkdirSync(join(folder, "linked"))
        symlinkSync(join(path, "data.mdb"), join(folder, "linked", "data.mdb"))
        for (
          const other of [
            { path: join(path, "data.mdb"), subdirectory: false },
            { path: join(folder, "linked") }
          ]
        ) assert.nestedPropertyVal(yield* refused({ ...other, lockTimeout: "0 millis" }), "reason._tag", "AlreadyOpen")
        assert.deepStrictEqual(readdirSync(join(folder, "linked")), ["data.mdb"])
      }),
    testLimit
  )

  it.live(
    "loses no commit while other processes open it",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, durability: "noSync", flushInterval: "Infinity" })
        yield* store.putMany({ count: 0 })
        const readers = Array.from({ length: 2 }, () =>
          spawn(process.execPath, [programs.openings, path, "60"], { stdio: ["ignore", "pipe", "inherit"] }))
        let count = 0
        while (
          readers.some(({ exitCode, signalCode }) =>
            exitCode === null && signalCode === null
          )
        ) {
          assert.strictEqual(yield* store.getOrFail("count"), count)
          yield* store.put("count", ++count)
          yield* store.flush
        }
        assert.strictEqual(yield* store.getOrFail("count"), count)
        assert.deepStrictEqual(readers.map(({ exitCode }) => exitCode), [0, 0])
      }).pipe(Effect.scoped),
    testLimit
  )

  it.live(
    "is opened within a second after that process was killed, and the wait is logged once",
    () =>
      Effect.gen(function*() {
        const millisUntilOpen = withLog((entries) =>
          Effect.gen(function*() {
            const path = yield* temporaryFolder
            const child = yield* held({ path })
            const opening = yield* start(
              withStore({ path, lockTimeout: "Infinity" }, () => Effect.sync(() => performance.now()))
            )
            yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => entries.length > 0 })
            yield* Effect.sleep("300 millis")
            const killed = performance.now()
            child.kill("SIGKILL")
            const millis = (yield* Fiber.join(opening)) - killed
            assert.deepStrictEqual(entries.map(({ level }) => level), ["INFO"])
            assert.include(entries[0]?.text, `process ${child.pid}`)
            return millis
          })
        )
        // On a busy machine a process may not run for a second. The fastest of five openings counts.
        assert.isBelow(yield* Effect.repeat(millisUntilOpen, { times: 4, until: (millis) => millis < 1000 }), 1000)
      }),
    testLimit
  )

  it.live(
    "delays only the waiting fiber, whose interruption leaves no files and locks",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const child = yield* held({ path })
        for (const shared of [false, true]) {
          const opening = Effect.scoped(Store.make({ path, shared, lockTimeout: "Infinity" }))
          assert.propertyVal(yield* Effect.flip(Effect.timeout(opening, "100 millis")), "_tag", "TimeoutError")
        }
        // Another fiber that opens the same path waits for the first, and can be interrupted too
        const first = yield* start(Effect.scoped(Store.make({ path, lockTimeout: "Infinity" })))
        const second = Effect.timeout(Effect.scoped(Store.make({ path })), "100 millis")
        assert.propertyVal(yield* Effect.flip(second), "_tag", "TimeoutError")
        yield* Fiber.interrupt(first)
        child.kill("SIGKILL")
        assert.strictEqual(yield* withStore({ path }, (store) => store.size), 0)
      }),
    testLimit
  )

  it.live(
    "is shared if all processes set shared, and a mix is refused with the mode of the other process",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const [path, alone] = [join(folder, "shared"), join(folder, "alone")]
        yield* held({ path, shared: true })
        yield* held({ path, shared: true })
        yield* held({ path: alone })
        const lockTimeout = 0
        const exclusive = yield* refused({ path, lockTimeout })
        assert.strictEqual(exclusive.holder?.shared, true)
        assert.include(exclusive.detail, "It has set `shared: true` and this program has not")
        const sharing = yield* refused({ path: alone, shared: true, lockTimeout })
        assert.strictEqual(sharing.holder?.shared, false)
        assert.include(sharing.detail, "This program has set `shared: true` and the other has not")
        yield* withStore({ path, shared: true, lockTimeout }, (store) => store.putMany({ a: 1 }))
        assert.strictEqual(readFileSync(join(path, "store.lock"), "utf8").trim().split("\n").length, 2)
      }),
    testLimit
  )
})

describe("the lock file", () => {
  it.effect("is next to the file, is empty when no process has the store open, and is not in a backup", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      for (
        const [options, lock] of [
          [{ path: join(folder, "one") }, "one/store.lock"],
          [{ path: join(folder, "two.mdb"), subdirectory: false, fileMode: 0o640 }, "two.mdb-store.lock"]
        ] as const
      ) {
        const lockFile = join(folder, lock)
        const copy = join(folder, `copy of ${lock.slice(0, 3)}`)
        yield* withStore(
          options,
          (store) =>
            Effect.sync(() => assert.include(readFileSync(lockFile, "utf8"), `"processId":${process.pid}`)).pipe(
              Effect.andThen(store.backup(copy))
            )
        )
        assert.strictEqual(readFileSync(lockFile, "utf8").trim(), "")
        if (statSync(copy).isDirectory()) assert.deepStrictEqual(readdirSync(copy), ["data.mdb"])
        assert.isFalse(existsSync(`${copy}-store.lock`))
      }
      assert.strictEqual(statSync(join(folder, "two.mdb-store.lock")).mode & 0o137, 0)
    }))

  it.live("with lines that are not valid neither excludes nor admits a process", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.put("a", 1))
      copyFileSync(join(path, "data.mdb"), join(path, "store.lock"))
      yield* held({ path })
      assert.strictEqual((yield* refused({ path, lockTimeout: 0 })).reason._tag, "AlreadyOpen")
    }), testLimit)

  it.effect(
    "that cannot be used gives an error with advice, and lock: false opens without it",
    () =>
      Effect.gen(function*() {
        const withoutLocks = [process.execPath, programs.withoutLocks]
        const folder = yield* temporaryFolder
        const [refusal] = outcomesOf([{ path: folder }], withoutLocks)
        assert.strictEqual(refusal?.outcome, "LockUnavailable")
        assert.include(refusal?.detail, "fs-native-extensions")
        assert.include(refusal?.detail, "lock: false")
        assert.deepStrictEqual(readdirSync(folder), [])
        assert.propertyVal(outcomesOf([{ path: folder, lock: false }], withoutLocks)[0], "outcome", "opened")
      }),
    testLimit
  )
})

describe("a process that is stopped in the middle of a write transaction", () => {
  it.live(
    "blocks no event loop: opening, reading and closing continue, and waits can be interrupted",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        yield* withStore({ path: join(folder, "store"), shared: true }, (store) => store.putMany({ a: 1 }))
        // If the event loop stops, only a kill ends the program
        const { stderr, stdout } = spawnSync(process.execPath, [programs.besideStopped, folder], {
          encoding: "utf8",
          timeout: hangLimit,
          killSignal: "SIGKILL"
        })
        assert.strictEqual(stderr, "")
        const Step = Schema.fromJsonString(
          Schema.Struct({ step: Schema.String, outcome: Schema.Unknown, longestPause: Schema.Number })
        )
        const steps = stdout.split("\n").filter((line) => line.startsWith("{")).map((line) =>
          Schema.decodeUnknownSync(Step)(line)
        )
        const timedOut = "Cause([Fail(TimeoutError: Operation timed out after '500ms')])"
        assert.deepStrictEqual(steps.map(({ outcome, step }) => [step, outcome]), [
          ["read only", 1],
          ["open and close", 1],
          ["put and get", 2],
          ["stats", "done"],
          ["flush", timedOut],
          ["transaction", timedOut],
          ["collection", timedOut],
          ["growth, backup and close wait", [true, true]],
          ["after", [2, true]]
        ])
        assert.strictEqual(yield* withStore({ path: join(folder, "copy") }, (store) => store.has("a")), true)
      }),
    testLimit
  )
})

/** Whether this system lets the test make PID namespaces. */
const inNamespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", process.execPath]
const hasNamespaces = spawnSync(inNamespace[0] ?? "", [...inNamespace.slice(1), "--version"]).status === 0

describe.skipIf(!hasNamespaces)("processes of two PID namespaces (needs unshare --pid)", () => {
  it.live(
    "cannot share a store, not even as readers or with shared, and the event loop continues",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const inOther = [...inNamespace, programs.openStore]
        const pairs = ([
          [{}, {}],
          [{ shared: true }, { shared: true }],
          [{}, { readOnly: true }],
          [{ readOnly: true }, {}]
        ] as const).map(([holding, opening], index) => ({ path: join(folder, String(index)), holding, opening }))
        for (const { path } of pairs) yield* withStore({ path }, (store) => store.put("a", 1))
        yield* Effect.scoped(Effect.gen(function*() {
          yield* heldAll(pairs.map(({ holding, path }) => ({ path, ...holding })), inNamespace)
          for (const command of [inOther, openStore]) {
            const outcomes = outcomesOf(
              pairs.map(({ opening, path }) => ({ path, ...opening, lockTimeout: "200" })),
              command
            )
            for (const { detail, holder, longestPause, millis, outcome } of outcomes) {
              assert.strictEqual(outcome, "AlreadyOpen")
              assert.include(detail, "another PID namespace")
              assert.strictEqual(holder?.host, hostname())
              assert.isBelow(longestPause, millis)
            }
          }
        }))
        const afterwards = outcomesOf(pairs.map(({ path }) => ({ path })), inOther)
        assert.deepStrictEqual(afterwards.map(({ outcome }) => outcome), pairs.map(() => "opened"))
      }),
    testLimit
  )

  it.live("can use it one after the other, and processes of one namespace share it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* held({ path, shared: true })
      const outcomes = outcomesOf([{ path, shared: true }, { path, readOnly: true }], openStore)
      assert.deepStrictEqual(outcomes.map(({ outcome }) => outcome), ["opened", "opened"])
    }), testLimit)
})

describe("another copy of the package in the same process", () => {
  it.live.each([false, true])(
    "is refused, with shared: %s, until the first has closed the store",
    (shared) =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        cpSync(new URL("../../src", import.meta.url), join(folder, "src"), { recursive: true })
        symlinkSync(fileURLToPath(new URL("../../node_modules", import.meta.url)), join(folder, "node_modules"))
        const input = { path: join(folder, "store"), copy: join(folder, "src/index.ts"), shared }
        const { stderr, stdout } = spawnSync(process.execPath, [programs.packageTwice, JSON.stringify(input)], {
          encoding: "utf8",
          timeout: hangLimit,
          killSignal: "SIGKILL"
        })
        assert.strictEqual(stderr, "")
        const [outcome = "", size] = stdout.trim().split("\n")
        const Refusal = Schema.fromJsonString(
          Schema.Struct({ isOther: Schema.Boolean, reason: Schema.String, detail: Schema.String })
        )
        const { detail, isOther, reason } = Schema.decodeSync(Refusal)(outcome)
        assert.deepStrictEqual([isOther, reason, size], [true, "AlreadyOpen", "1"])
        assert.include(detail, "another copy of effect-lmdb in this process")
      }),
    testLimit
  )
})

/** Opens a store in a worker thread, and closes it again. */
const inThread = (options: StoreOptions): Effect.Effect<unknown> =>
  Effect.callback((resume) => {
    const worker = new Worker(programs.threadOpens, { workerData: options })
    worker.once("message", (message: unknown) => resume(Effect.succeed(message)))
    worker.once("error", (error) => resume(Effect.die(error)))
  })

describe("a worker thread", () => {
  it.live("is refused with a reason unless allowWorkerThread is set", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const message = yield* inThread({ path })
      assert.include(message, "WorkerThread")
      assert.include(message, "worker.terminate()")
      assert.include(message, "pool: \"forks\"")
      assert.deepStrictEqual(readdirSync(path), [])
      assert.strictEqual(yield* inThread({ path, allowWorkerThread: true }), "opened")
      // Threads are told apart like processes
      yield* withStore({ path }, () =>
        Effect.gen(function*() {
          const other = yield* inThread({ path, allowWorkerThread: true, lockTimeout: 0 })
          assert.include(other, `another thread of this process (${process.pid})`)
        }))
      yield* withStore({ path, shared: true }, () =>
        Effect.gen(function*() {
          assert.strictEqual(yield* inThread({ path, allowWorkerThread: true, shared: true }), "opened")
        }))
    }), testLimit)
})

describe("the options of the lock", () => {
  it.effect.each<readonly [option: string, options: object]>([
    ["lockTimeout", { lockTimeout: "soon" }],
    ["lockTimeout", { lockTimeout: -1 }],
    ["lock", { lock: "no" }],
    ["allowWorkerThread", { allowWorkerThread: 1 }]
  ])("%s is checked", ([option, options]) =>
    Effect.gen(function*() {
      const made = yield* Effect.result(Effect.scoped(Store.make({ path: yield* temporaryFolder, ...options })))
      assert.isTrue(
        Result.isFailure(made) && made.failure.reason._tag === "BadOption" && made.failure.option === option
      )
    }))
})
