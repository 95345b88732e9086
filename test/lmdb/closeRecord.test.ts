/** The record of a clean close: a file that still is what it says is opened without a check of its pages, any other is not. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store, type StoreOptions } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import { testLimit } from "../support/timeLimits.ts"
import * as Tracing from "../support/tracing.ts"

const pageSize = 4096

const openStore = new URL("../programs/openStore.ts", import.meta.url).pathname
const writer = new URL("../programs/relaxedWriter.ts", import.meta.url).pathname

const encryptionKey = Redacted.make("a key of 32 bytes, as it must be")

/** Records that take more than the 256 KiB from which a file gets a record. */
const records = Array.from({ length: 1000 }, (_, n) => [`key ${n}`, "v".repeat(300)] as const)

const put = (store: Store["Service"]) => store.putMany(records)

/** Opens and closes a store, and says what came of it. */
const outcomeOf = (options: StoreOptions): Effect.Effect<string> =>
  Effect.scoped(Store.make(options)).pipe(
    Effect.match({ onFailure: ({ reason }) => reason._tag, onSuccess: () => "opened" })
  )

/** A store that was filled and closed. */
const makeClosed = Effect.fnUntraced(function*(options: Partial<StoreOptions> = {}) {
  const path = join(yield* temporaryFolder, "store")
  yield* withStore({ path, ...options }, put)
  return { path, file: join(path, "data.mdb"), record: join(path, "store.closed") }
})

/** Makes the headers of the leaf pages with the records wrong, which only a check of all pages notices. */
const damage = (file: string): void => {
  const bytes = readFileSync(file)
  const pages = Array.from({ length: bytes.length / pageSize - 2 }, (_, index) => index + 2).filter((page) => {
    const at = page * pageSize
    const isLeaf = bytes.readBigUInt64LE(at) === BigInt(page) && bytes.readUInt16LE(at + 18) === 2
    return isLeaf && bytes.subarray(at, at + pageSize).includes("key ")
  })
  assert.isAtLeast(pages.length, 50)
  const descriptor = openSync(file, "r+")
  for (const page of pages) writeSync(descriptor, Uint8Array.of(1), 0, 1, page * pageSize + 7)
  closeSync(descriptor)
}

/** The record of a file as it is now, by the description in docs/design.md. */
const recordOf = (file: string): string => {
  const descriptor = openSync(file, "r")
  const { ctimeNs, dev, ino, mtimeNs, size } = fstatSync(descriptor, { bigint: true })
  closeSync(descriptor)
  const digest = createHash("sha256").update(readFileSync(file).subarray(0, 2 * pageSize)).digest("hex")
  return `effect-lmdb closed 1\ndevice ${dev}\ninode ${ino}\nbytes ${size}\nmodified ${mtimeNs}\nchanged ${ctimeNs}\n` +
    `meta ${digest}\n`
}

const textOf = (path: string): string => existsSync(path) ? readFileSync(path, "utf8") : ""

