/** What becomes of an open store when its files are replaced, removed or renamed: it fails and stays alive, and no other file is written to. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { EngineFailure, type StoreService } from "../../src/index.ts"
import { temporaryFolder, withLog, withStore } from "../support/harness.ts"
import { hangLimit } from "../support/timeLimits.ts"

const failureOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.flatMap(
    Effect.flip(effect),
    (error) => error instanceof EngineFailure ? Effect.succeed(error) : Effect.die(error)
  )

/** Does everything that writes, and everything that reads; the store had `{ a: 1 }` before. */
const expectStopped = Effect.fnUntraced(function*(store: StoreService, detail: RegExp) {
  yield* store.put("pending", 2)
  const failures = [
    yield* failureOf(store.flush),
    yield* failureOf(store.putMany({ b: 1 })),
    // The map would have to grow
    yield* failureOf(store.putMany({ large: "x".repeat(3_000_000) })),
    yield* failureOf(store.withTransaction(store.put("b", 1)))
  ]
  for (const failure of failures) {
    assert.match(failure.detail, detail)
    assert.isAbove(failure.code, 0)
    assert.isFalse(failure.isRetryable)
  }
  assert.deepStrictEqual(yield* store.getOrFail("a"), { n: 1 })
  assert.strictEqual(yield* store.getOrFail("pending"), 2)
})

const withOpenStore = <A, E, R>(
  path: string,
  use: (store: StoreService, file: string) => Effect.Effect<A, E, R>
) =>
  withLog((log) =>
    Effect.gen(function*() {
      yield* withStore({ path, mapSize: "1 MiB", flushInterval: "Infinity", closeFailure: "log" }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany({ a: { n: 1 } })
          yield* use(store, join(path, "data.mdb"))
        }))
      return log
    })
  )

/** Enough records with the same fields to share a structure. */
const many = (record: object) => Array.from({ length: 40 }, (_, number) => [`key ${number}`, record] as const)

const fill = (store: StoreService, record: object) =>
  Effect.andThen(Effect.forEach(many(record), ([key, value]) => store.put(key, value)), store.flush)

/** What a store has that is opened anew. */
const contentsOf = (path: string) =>
  withStore(
    { path, readOnly: true },
    (store) => Effect.map(store.getMany<string>(["a", "b", "pending", "other"]), ({ found }) => found)
  )

