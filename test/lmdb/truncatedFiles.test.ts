/** What a store comes through: files that are short, damaged, or not its own, and processes that die. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn, spawnSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as process from "node:process"
import { type OpenFailed, Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const pageSize = 4096

const text = (length: number, name: string | number = ""): string => `${name} ${"x".repeat(length)}`

const fileOf = (path: string): string => join(path, "data.mdb")

const lengthOf = (path: string): number => statSync(fileOf(path)).size

const refused = (options: StoreOptions): Effect.Effect<OpenFailed> =>
  Effect.flip(Effect.scoped(Effect.flatMap(Store.make(options), () => Effect.die(`${options.path} was opened`))))

const programs = {
  killedReader: new URL("../programs/killedReader.ts", import.meta.url).pathname,
  openAs: new URL("../programs/openAs.ts", import.meta.url).pathname,
  openWithFewFiles: new URL("../programs/openWithFewFiles.ts", import.meta.url).pathname
}

describe("a file that is shorter than its header says", () => {
  it.effect("opens with all data if only free pages are missing, and otherwise fails with Truncated", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const work = yield* temporaryFolder
      const kept = Array.from({ length: 10 }, (_, index) => [`kept ${index}`, text(3000, index)] as const)
      const gone = Array.from({ length: 30 }, (_, index) => [`gone ${index}`, text(9000, index)] as const)
      yield* withStore({ path }, (store) => store.putMany([...kept, ...gone]))
      yield* withStore({ path }, (store) => store.deleteMany(gone.map(([key]) => key)))

      const open = withStore({ path: work }, (store) =>
        Effect.gen(function*() {
          const { found } = yield* store.getMany(kept.map(([key]) => key))
          for (const [key, value] of kept) assert.strictEqual(found.get(key), value)
          yield* store.putMany(gone)
          assert.strictEqual((yield* store.getMany(gone.map(([key]) => key))).found.size, gone.length)
        }))
      const outcomes: Array<string> = []
      for (let round = 0; round < 12; round++) {
        yield* withStore({ path }, (store) => store.putMany({ round }))
        for (let missing = 1; missing < 4; missing++) {
          copyFileSync(fileOf(path), fileOf(work))
          // A part of a page is none
          truncateSync(fileOf(work), lengthOf(path) - missing * pageSize + missing - 1)
          const outcome = yield* open.pipe(
            Effect.as("opened"),
            Effect.catchTag("OpenFailed", ({ reason }) => Effect.succeed(reason._tag))
          )
          outcomes.push(outcome)
        }
      }
      assert.deepStrictEqual(new Set(outcomes), new Set(["opened", "Truncated"]))
    }))
})

/** Fills a store to its limit, and gives the keys. */
const fill = Effect.fnUntraced(function*(store: StoreService, length: number) {
  const keys: Array<string> = []
  for (;;) {
    const key = `key ${String(keys.length).padStart(5, "0")}`
    const isFull = yield* store.putMany([[key, text(length, key)]]).pipe(
      Effect.as(false),
      Effect.catchTag("MapFull", () => Effect.succeed(true))
    )
    if (isFull) return keys
    keys.push(key)
  }
})

describe("a file that is as long as its limit", () => {
  it.effect.each([[200, 180], [2500, 12], [9000, 4], [40_000, 1]] as const)(
    "accepts deletions of values of %i bytes one by one, and then small values",
    ([length, free]) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const options = { path, durability: "noSync" } as const
        const keys = yield* withStore({ ...options, maxMapSize: "600 KiB" }, (store) =>
          Effect.gen(function*() {
            const filled = yield* fill(store, length)
            yield* store.deleteMany(filled.splice(0, free))
            // What was freed can be used two transactions later
            for (let round = 0; round < 2; round++) yield* store.putMany({ round })
            return filled
          }))
        // What was filled under a larger limit has few pages left, and none that are held back
        const maxMapSize = lengthOf(path)
        yield* withStore({ ...options, maxMapSize }, (store) =>
          Effect.gen(function*() {
            for (const key of keys.slice(0, 20)) {
              yield* store.delete(key)
              yield* store.flush
              assert.isAtMost(lengthOf(path), maxMapSize)
            }
            yield* store.deleteMany(keys)
            yield* store.putMany({ small: "value" })
            assert.strictEqual(yield* store.size, 2)
            assert.isAtMost(lengthOf(path), maxMapSize)
          }))
      })
  )
})

