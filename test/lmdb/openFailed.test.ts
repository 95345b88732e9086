/** What cannot be opened: every reason, and never a dead process. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { open as openLmdb, type RootDatabase } from "lmdb"
import { spawn } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { type OpenFailed, Store, type StoreOptions } from "../../src/index.ts"
import { type Damage, records } from "../support/damage.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const refused = (options: StoreOptions): Effect.Effect<OpenFailed> =>
  Effect.scoped(Store.make(options)).pipe(
    Effect.flatMap(() => Effect.die(`${options.path} was opened`)),
    Effect.flip,
    Effect.tap((error) =>
      Effect.sync(() => {
        assert.strictEqual(error._tag, "OpenFailed")
        assert.isAbove(error.detail.length, 10)
        assert.include(error.message, `Cannot open the store at ${error.path}`)
      })
    )
  )

/** What stock LMDB writes first: its header has 16 bytes, then comes the magic number. */
const stockLmdb = (): Uint8Array => {
  const bytes = new Uint8Array(8192)
  for (const page of [0, 4096]) {
    const view = new DataView(bytes.buffer, page, 4096)
    view.setBigUint64(0, BigInt(page / 4096), true)
    view.setUint16(10, 0x08, true)
    view.setUint32(16, 0xbeefc0de, true)
    view.setUint32(20, 1, true)
    view.setBigUint64(32, 10_485_760n, true)
    view.setUint32(40, 4096, true)
    view.setBigUint64(88, 0xffff_ffff_ffff_ffffn, true)
    view.setBigUint64(136, 0xffff_ffff_ffff_ffffn, true)
    view.setBigUint64(144, 1n, true)
  }
  return bytes
}

const randomBytes = (length: number, seed: number): Uint8Array => {
  let state = seed
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return state >>> 24
  })
}

describe("a file that is not a database of this package", () => {
  const foreign: ReadonlyArray<readonly [what: string, bytes: Uint8Array, detail: string]> = [
    ["text", new TextEncoder().encode("hello, world\n".repeat(2000)), "not a database"],
    ["a short text", new TextEncoder().encode("hi"), "not a database"],
    ["one byte", Uint8Array.of(0), "not a database"],
    ["zeros", new Uint8Array(65_536), "not a database"],
    ["random bytes", randomBytes(100_000, 1), "not a database"],
    ["a database of stock LMDB", stockLmdb(), "stock LMDB"],
    ["a page of stock LMDB", stockLmdb().slice(0, 4096), "stock LMDB"]
  ]

  it.effect.each(foreign)("%s is NotADatabase, and is not changed", ([, bytes, detail]) =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const file = join(folder, "data.mdb")
      writeFileSync(file, bytes)
      for (
        const options of [
          { path: folder },
          { path: folder, readOnly: true },
          { path: file, subdirectory: false },
          { path: folder, mapSize: "1 MiB", maxMapSize: "1 MiB" }
        ] as const
      ) {
        const error = yield* refused(options)
        assert.strictEqual(error.reason._tag, "NotADatabase")
        assert.include(error.detail, detail)
      }
      assert.isTrue(readFileSync(file).equals(bytes))
      assert.deepStrictEqual(readdirSync(folder), ["data.mdb"])
    }))

  it.effect("an empty file becomes a database, but not if it is read-only", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "data.mdb"), "")
      assert.strictEqual((yield* refused({ path: folder, readOnly: true })).reason._tag, "Missing")
      yield* withStore({ path: folder }, (store) => store.put("a", 1))
      assert.strictEqual(yield* withStore({ path: folder }, (store) => store.size), 1)
    }))
})

/** Makes a database with lmdb-js, as another program does. */
const makeWithLmdb = (path: string, use: (root: RootDatabase<unknown, string>) => Promise<unknown>) =>
  Effect.promise(() => {
    const root = openLmdb<unknown, string>({ path })
    return use(root).then(() => root.close())
  })