describe.skipIf(process.platform === "win32")("the file of an open store", () => {
  it.effect("that is replaced by another store is not written to, not even when the map grows", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const other = join(folder, "other")
      yield* withStore({ path: other }, (store) => store.putMany({ other: { x: 1 } }))
      const bytes = readFileSync(join(other, "data.mdb"))
      const path = join(folder, "store")
      const log = yield* withOpenStore(path, (store, file) =>
        Effect.gen(function*() {
          renameSync(join(other, "data.mdb"), file)
          yield* expectStopped(
            store,
            /the database .*data\.mdb was replaced by another file while the store was open\. Nothing/
          )
        }))
      assert.isTrue(readFileSync(join(path, "data.mdb")).equals(bytes))
      assert.isTrue(log.some(({ text }) => text.includes("was replaced by another file")))
      assert.deepStrictEqual(yield* contentsOf(path), new Map<string, unknown>([["other", { x: 1 }]]))
    }))

  it.effect("keeps its field names, and reads return the written values", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const [path, other] = [join(folder, "store"), join(folder, "other")]
      yield* withStore({ path: other }, (store) => Effect.repeat(fill(store, { x: 1, y: 2 }), { times: 3 }))
      yield* withOpenStore(path, (store, file) =>
        Effect.gen(function*() {
          yield* Effect.repeat(fill(store, { m: 1, n: 2 }), { times: 3 })
          renameSync(join(other, "data.mdb"), file)
          yield* store.put("key 1", { m: 5, n: 6 })
          yield* Effect.result(store.putMany({ large: "x".repeat(3_000_000) }))
          assert.deepStrictEqual(yield* store.getOrFail("key 1"), { m: 5, n: 6 })
          assert.deepStrictEqual(yield* store.getOrFail("key 2"), { m: 1, n: 2 })
        }))
    }))

  it.effect.each<readonly [what: string, remove: (path: string, elsewhere: string) => void]>([
    ["removed", (path) => unlinkSync(join(path, "data.mdb"))],
    ["removed with its folder", (path) => rmSync(path, { recursive: true })],
    ["renamed with its folder", (path, elsewhere) => renameSync(path, elsewhere)]
  ])("that is %s is not created again", ([, remove]) =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "store")
      yield* withOpenStore(path, (store, file) =>
        Effect.gen(function*() {
          remove(path, join(folder, "elsewhere"))
          yield* expectStopped(store, /the database .*data\.mdb is gone: it, or its folder, was removed or renamed/)
          assert.isFalse(existsSync(file))
        }))
      assert.isFalse(existsSync(join(path, "data.mdb")))
    }))

  it.effect("that is renamed and renamed back loses no write", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "store")
      yield* withOpenStore(path, (store) =>
        Effect.gen(function*() {
          renameSync(path, join(folder, "elsewhere"))
          yield* expectStopped(store, /is gone/)
          renameSync(join(folder, "elsewhere"), path)
          yield* store.flush
          yield* store.putMany({ large: "x".repeat(3_000_000) })
        }))
      assert.deepStrictEqual(
        yield* contentsOf(path),
        new Map<string, unknown>([["a", { n: 1 }], ["pending", 2]])
      )
    }))

  it.effect("that was opened through a link continues to work when the link changes", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const at = (name: string) => join(folder, name)
      mkdirSync(at("first"))
      mkdirSync(at("second"))
      symlinkSync(at("first"), at("link"))
      yield* withOpenStore(at("link"), (store) =>
        Effect.gen(function*() {
          unlinkSync(at("link"))
          symlinkSync(at("second"), at("link"))
          yield* store.putMany({ b: 1 })
          yield* store.putMany({ large: "x".repeat(3_000_000) })
        }))
      assert.isFalse(existsSync(join(at("second"), "data.mdb")))
      assert.strictEqual(yield* withStore({ path: at("first") }, (store) => store.getOrFail("b")), 1)

      mkdirSync(at("linked"))
      copyFileSync(join(at("first"), "data.mdb"), at("copy.mdb"))
      const copied = readFileSync(at("copy.mdb"))
      symlinkSync(join(at("first"), "data.mdb"), join(at("linked"), "data.mdb"))
      yield* withOpenStore(at("linked"), (store, file) =>
        Effect.gen(function*() {
          unlinkSync(file)
          symlinkSync(at("copy.mdb"), file)
          yield* store.putMany({ c: 1 })
        }))
      assert.isTrue(readFileSync(at("copy.mdb")).equals(copied))
      // By whatever path, a file has the same lock files
      assert.deepStrictEqual(readdirSync(at("linked")), ["data.mdb"])
      assert.strictEqual(yield* withStore({ path: at("first") }, (store) => store.getOrFail("c")), 1)
    }))

  it.effect("that no user may write to any more is not written to, because readers rely on that", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withOpenStore(path, (store, file) =>
        Effect.gen(function*() {
          chmodSync(file, 0o444)
          yield* expectStopped(store, /nobody may write to .*data\.mdb any more.*chmod u\+w/)
          chmodSync(file, 0o600)
          yield* store.flush
        }))
      assert.strictEqual((yield* contentsOf(path)).get("pending"), 2)
    }))

  it.effect("that is encrypted and replaced is not copied by a backup", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const [path, other] = [join(folder, "store"), join(folder, "other")]
      const encryptionKey = Redacted.make("0123456789abcdef".repeat(2))
      yield* withStore({ path: other, encryptionKey }, (store) => store.putMany({ other: 1 }))
      yield* withStore({ path, encryptionKey }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany({ a: 1 })
          yield* store.backup(join(folder, "before"))
          renameSync(join(other, "data.mdb"), join(path, "data.mdb"))
          assert.include((yield* failureOf(store.backup(join(folder, "after")))).detail, "was replaced")
          assert.isFalse(existsSync(join(folder, "after", "data.mdb")))
        }))
    }))

  it.effect("is not accepted as the target of a backup, by any path", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "store")
      yield* withOpenStore(path, (store) =>
        Effect.gen(function*() {
          symlinkSync(path, join(folder, "link"))
          for (const target of [path, join(folder, "link"), join(path, "..", "store")]) {
            const failure = yield* failureOf(store.backup(target))
            assert.include(failure.detail, "there is already something")
          }
          yield* store.putMany({ b: 1 })
        }))
      assert.strictEqual((yield* contentsOf(path)).get("b"), 1)
    }))
})

describe.skipIf(process.platform === "win32")("the lock file of an open store", () => {
  it.effect.each<readonly [what: string, change: (lock: string) => void]>([
    ["removed", unlinkSync],
    ["replaced", (lock) => {
      unlinkSync(lock)
      writeFileSync(lock, new Uint8Array(131_280))
    }]
  ])(
    "that is %s stops all writes, because other processes lock another file",
    ([what, change]) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* withOpenStore(path, (store) =>
          Effect.gen(function*() {
            change(join(path, "lock.mdb"))
            yield* expectStopped(
              store,
              what === "removed" ? /the lock file .* is gone/ : /the lock file .* was replaced/
            )
          }))
        // The same for the lock of this package, which is the one that is taken for stale
        yield* withOpenStore(path, (store) =>
          Effect.gen(function*() {
            change(join(path, "store.lock"))
            yield* expectStopped(
              store,
              what === "removed"
                ? /the store lock .* is gone.* never has to be deleted/
                : /the store lock .* was replaced/
            )
          }))
        yield* withStore({ path }, (store) => store.putMany({ b: 1 }))
        assert.deepStrictEqual((yield* contentsOf(path)).get("a"), { n: 1 })
      })
  )

  it.effect("that is removed does not end a process that opens the store later, nor the one that has it open", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const reader = new URL("../programs/readAs.ts", import.meta.url).pathname
      yield* withOpenStore(path, (store) =>
        Effect.gen(function*() {
          yield* store.putMany(Array.from({ length: 100 }, (_, number) => [`key ${number}`, number] as const))
          unlinkSync(join(path, "lock.mdb"))
          for (let round = 0; round < 2; round++) {
            const { status, stderr, stdout } = spawnSync(process.execPath, [reader, "", path], {
              encoding: "utf8",
              timeout: hangLimit
            })
            assert.strictEqual(status, 0, stderr)
            assert.strictEqual(stdout.trim(), "101 records")
            assert.isTrue(Result.isFailure(yield* Effect.result(store.putMany({ b: round }))))
          }
          assert.strictEqual(yield* store.size, 101)
        }))
    }))
})