/** The numbers of the pages at the roots of two trees. */
const rootsOf = (file: string): { readonly freeList: number; readonly names: number } => {
  const bytes = readFileSync(file)
  const at = bytes.readBigUInt64LE(152) > bytes.readBigUInt64LE(pageSize + 152) ? 0 : pageSize
  return { freeList: Number(bytes.readBigUInt64LE(at + 88)), names: Number(bytes.readBigUInt64LE(at + 136)) }
}

describe("damage after the meta pages", () => {
  const damages: ReadonlyArray<readonly [what: string, damage: (page: Uint8Array, view: DataView) => void]> = [
    ["zeros", (page) => page.fill(0)],
    ["ones", (page) => page.fill(0xff)],
    ["another number", (_, view) => view.setBigUint64(0, 5n, true)],
    ["a transaction that is to come", (_, view) => view.setBigUint64(8, 1n << 40n, true)],
    ["flags of another kind", (_, view) => view.setUint16(18, 4, true)],
    ["no room for what is in it", (_, view) => view.setUint16(20, 4000, true)],
    ["a record outside", (_, view) => view.setUint16(24, 4070, true)],
    ["a key that is too long", (_, view) => view.setUint16(24 + view.getUint16(24, true) + 6, 4000, true)],
    ["data that are too long", (_, view) => view.setUint32(24 + view.getUint16(24, true), 5000, true)]
  ]

  const makeDatabase = Effect.gen(function*() {
    const path = yield* temporaryFolder
    yield* withStore({ path }, (store) =>
      Effect.gen(function*() {
        for (let round = 0; round < 3; round++) yield* store.putMany([["key", text(20_000, round)]])
      }))
    return path
  })

  const assertRefused = Effect.fnUntraced(function*(path: string, page: number, change: typeof damages[number][1]) {
    const bytes = readFileSync(fileOf(path))
    const whole = Uint8Array.from(bytes)
    const target = bytes.subarray(page * pageSize, (page + 1) * pageSize)
    change(target, new DataView(target.buffer, target.byteOffset, target.byteLength))
    writeFileSync(fileOf(path), bytes)
    const error = yield* refused({ path })
    assert.strictEqual(error.reason._tag, "NotADatabase")
    assert.match(error.detail, /^its page \d+ is damaged$/)
    writeFileSync(fileOf(path), whole)
    assert.strictEqual(yield* withStore({ path }, (store) => store.size), 1)
  })

  it.effect.each(damages)(
    "%s in the list of free pages and in the names of databases is NotADatabase",
    ([, damage]) =>
      Effect.gen(function*() {
        const path = yield* makeDatabase
        const { freeList, names } = rootsOf(fileOf(path))
        yield* assertRefused(path, freeList, damage)
        yield* assertRefused(path, names, damage)
      })
  )

  it.effect("a used page in the list of free pages is NotADatabase", () =>
    Effect.gen(function*() {
      const path = yield* makeDatabase
      for (const page of [0n, 1n, 100_000n, -3n]) {
        yield* assertRefused(path, rootsOf(fileOf(path)).freeList, (_, view) => {
          const record = 24 + view.getUint16(24, true) + 16
          view.setBigUint64(record, 1n, true)
          view.setBigInt64(record + 8, page === 0n ? 1n : page, true)
          if (page < 0n) view.setBigUint64(record, 2n, true)
          if (page < 0n) view.setBigInt64(record + 16, 100_000n, true)
        })
      }
    }))

  it.effect("exchanged meta pages are NotADatabase", () =>
    Effect.gen(function*() {
      const path = yield* makeDatabase
      const bytes = readFileSync(fileOf(path))
      const swapped = Uint8Array.from(bytes)
      swapped.set(bytes.subarray(pageSize, 2 * pageSize), 0)
      swapped.set(bytes.subarray(0, pageSize), pageSize)
      writeFileSync(fileOf(path), swapped)
      assert.strictEqual((yield* refused({ path })).reason._tag, "NotADatabase")
      // The same with the numbers of the pages put right
      swapped[0] = 0
      swapped[pageSize] = 1
      writeFileSync(fileOf(path), swapped)
      assert.strictEqual((yield* refused({ path })).reason._tag, "NotADatabase")
    }))
})