describe("a database of another program of lmdb-js", () => {
  it.effect.each<readonly [what: string, use: (root: RootDatabase<unknown, string>) => Promise<unknown>]>([
    ["records in the unnamed database", (root) => root.put("a", { x: 1 })],
    ["a record that is called as our database", (root) => root.put("meta", 1)],
    ["a named database", (root) => root.openDB({ name: "users" }).put("a", 1)],
    ["many records", (root) =>
      root.batch(() => {
        for (let number = 0; number < 5000; number++) void root.put(`key ${number}`, "x".repeat(50))
      })],
    ["a database that is called as ours, with other records", (root) => root.openDB({ name: "meta" }).put("a", 1)],
    [
      "an empty database that is called as ours, and another",
      (root) => {
        root.openDB({ name: "meta" })
        return root.openDB({ name: "users" }).put("a", 1)
      }
    ]
  ])("with %s is UnsupportedFormat, and is not changed", ([, use]) =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* makeWithLmdb(path, use)
      const before = readFileSync(join(path, "data.mdb"))
      for (const options of [{ path }, { path, readOnly: true }, { path, verify: false }, { path, shared: true }]) {
        const error = yield* refused(options)
        assert.strictEqual(error.reason._tag, "UnsupportedFormat")
        assert.include(error.detail, "another program")
      }
      assert.isTrue(readFileSync(join(path, "data.mdb")).equals(before))
    }))

  it.effect("that is empty counts as new, like a store whose first process was killed", () =>
    Effect.gen(function*() {
      for (
        const use of [
          () => Promise.resolve(),
          (root: RootDatabase<unknown, string>) => Promise.resolve(root.openDB({ name: "meta", encoding: "binary" }))
        ]
      ) {
        const path = yield* temporaryFolder
        yield* makeWithLmdb(path, use)
        yield* withStore({ path }, (store) => store.put("a", 1))
        assert.strictEqual(yield* withStore({ path }, (store) => store.size), 1)
      }
    }))

  it.effect("that has records is not written to when it is opened", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.put("a", 1))
      const before = readFileSync(join(path, "data.mdb"))
      yield* withStore({ path }, (store) => store.size)
      assert.isTrue(readFileSync(join(path, "data.mdb")).equals(before))
    }))
})

describe("a path that cannot be opened", () => {
  it.effect.each<readonly [what: string, make: (folder: string) => StoreOptions, reason: OpenFailed["reason"]["_tag"]]>(
    [
      ["a missing folder, read-only", (folder) => ({ path: join(folder, "missing"), readOnly: true }), "Missing"],
      ["a missing file in a folder, read-only", (folder) => ({ path: folder, readOnly: true }), "Missing"],
      [
        "a missing file, read-only",
        (folder) => ({ path: join(folder, "missing.mdb"), subdirectory: false, readOnly: true }),
        "Missing"
      ],
      [
        "a file in place of the folder",
        (folder) => {
          writeFileSync(join(folder, "file"), "text")
          return { path: join(folder, "file") }
        },
        "Missing"
      ],
      [
        "a file in place of the folder, read-only",
        (folder) => {
          writeFileSync(join(folder, "file"), "text")
          return { path: join(folder, "file"), readOnly: true }
        },
        "Missing"
      ],
      [
        "a file in place of a parent",
        (folder) => {
          writeFileSync(join(folder, "file"), "text")
          return { path: join(folder, "file", "a", "b") }
        },
        "Missing"
      ],
      [
        "a folder in place of the file",
        (folder) => {
          mkdirSync(join(folder, "data.mdb"))
          return { path: folder }
        },
        "NotADatabase"
      ],
      ["a folder that is said to be a file", (folder) => ({ path: folder, subdirectory: false }), "NotADatabase"]
    ]
  )("%s", ([, make, reason]) =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const options = make(folder)
      const before = readdirSync(folder, { recursive: true })
      assert.strictEqual((yield* refused(options)).reason._tag, reason)
      assert.deepStrictEqual(readdirSync(folder, { recursive: true }), before)
    }))

  it.effect("is a symbolic link to a missing file, or to itself", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      symlinkSync(join(folder, "loop"), join(folder, "loop"))
      symlinkSync(join(folder, "nowhere"), join(folder, "dangling"))
      const loop = yield* refused({ path: join(folder, "loop") })
      assert.strictEqual(loop.reason._tag, "Missing")
      assert.include(loop.detail, "circle")
      assert.strictEqual((yield* refused({ path: join(folder, "dangling"), readOnly: true })).reason._tag, "Missing")
    }))

  it.effect("has a name that is too long", () =>
    Effect.gen(function*() {
      const error = yield* refused({ path: join(yield* temporaryFolder, "n".repeat(300)) })
      assert.strictEqual(error.reason._tag, "BadOption")
      assert.strictEqual(error.option, "path")
    }))

  it.effect.skipIf(!existsSync("/proc/self/stat"))(
    "a path under /proc, where the bare engine spins forever",
    () =>
      Effect.gen(function*() {
        yield* refused({ path: "/proc/effect-lmdb/store" })
        yield* refused({ path: "/proc/effect-lmdb.mdb", subdirectory: false })
      })
  )

  it.effect.each(["", "a\0b"])("the path %j is a BadOption", (path) =>
    Effect.gen(function*() {
      const error = yield* refused({ path })
      assert.strictEqual(error.reason._tag, "BadOption")
      assert.strictEqual(error.option, "path")
    }))
})

