/** Every option: what it refuses and what it does. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { EngineFull } from "../../src/Engine.ts"
import { Collection, Store, type StoreOptions } from "../../src/index.ts"
import { faultyStore, start, temporaryFolder, until, withStore } from "../support/harness.ts"

const mebibyte = 1024 * 1024

/** Options as they come from JavaScript, where no compiler looks. */
const unchecked = (path: string, options: object): StoreOptions => ({ path, ...options })

/** What is stored for a string key, in hexadecimal. */
const bytesOfKey = (options: Omit<StoreOptions, "path">, key: string) =>
  Effect.gen(function*() {
    const { faulty, store } = yield* faultyStore(options)
    yield* store.put(key, 1)
    yield* store.flush
    return Buffer.from(faulty.batches()[0]?.[0]?.[1] ?? "", "latin1").toString("hex")
  })

/** The size of the map, and its limit. */
const mapSizes = (options: Omit<StoreOptions, "path">) =>
  Effect.flatMap(
    temporaryFolder,
    (path) =>
      withStore({ path, ...options }, (store) =>
        Effect.map(store.stats, (stats) => [stats.mapSize, Option.getOrUndefined(stats.maxMapSize)]))
  )

/** Whether the key and the value stand in the file as they are. */
const canBeRead = (encryptionKey: Redacted.Redacted | undefined) =>
  Effect.gen(function*() {
    const path = yield* temporaryFolder
    yield* withStore({ path, encryptionKey }, (store) => store.putMany({ "plain key": "plain value" }))
    const file = readFileSync(join(path, "data.mdb"))
    return [file.includes("plain key"), file.includes("plain value")]
  })