describe("the lock file", () => {
  it.effect("that is a folder, or a link to a missing file, is OpenFailed", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.put("a", 1))
      const lock = join(path, "lock.mdb")
      rmSync(lock)
      mkdirSync(lock)
      for (const readOnly of [false, true]) {
        assert.strictEqual((yield* refused({ path, readOnly })).reason._tag, "Engine")
      }
      rmSync(lock, { recursive: true })
      symlinkSync(join(path, "missing", "lock"), lock)
      for (const readOnly of [false, true]) {
        assert.strictEqual((yield* refused({ path, readOnly })).reason._tag, "Missing")
      }
      rmSync(lock)
      assert.strictEqual(yield* withStore({ path }, (store) => store.size), 1)
      const file = join(path, "single.mdb")
      mkdirSync(`${file}-lock`)
      assert.strictEqual((yield* refused({ path: file, subdirectory: false })).reason._tag, "Engine")
    }))

  it.effect.skipIf(process.getuid?.() !== 0)(
    "of another user is OpenFailed with Permission",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const path = join(folder, "store")
        yield* withStore({ path }, (store) => store.put("a", 1))
        for (const open of [folder, path]) chmodSync(open, 0o777)
        chmodSync(fileOf(path), 0o666)
        const run = spawnSync(process.execPath, [programs.openAs, "65534", path], { encoding: "utf8" })
        assert.strictEqual(run.stdout, "OpenFailed Permission\n", run.stderr)
      })
  )

  it.effect("is complete before it is used, and does not change", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const lock = join(path, "lock.mdb")
      yield* withStore({ path }, (store) => store.put("a", 1))
      const { ino, size } = statSync(lock)
      // No holes in it that a full disk could not fill
      assert.isAtLeast(statSync(lock).blocks * 512, size)
      yield* withStore({ path }, (store) => store.put("a", 2))
      assert.strictEqual(statSync(lock).ino, ino)
      assert.strictEqual(statSync(lock).size, size)
      assert.deepStrictEqual(readdirSync(path).toSorted(), ["data.mdb", "lock.mdb", "store.lock"])
    }))

  it("for which the disk has no room is OpenFailed", () => {
    const folder = mkdtempSync(join(tmpdir(), "effect-lmdb-"))
    const run = spawnSync(
      "sh",
      ["-c", `ulimit -f 50 && trap '' XFSZ && exec "$0" "$1" "" "$2"`, process.execPath, programs.openAs, folder],
      { encoding: "utf8" }
    )
    rmSync(folder, { recursive: true })
    assert.strictEqual(run.stdout, "OpenFailed Engine\n", run.stderr)
  })
})

it.effect.skipIf(process.platform === "win32")(
  "new files have the permissions that are asked for, and folders can be entered by whoever may read them",
  () =>
    Effect.gen(function*() {
      const mask = process.umask(0o007)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(mask)))
      const folder = yield* temporaryFolder
      const path = join(folder, "shared", "store")
      const copy = join(folder, "shared", "copy")
      yield* withStore({ path, fileMode: 0o664 }, (store) => Effect.andThen(store.put("a", 1), store.backup(copy)))
      const modes = [join(folder, "shared"), path, join(path, "data.mdb"), join(path, "lock.mdb"), copy].map((each) =>
        (statSync(each).mode & 0o777).toString(8)
      )
      assert.deepStrictEqual(modes, ["770", "770", "660", "660", "770"])
      assert.strictEqual(statSync(join(copy, "data.mdb")).mode & 0o660, 0o660)
    })
)