describe("the record of a clean close", () => {
  it.effect("describes the file, and saves the check of its pages", () =>
    Effect.gen(function*() {
      const { file, path, record } = yield* makeClosed()
      assert.strictEqual(textOf(record), recordOf(file))
      // With a record of the damaged file, nothing looks at the damaged page.
      damage(file)
      writeFileSync(record, recordOf(file))
      assert.strictEqual(yield* outcomeOf({ path }), "opened")
      assert.strictEqual(yield* outcomeOf({ path, readOnly: true }), "opened")
      assert.strictEqual(yield* outcomeOf({ path, verify: true }), "NotADatabase")
      writeFileSync(record, "")
      assert.strictEqual(yield* outcomeOf({ path }), "NotADatabase")
    }))

  it.effect("does not match a file that was changed in any way", () =>
    Effect.gen(function*() {
      const { file, path, record } = yield* makeClosed()
      const text = readFileSync(record, "utf8")
      const whole = readFileSync(file)
      const { atime, mtime } = statSync(file)
      const copy = `${file}.copy`
      const changes = {
        "a byte": () => damage(file),
        "a byte, with the time of the last change set back": () => {
          damage(file)
          utimesSync(file, atime, mtime)
        },
        "another file with the same content and times": () => {
          damage(file)
          copyFileSync(file, copy)
          utimesSync(copy, atime, mtime)
          renameSync(copy, file)
        }
      }
      for (const [name, change] of Object.entries(changes)) {
        writeFileSync(file, whole)
        change()
        writeFileSync(record, text)
        assert.strictEqual(yield* outcomeOf({ path }), "NotADatabase", name)
        assert.strictEqual(yield* outcomeOf({ path, readOnly: true }), "NotADatabase", name)
      }
    }))

  it.effect("names a time of the last change that a change at the moment of the close cannot have", () =>
    Effect.gen(function*() {
      const { file, record } = yield* makeClosed()
      assert.strictEqual(textOf(record), recordOf(file))
      const { ctimeMs, mtimeMs } = statSync(file)
      // A system writes times in steps of at most 10 ms.
      assert.isAtLeast(ctimeMs - mtimeMs, 20)
    }))

  it.effect("does not match if it was not completely written", () =>
    Effect.gen(function*() {
      const { file, path, record } = yield* makeClosed()
      damage(file)
      const text = recordOf(file)
      for (const length of [1, 20, text.length - 64, text.length - 1]) {
        writeFileSync(record, text.slice(0, length))
        assert.strictEqual(yield* outcomeOf({ path }), "NotADatabase", `${length} bytes`)
      }
      writeFileSync(record, text)
      assert.strictEqual(yield* outcomeOf({ path }), "opened")
    }))

  it.effect("is empty from before the first commit to the close", () =>
    Effect.gen(function*() {
      const { file, path, record } = yield* makeClosed()
      const text = textOf(record)
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          yield* store.get("key 1")
          assert.strictEqual(textOf(record), text)
          yield* store.put("key 1", 1)
          yield* store.flush
          assert.strictEqual(textOf(record), "")
        }))
      assert.notStrictEqual(textOf(record), text)
      assert.strictEqual(textOf(record), recordOf(file))
    }))

  it.effect.skipIf(!Tracing.canTrace)(
    "is emptied on disk before the first write, and written after the last wait",
    () =>
      Effect.gen(function*() {
        const { path } = yield* makeClosed({ durability: "relaxed" })
        const calls = Tracing.callsOf(join(yield* temporaryFolder, "trace"), writer, path)
        const shown = calls.filter(({ path: file }) => file.endsWith("data.mdb") || file.endsWith("store.closed")).map((
          { name, path: file }
        ) => `${name.endsWith("sync") ? "wait" : "write"} ${file.slice(path.length + 1)}`)
        assert.deepStrictEqual(shown.slice(0, 3), ["write store.closed", "wait store.closed", "write data.mdb"])
        assert.deepStrictEqual(shown.slice(-3), ["wait data.mdb", "write store.closed", "wait store.closed"])
        assert.lengthOf(shown.filter((call) => call === "write store.closed"), 2)
      }),
    testLimit
  )

  it.effect("stays as it is if a process only reads", () =>
    Effect.gen(function*() {
      // A process that shares the store creates a database, which this one has.
      const { path, record } = yield* makeClosed({ shared: true })
      const text = textOf(record)
      for (const options of [{}, { readOnly: true }, { shared: true }, { lock: false }, { verify: true }]) {
        yield* withStore({ path, ...options }, (store) => store.get("key 1"))
        assert.strictEqual(textOf(record), text)
      }
    }))

  it.effect("is written again after an opening that has checked all pages", () =>
    Effect.gen(function*() {
      const { file, path, record } = yield* makeClosed()
      chmodSync(file, 0o640)
      assert.notStrictEqual(textOf(record), recordOf(file))
      assert.strictEqual(yield* outcomeOf({ path }), "opened")
      assert.strictEqual(textOf(record), recordOf(file))
    }))

  it.effect("is emptied without a new one if the pages were not checked", () =>
    Effect.gen(function*() {
      const { file, path, record } = yield* makeClosed()
      damage(file)
      yield* withStore({ path, verify: false }, (store) =>
        Effect.flatMap(store.namespace("other"), (other) => other.putMany([["a", 1]])))
      assert.strictEqual(textOf(record), "")
      assert.strictEqual(yield* outcomeOf({ path }), "NotADatabase")
    }))

  it.effect("is not written without a wait for the disk, without a lock, or for a small file", () =>
    Effect.gen(function*() {
      for (const options of [{ durability: "noSync" }, { lock: false }] as const) {
        const { path, record } = yield* makeClosed(options)
        assert.strictEqual(textOf(record), "")
        yield* withStore({ path }, put)
        assert.notStrictEqual(textOf(record), "")
        yield* withStore({ path, ...options }, put)
        assert.strictEqual(textOf(record), "")
      }
      const small = join(yield* temporaryFolder, "small")
      yield* withStore({ path: small }, (store) => store.putMany([["a", 1]]))
      assert.isFalse(existsSync(join(small, "store.closed")))
    }))

  it.effect("is not written after a commit that failed", () =>
    Effect.gen(function*() {
      const { file, path, record } = yield* makeClosed()
      const lock = join(path, "lock.mdb")
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          renameSync(lock, `${lock}.away`)
          yield* store.put("key 1", 1)
          assert.strictEqual((yield* Effect.flip(store.flush))._tag, "EngineFailure")
          renameSync(`${lock}.away`, lock)
          yield* store.flush
        }))
      assert.strictEqual(textOf(record), "")
      // The next opening checks the file.
      assert.strictEqual(yield* outcomeOf({ path }), "opened")
      assert.strictEqual(textOf(record), recordOf(file))
    }))

  it.effect("is not written about a file that has replaced the open one", () =>
    Effect.gen(function*() {
      const { file, path, record } = yield* makeClosed()
      const copy = `${file}.copy`
      yield* withStore({ path, closeFailure: "log" }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany([["key 1", 1]])
          copyFileSync(file, copy)
          damage(copy)
          renameSync(copy, file)
        }))
      assert.strictEqual(textOf(record), "")
      assert.strictEqual(yield* outcomeOf({ path }), "NotADatabase")
    }))

  it.effect("is not written while another process has the store open for writing", () =>
    Effect.gen(function*() {
      const options = { shared: true, lockTimeout: "20 seconds" } as const
      const { file, path, record } = yield* makeClosed(options)
      assert.strictEqual(textOf(record), recordOf(file))
      const stays = JSON.stringify({ stays: true, stores: [{ path, shared: true, lockTimeout: "20 seconds" }] })
      const child = spawn(process.execPath, [openStore, stays], { stdio: ["ignore", "pipe", "inherit"] })
      yield* Effect.ensuring(
        Effect.gen(function*() {
          yield* Effect.promise(() => once(child.stdout, "data"))
          yield* withStore({ path, ...options }, put)
          assert.strictEqual(textOf(record), "")
        }),
        Effect.promise(() => {
          const ended = once(child, "exit")
          child.kill("SIGKILL")
          return ended
        })
      )
      yield* withStore({ path, ...options }, put)
      assert.strictEqual(textOf(record), recordOf(file))
    }))

  it.effect("does not save the check of an encryption key", () =>
    Effect.gen(function*() {
      const { file, path, record } = yield* makeClosed({ encryptionKey })
      assert.strictEqual(textOf(record), recordOf(file))
      const wrongKey = Redacted.make("another key, it has 32 bytes too")
      assert.strictEqual(yield* outcomeOf({ path, encryptionKey: wrongKey }), "Encrypted")
      assert.strictEqual(yield* outcomeOf({ path }), "Encrypted")
      const text = textOf(record)
      assert.strictEqual(yield* outcomeOf({ path, encryptionKey }), "opened")
      assert.strictEqual(textOf(record), text)
    }))

  it.effect("is beside a file that is not in a folder of its own, and is not part of a copy or a restored backup", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "one.mdb")
      const copy = join(folder, "copy.mdb")
      const record = `${path}-store.closed`
      const options = { path, subdirectory: false }
      yield* withStore(options, (store) => Effect.andThen(put(store), store.backup(copy)))
      assert.strictEqual(textOf(record), recordOf(path))
      assert.isFalse(existsSync(`${copy}-store.closed`))
      yield* Store.restore({ ...options, from: copy, overwrite: true })
      assert.isFalse(existsSync(record))
    }))

  it.effect("must be writable for a process that writes", () =>
    Effect.gen(function*() {
      if (process.getuid?.() === 0) return
      const { path, record } = yield* makeClosed()
      chmodSync(record, 0o400)
      assert.strictEqual(yield* outcomeOf({ path }), "Permission")
      assert.strictEqual(yield* outcomeOf({ path, readOnly: true }), "opened")
    }))
})