describe("an option that is not valid is a BadOption that names it", () => {
  it.effect.each<readonly [option: keyof StoreOptions, value: unknown, others?: object]>([
    ["path", ""],
    ["path", "a\0b"],
    ["path", 1],
    ["path", null],
    ["path", undefined],
    ["batchSize", 0],
    ["batchSize", -1],
    ["batchSize", 1.5],
    ["batchSize", Number.NaN],
    ["batchSize", Infinity],
    ["batchSize", "10"],
    ["batchBytes", 0],
    ["batchBytes", -1],
    ["batchBytes", "nonsense"],
    ["batchBytes", {}],
    ["flushInterval", 0],
    ["flushInterval", -1],
    ["flushInterval", "0 seconds"],
    ["flushInterval", "nonsense"],
    ["flushInterval", Number.NaN],
    ["flushInterval", Duration.zero],
    ["mapSize", 0],
    ["mapSize", 1024],
    ["mapSize", "255 KiB"],
    ["mapSize", "nonsense"],
    ["mapSize", Number.NaN],
    ["mapSize", Infinity],
    ["maxMapSize", 1024],
    ["maxMapSize", "1 MiB", { mapSize: "2 MiB" }],
    ["maxMapSize", "nonsense"],
    ["keyEncoding", "utf-7"],
    ["keyEncoding", "UTF8"],
    ["keyErrors", "surrogateescape"],
    ["keyNormalization", "nfc"],
    ["closeFailure", "throw"],
    ["closeFailure", true],
    ["durability", "always"],
    ["durability", true],
    ["encryptionKey", Redacted.make("too short")],
    ["encryptionKey", Redacted.make("x".repeat(33))],
    ["encryptionKey", Redacted.make("é".repeat(32))],
    ["encryptionKey", Redacted.make(32)],
    ["encryptionKey", "x".repeat(32)],
    ["resize", "often"],
    ["resize", 3],
    ["resize", {}],
    ["formatKey", "%s"],
    ["formatKey", {}],
    ["subdirectory", "yes"],
    ["subdirectory", 0],
    ["readOnly", "no"],
    ["readOnly", 1],
    ["autoFlushOnRead", "true"],
    ["compression", "lz4"],
    ["checksums", "crc32"],
    ["verify", "always"],
    ["verify", 1],
    ["fileMode", 0o400],
    ["fileMode", 0o1600],
    ["fileMode", "600"],
    ["fileMode", 384.5],
    ["fileMode", -1],
    ["encryptionKey", ""],
    ["encryptionKey", null],
    ["encryptionKey", Redacted.make("")],
    ["batchSize", null],
    ["readOnly", null],
    ["flushInterval", null],
    ["maxMapSize", null],
    ["resize", null]
  ])("%s: %j", ([option, value, others]) =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "store")
      const error = yield* Effect.flip(Effect.asVoid(Store.make(unchecked(path, { ...others, [option]: value }))))
      assert.strictEqual(error._tag, "OpenFailed")
      assert.strictEqual(error.reason._tag, "BadOption")
      assert.strictEqual(error.option, option)
      assert.include(error.message, `option ${option}`)
      assert.notInclude(error.message, "x".repeat(32))
      assert.deepStrictEqual(readdirSync(folder), [])
    }))

  it.effect.each<readonly [option: string, similar: string]>([
    ["batchsize", "; did you mean batchSize?"],
    ["maxMapsize", "; did you mean maxMapSize?"],
    ["encryption", "; did you mean encryptionKey?"],
    ["maxSize", "; did you mean mapSize or maxMapSize?"],
    ["batchByte", "; did you mean batchBytes or batchSize?"],
    ["sharde", "; did you mean shared?"],
    ["cache", ""]
  ])("%s, which does not exist", ([option, similar]) =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "store")
      const error = yield* Effect.flip(Effect.asVoid(Store.make(unchecked(path, { [option]: 10 }))))
      assert.nestedInclude(error, { "reason._tag": "BadOption", option, detail: `there is no such option${similar}` })
      assert.deepStrictEqual(readdirSync(folder), [])
      const layer = Store.layerTemp(unchecked(path, { [option]: 10 }))
      assert.propertyVal(yield* Effect.flip(Effect.provide(Effect.asVoid(Store), layer)), "option", option)
    }))

  it.effect.each<readonly [option: keyof StoreOptions, value: unknown, detail: string]>([
    ["maxMapSize", "1 Mib", "\"1 Mib\" is not a size: write a number and a unit, as in \"64 MiB\""],
    ["mapSize", "10 potatoes", "\"10 potatoes\" is not a size: write a number and a unit"],
    ["mapSize", "1 KiB", "at least 256 KiB, and is \"1 KiB\""],
    ["encryptionKey", Redacted.make("x".repeat(33)), "a Redacted string of 32 bytes, and has 33 bytes"],
    ["encryptionKey", "x".repeat(32), "and is a string; wrap a string with Redacted.make"],
    ["fileMode", 0o400, "it must be the permissions of a file, a number from 0o600 to 0o777"],
    ["path", 1, "and is a number"],
    ["path", undefined, "and is undefined"],
    ["path", new URL("file:///data"), "and is a URL"],
    ["path", "file:///data", "fileURLToPath of node:url"],
    ["path", "~/data", "only a shell knows what ~ stands for"]
  ])("names the given value and what to do: %s %s", ([option, value, detail]) =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "store")
      const error = yield* Effect.flip(Effect.asVoid(Store.make(unchecked(path, { [option]: value }))))
      assert.nestedInclude(error, { "reason._tag": "BadOption", option })
      assert.include(error.message, detail)
      assert.notInclude(error.message, "xxx")
    }))

  it.effect("undefined means the default for every option except the path", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      const same = yield* Store.make({
        path,
        subdirectory: undefined,
        readOnly: undefined,
        batchSize: undefined,
        batchBytes: undefined,
        flushInterval: undefined,
        autoFlushOnRead: undefined,
        keyEncoding: undefined,
        keyErrors: undefined,
        keyNormalization: undefined,
        formatKey: undefined,
        mapSize: undefined,
        maxMapSize: undefined,
        resize: undefined,
        transactionRetry: undefined,
        durability: undefined,
        closeFailure: undefined,
        compression: undefined,
        checksums: undefined,
        verify: undefined,
        fileMode: undefined,
        encryptionKey: undefined
      })
      yield* store.put("a", 1)
      assert.strictEqual(yield* same.getOrFail("a"), 1)
    }))

  it.effect("the defaults are those of the documentation", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Store.make({ path })
      // The same store, or this would be AlreadyOpen
      yield* Store.make({
        path,
        subdirectory: true,
        readOnly: false,
        batchSize: 1000,
        batchBytes: "4 MiB",
        flushInterval: "1 second",
        autoFlushOnRead: false,
        keyEncoding: "utf8",
        keyErrors: "strict",
        mapSize: "64 MiB",
        durability: "sync",
        compression: false,
        checksums: false,
        fileMode: 0o600
      })
    }))

  it.effect("the smallest and largest sizes are accepted", () =>
    Effect.gen(function*() {
      for (
        const options of [{ mapSize: "256 KiB" }, { maxMapSize: "256 KiB" }, {
          mapSize: "1 MiB",
          maxMapSize: mebibyte
        }] as const
      ) {
        const path = yield* temporaryFolder
        yield* withStore({ path, ...options }, (store) => store.putMany({ a: 1 }))
        assert.isAtMost(statSync(join(path, "data.mdb")).size, mebibyte)
      }
    }))
})