const programs = {
  openAs: new URL("../programs/openAs.ts", import.meta.url),
  openDamaged: new URL("../programs/openDamaged.ts", import.meta.url),
  openWithKeys: new URL("../programs/openWithKeys.ts", import.meta.url)
}

/** Runs a program of `test/programs` to its end. */
const runProgram = (program: URL, args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number | string; readonly output: string; readonly errors: string }>((resume) => {
    const child = spawn(process.execPath, [program.pathname, ...args])
    let output = ""
    let errors = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
    child.on("close", (code, signal) => resume(Effect.succeed({ code: code ?? String(signal), output, errors })))
  })

const isRoot = process.getuid?.() === 0
const anotherUser = 65_534

// A process of another user where this one may do everything
const openAs = (paths: ReadonlyArray<string>) =>
  Effect.map(
    runProgram(programs.openAs, [isRoot ? String(anotherUser) : "", ...paths]),
    ({ code, errors, output }) => {
      assert.strictEqual(code, 0, errors)
      return output.trim().split("\n")
    }
  )

describe("permissions", () => {
  it.effect.skipIf(process.getuid === undefined)(
    "a folder or file that may not be read or written is Permission",
    () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        chmodSync(folder, 0o755)
        const paths = ["closed", "unwritable", "unwritableFile"].map((name) => join(folder, name))
        const [closed = "", unwritable = "", unwritableFile = ""] = paths
        for (const path of paths) yield* withStore({ path }, (store) => store.put("a", 1))
        chmodSync(closed, 0o000)
        chmodSync(unwritable, 0o555)
        chmodSync(join(unwritable, "data.mdb"), 0o666)
        chmodSync(unwritableFile, 0o777)
        chmodSync(join(unwritableFile, "data.mdb"), 0o444)
        const outcomes = yield* openAs([...paths, join(unwritable, "new"), join(closed, "new")])
        for (const path of paths) chmodSync(path, 0o755)
        assert.deepStrictEqual(outcomes, Array.from({ length: 5 }, () => "OpenFailed Permission"))
      })
  )
})