it.effect.skipIf(process.platform === "win32")(
  "new files are for their owner only, whatever the mask",
  () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const paths = [
        { path: join(folder, "store"), names: [".", "data.mdb", "lock.mdb"] },
        { path: join(folder, "single.mdb"), subdirectory: false, names: ["", "-lock"] }
      ]
      for (const { names, ...options } of paths) {
        yield* withStore(options, (store) => store.put("a", 1))
        for (const name of names) {
          const file = options.subdirectory === false ? options.path + name : join(options.path, name)
          assert.strictEqual(statSync(file).mode & 0o777, name === "." ? 0o700 : 0o600, file)
        }
      }
      // What is there keeps its mode
      const shared = join(folder, "store", "data.mdb")
      chmodSync(shared, 0o640)
      yield* withStore({ path: join(folder, "store") }, (store) => store.put("a", 2))
      assert.strictEqual(statSync(shared).mode & 0o777, 0o640)
    })
)

it.effect.skipIf(process.platform === "win32")(
  "a process that may open no more files gets OpenFailed",
  () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const there = join(folder, "there")
      yield* withStore({ path: there }, (store) => store.put("a", 1))
      const run = spawnSync(
        "sh",
        [
          "-c",
          `ulimit -n 64 && exec "$0" "$@"`,
          process.execPath,
          programs.openWithFewFiles,
          there,
          join(folder, "new")
        ],
        { encoding: "utf8" }
      )
      assert.strictEqual(run.status, 0, run.stderr)
      const lines = run.stdout.trim().split("\n")
      assert.strictEqual(lines.length, 20)
      assert.strictEqual(lines[0], "OpenFailed Engine")
      assert.strictEqual(lines[9], "opened")
      assert.strictEqual(lines[19], "opened")
    })
)

it.effect("a process that is killed while it reads does not prevent the reuse of pages", () =>
  Effect.gen(function*() {
    const path = yield* temporaryFolder
    const store = yield* Store.make({ path, durability: "noSync" })
    const rewrite = Effect.suspend(() =>
      store.putMany(Array.from({ length: 50 }, (_, index) => [`key ${index}`, text(5000, index)] as const))
    )
    yield* Effect.repeat(rewrite, { times: 9 })
    const before = lengthOf(path)
    for (let round = 0; round < 3; round++) {
      yield* Effect.callback<void>((resume) => {
        const reader = spawn(process.execPath, [programs.killedReader, path])
        reader.stdout.once("data", () => reader.kill("SIGKILL"))
        reader.on("close", () => resume(Effect.void))
      })
      yield* Effect.repeat(rewrite, { times: 30 })
    }
    // 90 times 250 KB were written
    assert.isBelow(lengthOf(path), before + 1_000_000)
  }))

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

describe("values that are not an option or a range", () => {
  const strange: ReadonlyArray<readonly [what: string, input: unknown]> = [
    ["null", null],
    ["a symbol", Symbol("strange")],
    ["an object without a prototype", Object.create(null)],
    ["bytes that are none", Object.create(Uint8Array.prototype)],
    ["an object that throws", {
      get byteLength() {
        throw new Error("thrown")
      },
      toString: null
    }],
    ["a revoked proxy", revoked()]
  ]

  const options = [
    "path",
    "subdirectory",
    "batchSize",
    "batchBytes",
    "flushInterval",
    "keyEncoding",
    "keyErrors",
    "keyNormalization",
    "mapSize",
    "maxMapSize",
    "resize",
    "transactionRetry",
    "durability",
    "encryptionKey"
  ] as const

  it.effect.each(strange.slice(1))("%s is BadOption in every option", ([, input]) =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (const option of options) {
        const made = Reflect.apply(Store.make, undefined, [{ path, [option]: input }])
        const error = yield* Effect.flip(Effect.scoped(made))
        assert.strictEqual(error.reason._tag, "BadOption")
        assert.strictEqual(error.option, option)
      }
    }))

  it.effect.each(strange)("%s is WrongType as a prefix and as an end", ([, input]) =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.put("a", 1)
      for (const end of ["prefix", "gt", "gte", "lt", "lte"]) {
        const counted: Effect.Effect<number, { readonly _tag: string }> = Reflect.apply(store.count, store, [
          { [end]: input }
        ])
        assert.nestedPropertyVal(yield* Effect.flip(counted), "reason._tag", "WrongType")
      }
      assert.strictEqual(yield* store.count({ prefix: new ArrayBuffer(0) }), 1)
      assert.strictEqual(yield* store.count({ prefix: "" }), 1)
    }))
})