describe("each option has its effect", () => {
  it.effect("subdirectory: a folder with the file in it, or the file itself", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const file = join(folder, "one", "store.mdb")
      yield* withStore({ path: join(folder, "two", "deep") }, (store) => store.put("a", 1))
      yield* withStore({ path: file, subdirectory: false }, (store) => store.put("a", 2))
      assert.isTrue(statSync(join(folder, "two", "deep", "data.mdb")).isFile())
      assert.isTrue(statSync(file).isFile())
      assert.strictEqual(yield* withStore({ path: file, subdirectory: false }, (store) => store.getOrFail("a")), 2)
    }))

  it.effect("readOnly: reads work, every write is ReadOnly, and nothing is written or created", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.putMany({ a: 1, b: 2 }))
      const before = readFileSync(join(path, "data.mdb"))
      const store = yield* Store.make({ path, readOnly: true, autoFlushOnRead: true })
      assert.strictEqual(yield* store.getOrFail("a"), 1)
      assert.isTrue(yield* store.has("b", { flush: true }))
      assert.strictEqual(yield* store.size, 2)
      assert.strictEqual((yield* store.stats).entries, 2)
      const writes = [
        store.put("a", 2),
        store.delete("a"),
        store.deleteOrFail("a"),
        store.deleteOrFail("missing"),
        store.update("a", () => Option.none()),
        store.putMany({ c: 1 }),
        store.putMany({}),
        store.deleteMany(["a"]),
        store.clear,
        store.flush
      ]
      for (const write of writes) {
        const error = yield* Effect.flip<unknown, unknown, never>(write)
        assert.propertyVal(error, "_tag", "ReadOnly")
        assert.propertyVal(error, "path", path)
      }
      yield* store.backup(join(path, "copy"))
      yield* store.close({ strict: true })
      assert.isTrue(readFileSync(join(path, "data.mdb")).equals(before))
      assert.strictEqual(yield* withStore({ path: join(path, "copy") }, (copy) => copy.size), 2)
    }))

  it.effect("batchSize: that many distinct keys start a commit", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 3 })
      yield* store.put("a", 1)
      yield* store.put("a", 2)
      yield* store.delete("b")
      yield* store.put("b", 3)
      assert.strictEqual((yield* store.stats).pending, 2)
      yield* store.put("c", 1)
      yield* until(() => faulty.batches().length === 1)
      assert.strictEqual(faulty.calls("commit"), 1)
      assert.deepStrictEqual(faulty.batches()[0]?.map(([, key]) => key), ["a", "b", "c"])
    }))

  it.effect("batchBytes: that many bytes start a commit", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchBytes: "10 KiB" })
      for (let index = 0; index < 9; index++) yield* store.put(`${index}`, "x".repeat(1100))
      assert.strictEqual((yield* store.stats).pending, 9)
      yield* store.put("last", "x".repeat(1100))
      yield* until(() => faulty.batches().length === 1)
      assert.strictEqual(faulty.calls("commit"), 1)
      assert.strictEqual(faulty.batches()[0]?.length, 10)
    }))

  it.effect("flushInterval: a commit starts when it has passed; an infinite one never does", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "10 minutes" })
      const never = yield* faultyStore({ flushInterval: "Infinity" })
      yield* store.put("a", 1)
      yield* never.store.put("a", 1)
      yield* TestClock.adjust("10 minutes")
      yield* until(() => faulty.calls("commit") === 1)
      yield* TestClock.adjust("1000 days")
      assert.strictEqual(never.faulty.calls("commit"), 0)
    }))

  it.effect("autoFlushOnRead: a read that the pending writes do not answer commits them; flush overrides it", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ autoFlushOnRead: true })
      const reads: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        store.get("missing"),
        store.has("missing"),
        store.getMany(["pending", "missing"]),
        store.size,
        Effect.flip(store.getOrFail("missing"))
      ]
      for (const [index, read] of reads.entries()) {
        yield* store.put("pending", index)
        yield* store.get("pending")
        yield* store.has("pending")
        yield* store.getMany(["pending"])
        yield* store.has("missing", { flush: false })
        assert.strictEqual(faulty.calls("commit"), index)
        yield* read
        assert.strictEqual(faulty.calls("commit"), index + 1)
      }
    }))

  it.effect("autoFlushOnRead: calls that only observe commit nothing, and report pending writes", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ autoFlushOnRead: true })
      const ages = yield* Effect.provideService(
        Collection.make("ages", { key: Schema.String, value: Schema.Int }),
        Store,
        store
      )
      const commits = faulty.calls("commit")
      yield* store.put("a", 1)
      yield* ages.put("Anna", 20)
      const { entries, pending } = yield* store.stats
      assert.deepStrictEqual([entries, pending], [1, 2])
      const watching = yield* start(Stream.runCollect(Stream.take(store.changes(), 1)))
      assert.deepStrictEqual(yield* ages.verify, [])
      assert.strictEqual((yield* store.stats).pending, 2)
      assert.strictEqual(faulty.calls("commit"), commits)
      yield* store.flush
      assert.lengthOf(yield* Fiber.join(watching), 1)
    }))

  it.effect("keyEncoding, keyErrors and keyNormalization: the bytes of a key", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* bytesOfKey({}, "é"), "c3a9")
      assert.strictEqual(yield* bytesOfKey({ keyEncoding: "latin1" }, "é"), "e9")
      assert.strictEqual(yield* bytesOfKey({ keyEncoding: "utf16le" }, "é"), "e900")
      assert.strictEqual(yield* bytesOfKey({ keyEncoding: "ascii", keyErrors: "replace" }, "aé"), "613f")
      assert.strictEqual(yield* bytesOfKey({ keyEncoding: "ascii", keyErrors: "ignore" }, "aé"), "61")
      assert.strictEqual(yield* bytesOfKey({ keyNormalization: "NFD" }, "é"), "65cc81")
      assert.strictEqual(yield* bytesOfKey({ keyNormalization: "NFC" }, "e\u0301"), "c3a9")
      const refused = yield* Effect.flip(bytesOfKey({ keyEncoding: "binary" }, "a"))
      assert.nestedPropertyVal(refused, "reason._tag", "StringNotAllowed")
    }))

  it.effect("formatKey: how keys are shown in errors", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, formatKey: (key) => `<${typeof key === "string" ? key : "bytes"}>` })
      assert.include((yield* Effect.flip(store.getOrFail("secret"))).message, "Key not found: <secret>")
      assert.include((yield* Effect.flip(store.put("k", () => 0))).message, "<k>")
      assert.include((yield* Effect.flip(store.put("k".repeat(5000), 1))).message, "<kkkk")
      assert.include((yield* Effect.flip(store.deleteOrFail(Uint8Array.of(1)))).message, "<bytes>")
    }))

  it.effect("mapSize and maxMapSize: the size of the map", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* mapSizes({}), [64 * mebibyte, undefined])
      assert.deepStrictEqual(yield* mapSizes({ mapSize: "2 MiB" }), [2 * mebibyte, undefined])
      assert.deepStrictEqual(yield* mapSizes({ maxMapSize: "3 MiB" }), [3 * mebibyte, 3 * mebibyte])
      assert.deepStrictEqual(yield* mapSizes({ mapSize: mebibyte, maxMapSize: "1 GiB" }), [mebibyte, 1024 * mebibyte])
    }))

  it.effect("resize: the schedule determines how often and when a batch is tried again", () =>
    Effect.gen(function*() {
      const full = new EngineFull({ mapSize: mebibyte, needed: mebibyte + 1 })
      const once = yield* faultyStore({ mapSize: "1 MiB", resize: Schedule.recurs(1) })
      yield* once.faulty.failAlways("commit", full)
      assert.propertyVal(yield* Effect.flip(once.store.putMany({ a: 1 })), "_tag", "MapFull")
      assert.strictEqual(once.faulty.calls("commit"), 2)

      const never = yield* faultyStore({ mapSize: "1 MiB", resize: Schedule.recurs(0) })
      yield* never.faulty.fail("commit", full)
      assert.propertyVal(yield* Effect.flip(never.store.putMany({ a: 1 })), "_tag", "MapFull")
      assert.strictEqual(never.faulty.calls("commit"), 1)

      const later = yield* faultyStore({ mapSize: "1 MiB", resize: Schedule.spaced("1 minute") })
      yield* later.faulty.fail("commit", full)
      const writing = yield* Effect.forkChild(later.store.putMany({ a: 1 }))
      yield* until(() => later.faulty.calls("commit") === 1)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(later.faulty.calls("commit"), 1)
      yield* TestClock.adjust("1 second")
      yield* until(() => later.faulty.calls("commit") === 2)
      yield* Fiber.join(writing)
    }))

  it.effect.each(["relaxed", "noSync"] as const)(
    "durability: %s stores the same as sync",
    (durability) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* withStore({ path, durability }, (store) => store.putMany({ a: 1 }))
        assert.strictEqual(yield* withStore({ path }, (store) => store.getOrFail("a")), 1)
      })
  )

  it.effect("compression: the file is much smaller, and the values come back", () =>
    Effect.gen(function*() {
      const value = "the same words again and again ".repeat(3000)
      const bytes = yield* Effect.forEach([false, true], (compression) =>
        Effect.gen(function*() {
          const path = yield* temporaryFolder
          yield* withStore({ path, compression }, (store) => store.putMany({ a: value, b: value, c: "short" }))
          const { found } = yield* withStore({ path, compression }, (store) => store.getMany(["a", "b", "c"]))
          assert.deepStrictEqual(Object.fromEntries(found), { a: value, b: value, c: "short" })
          return statSync(join(path, "data.mdb")).size
        }))
      assert.isBelow(bytes[1] ?? 0, (bytes[0] ?? 0) / 3)
    }))

  it.effect("encryptionKey: keys and values cannot be read in the file", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* canBeRead(undefined), [true, true])
      assert.deepStrictEqual(yield* canBeRead(Redacted.make("k".repeat(32))), [false, false])
    }))
})