describe("a damaged database", () => {
  const pageSize = 4096

  /** A database with records, free pages and two different meta pages. */
  const makeDatabase = Effect.fnUntraced(function*(lastCommits: number) {
    const path = yield* temporaryFolder
    const store = yield* Store.make({ path })
    yield* store.putMany(Array.from({ length: 300 }, (_, index) => [`gone ${index}`, "z".repeat(200)] as const))
    yield* store.clear
    yield* store.putMany(records)
    // An odd and an even number: the newest meta page is once the first and once the second
    for (let count = 0; count < lastCommits; count++) yield* store.putMany(records.slice(0, 10))
    yield* store.close({ strict: true })
    return { file: join(path, "data.mdb"), work: yield* temporaryFolder }
  })

  const outcomesOf = (lastCommits: number, damagesOf: (fileBytes: number) => ReadonlyArray<Damage>) =>
    Effect.gen(function*() {
      const { file, work } = yield* makeDatabase(lastCommits)
      const damages = damagesOf(statSync(file).size)
      const { code, errors, output } = yield* runProgram(programs.openDamaged, [file, work, JSON.stringify(damages)])
      assert.strictEqual(code, 0, `${output.split("\n").at(-1)}\n${errors}`)
      const lines = output.trim().split("\n")
      assert.strictEqual(lines.length, damages.length)
      return lines.map((line) => line.slice(line.indexOf("}: ") + 3))
    })

  it.effect.each([1, 2])(
    "that is truncated, after %i last commits, is OpenFailed or has all of its data",
    (lastCommits) =>
      Effect.gen(function*() {
        const outcomes = yield* outcomesOf(lastCommits, (fileBytes) =>
          Array.from({ length: fileBytes / pageSize }, (_, page) =>
            page * pageSize)
            .flatMap((start) => [start, start + 15, start + 2047])
            .filter((cutAt) => cutAt > 0)
            .map((cutAt) => ({ cutAt })))
        for (const outcome of outcomes) {
          assert.match(
            outcome,
            /^(OpenFailed Truncated|OpenFailed NotADatabase|right), (OpenFailed Truncated|OpenFailed NotADatabase|right)$/
          )
        }
        assert.include(outcomes, "OpenFailed Truncated, OpenFailed Truncated")
        assert.strictEqual(outcomes[0], "OpenFailed NotADatabase, OpenFailed NotADatabase")
      })
  )

  it.effect("with one wrong byte in a meta page opens, or fails with an error", () =>
    Effect.gen(function*() {
      const outcomes = yield* outcomesOf(1, () =>
        [0, pageSize].flatMap((page) =>
          Array.from({ length: 168 }, (_, byte) => ({ byte: page + byte, xor: 0xff }))
        ))
      for (const outcome of outcomes) {
        assert.match(outcome, /^(right|\d+ missing|OpenFailed \w+|EngineFailure|MapFull)$/)
      }
      assert.include(outcomes, "OpenFailed NotADatabase")
      assert.include(outcomes, "OpenFailed Truncated")
      assert.include(outcomes, "right")
    }))
})

describe("encryption", () => {
  const encryptionKey = Redacted.make("0123456789abcdef".repeat(2))

  it.effect("a missing key and a superfluous key are Encrypted, and the right key opens", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "encrypted")
      const plain = join(yield* temporaryFolder, "plain")
      yield* withStore({ path, encryptionKey }, (store) => store.put("key", "value"))
      yield* withStore({ path: plain }, (store) => store.put("key", "value"))
      assert.strictEqual((yield* refused({ path })).reason._tag, "Encrypted")
      assert.strictEqual((yield* refused({ path, readOnly: true })).reason._tag, "Encrypted")
      assert.strictEqual((yield* refused({ path: plain, encryptionKey })).reason._tag, "Encrypted")
      assert.strictEqual(yield* withStore({ path, encryptionKey }, (store) => store.getOrFail("key")), "value")
    }))

  it.effect("a wrong key is Encrypted for many keys and many times, and never ends the process", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path, encryptionKey }, (store) => store.putMany(records))
      const { code, errors, output } = yield* runProgram(programs.openWithKeys, [path, Redacted.value(encryptionKey)])
      assert.strictEqual(code, 0, `${output.split("\n").at(-1)}\n${errors}`)
      const lines = output.trim().split("\n")
      assert.deepStrictEqual(new Set(lines.slice(0, -1)), new Set(["OpenFailed Encrypted"]))
      assert.strictEqual(lines.at(-1), "opened")
    }))
})
