/** The design page tells the truth about folders, modules, imports and every byte. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { basename, join, relative, resolve } from "node:path"
import * as process from "node:process"
import { fileURLToPath } from "node:url"
import type { RangeRequest } from "../../src/Engine.ts"
import { catalogDatabase, metaDatabase } from "../../src/internal/databases.ts"
import * as KeyCodec from "../../src/internal/key/keyCodec.ts"
import * as OrderedKeyCodec from "../../src/internal/key/orderedKeyCodec.ts"
import { formatKey, formatVersion } from "../../src/internal/lmdb/lmdbBatch.ts"
import { pageSize } from "../../src/internal/lmdb/mapSize.ts"
import * as StoreHolders from "../../src/internal/lmdb/storeHolders.ts"
import * as RecordStructures from "../../src/internal/value/recordStructures.ts"
import * as ValueCodec from "../../src/internal/value/valueCodec.ts"
import * as Key from "../../src/Key.ts"
import type { KeySchema } from "../../src/KeySchema.ts"
import * as DesignPage from "../support/designPage.ts"
import { open, valueOf } from "../support/environment.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import { testLimit } from "../support/timeLimits.ts"

const repository = fileURLToPath(new URL("../..", import.meta.url))
const docs = join(repository, "docs")
const read = (file: string): string => readFileSync(join(repository, file), "utf8")
const page = read("docs/design.md")

const modulesIn = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(repository, folder)).filter((name) => name.endsWith(".ts")).map((name) => `${folder}${name}`)

/** A folder of the sources and all folders in it, each with a slash at its end. */
const foldersIn = (folder: string): ReadonlyArray<string> => [
  folder,
  ...readdirSync(join(repository, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => foldersIn(`${folder}${name}/`))
]

const internal = "src/internal/"
const publicModules = "Public modules"

/** Sections that list modules, by the folder that they describe. */
const sections = new Map(
  DesignPage.sectionsOf(page)
    .filter(({ heading }) => heading === publicModules || heading.startsWith(internal))
    .map(({ heading, links }) => [heading === publicModules ? "src/" : heading, links])
)

const targetOf = ({ target }: DesignPage.Link): string => relative(repository, resolve(docs, target))

describe("docs/design.md", () => {
  it("describes every folder of src/internal and no other", () => {
    assert.sameMembers([...sections.keys()], ["src/", ...foldersIn(internal)])
  })

  it("lists every module in the section of its folder", () => {
    for (const [folder, links] of sections) assert.sameMembers(links.map(targetOf), [...modulesIn(folder)], folder)
  })

  it("links to files that exist, and names what is in them", () => {
    for (const link of DesignPage.linksOf(page)) {
      assert.isTrue(existsSync(resolve(docs, link.target)), link.target)
      const [, module, name] = /^(\w+)\.(\w+)$/.exec(link.text) ?? []
      if (module === undefined || name === undefined) continue
      assert.strictEqual(basename(link.target), `${module}.ts`)
      assert.match(read(targetOf(link)), new RegExp(`\\b${name}\\b`), `${link.text} in ${link.target}`)
    }
  })

  it("names tests that exist", () => {
    const tests = Array.from(page.matchAll(/`(test\/[\w/]+(?:\.test)?\.ts)`/g), ([, file = ""]) => file)
    assert.isAbove(tests.length, 30)
    for (const file of tests) assert.isTrue(existsSync(join(repository, file)), file)
  })

  it("gives the order of imports: each folder imports only from those below it", () => {
    // The folder in which `file` is a part of lmdb.
    const order = [...sections.keys()].map((folder) => folder.split("/")[2]).filter((name) => name !== "")
    const found: Array<string> = []
    for (const folder of foldersIn(internal).slice(1)) {
      const own = folder.split("/")[2] ?? ""
      for (const file of modulesIn(folder)) {
        const targets = Array.from(
          read(file).matchAll(/from "(\..+?)"/g),
          ([, target = ""]) => relative(join(repository, internal), resolve(repository, folder, target)).split("/")
        )
        const upward = targets.flatMap(([other = "", inside]) =>
          inside !== undefined && other !== ".." && order.indexOf(other) < order.indexOf(own) ? [`${other}/`] : []
        )
        for (const other of new Set(upward)) found.push(`${file.slice(internal.length)} ${other}`)
      }
    }
    assert.deepStrictEqual(found, [])
  })

  it("draws what the sources draw", () => {
    const drawings = DesignPage.blocksOf(page).filter(({ kind }) => kind === "drawing")
    assert.strictEqual(drawings.length, 3)
    for (const { argument, content } of drawings) {
      const comment = read(argument).replaceAll(/^ \* ?/gm, "")
      const drawn = Array.from(comment.matchAll(/^```text\n(.*?)^```$/gms), ([, drawing = ""]) => drawing)
      assert.include(drawn.map(DesignPage.withoutIndentation), DesignPage.withoutIndentation(content), argument)
    }
  })

  it("is linked from the README, and is in the package", () => {
    assert.include(read("README.md"), "](docs/design.md)")
    assert.match(read("package.json"), /"files": \[[^\]]*"docs"/)
  })
})

// ---------------------------------------------------------------------------
// bytes
// ---------------------------------------------------------------------------

const blocks = DesignPage.blocksOf(page)
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const unhex = (bytes: string): string => Buffer.from(bytes, "hex").toString("latin1")
const hexOfKey = (key: string): string => Buffer.from(key, "latin1").toString("hex")

const encodeBy = (codec: ValueCodec.Codec) => (source: string): string =>
  hexOf(Result.getOrThrow(ValueCodec.encode(codec, DesignPage.evaluate(source))))

/** A codec that knows some structures from the beginning. */
const makeStructured = (given: unknown): ValueCodec.Codec => {
  const known = Array.isArray(given) ? given.filter(RecordStructures.isStructure) : []
  return ValueCodec.make({ structures: RecordStructures.make(known) })
}

const isKeySchema = (value: unknown): value is KeySchema => Schema.isSchema(value)

/** Encodes what the bytes decode to, which is to be the value of the source. */
const checkOrderedKeys = (argument: string, rows: ReadonlyArray<DesignPage.Row>): void => {
  const schema = DesignPage.evaluate(argument, { Schema })
  if (!isKeySchema(schema)) return assert.fail(`${argument} is no schema`)
  const codec = Result.getOrThrow(OrderedKeyCodec.make(schema))
  for (const { bytes, source } of rows) {
    const key = Key.fromBytes(Buffer.from(bytes, "hex"))
    const decoded = Result.getOrThrow(codec.decode(key))
    assert.deepStrictEqual(decoded, DesignPage.evaluate(source, { DateTime }), source)
    assert.strictEqual(Result.getOrThrow(codec.encode(decoded)), key, source)
  }
  assert.deepStrictEqual(rows.map(({ bytes }) => bytes).toSorted(), rows.map(({ bytes }) => bytes))
}

const checkRows = (encode: (source: string) => string, rows: ReadonlyArray<DesignPage.Row>): void => {
  for (const { bytes, source } of rows) assert.strictEqual(encode(source), bytes, source)
}

const encodeKey = (encoding: string) => (source: string): string => {
  assert.include(["", "utf16le"], encoding)
  const key = DesignPage.evaluate(source)
  if (typeof key !== "string" && !(key instanceof Uint8Array)) return assert.fail(`${source} is no key`)
  const keys = KeyCodec.make(encoding === "utf16le" ? { encoding } : {})
  return hexOfKey(Result.getOrThrow(keys.encode(key)))
}

const hashOf = (source: string): string =>
  createHash("sha256").update(String(DesignPage.evaluate(source))).digest("hex")

/** What checks the examples of a kind. */
const checks: Readonly<Record<string, (argument: string, rows: ReadonlyArray<DesignPage.Row>) => void>> = {
  "value": (_, rows) => checkRows(encodeBy(ValueCodec.make()), rows),
  "checked-value": (_, rows) => checkRows(encodeBy(ValueCodec.make({ checksums: true })), rows),
  "structured-value": (argument, rows) => checkRows(encodeBy(makeStructured(DesignPage.evaluate(argument))), rows),
  "store-key": (argument, rows) => checkRows(encodeKey(argument), rows),
  "ordered-key": checkOrderedKeys,
  "sha256": (_, rows) => checkRows(hashOf, rows)
}

/** The kinds that show what is in the file of the example store. */
const kindsOfFile = new Set(["compressed", "database", "in-file", "meta-page"])

const examples = blocks.filter(({ kind, language }) => language === "bytes" && !kindsOfFile.has(kind))

const everything: RangeRequest = {
  from: undefined,
  to: undefined,
  reverse: false,
  values: true,
  maxRecords: 1000,
  maxBytes: Infinity
}

/** Runs the program of the example in a folder of its own, which it gives. */
const writeExampleStore = Effect.gen(function*() {
  const path = yield* temporaryFolder
  const program = join(repository, "test", "examples", "layout.ts")
  const handle = yield* ChildProcess.make(process.execPath, [program, path], { stderr: "inherit" })
  assert.strictEqual(yield* handle.exitCode, 0)
  return path
})

describe("the bytes of docs/design.md", () => {
  it("have examples of every kind", () => {
    assert.sameMembers([...new Set(examples.map(({ kind }) => kind))], Object.keys(checks))
  })

  it.each(examples)("$kind $argument at line $line", (block) => {
    const rows = DesignPage.rowsOf(block)
    assert.isAbove(rows.length, 0)
    for (const { bytes, source } of rows) assert.isNotEmpty(bytes, source)
    checks[block.kind]?.(block.argument, rows)
  })

  it("have a line of the lock file as a process writes it", () => {
    const content = blocks.find(({ kind }) => kind === "store-lock")?.content ?? ""
    assert.isNotEmpty(content)
    assert.strictEqual(StoreHolders.encode(StoreHolders.decode(content)), content)
  })

  it("have a close record as a process writes it", () => {
    const content = blocks.find(({ kind }) => kind === "close-record")?.content ?? ""
    const [first, ...lines] = content.trimEnd().split("\n")
    assert.strictEqual(first, "effect-lmdb closed 1")
    assert.deepStrictEqual(
      lines.map((line) => line.split(" ")[0]),
      ["device", "inode", "bytes", "modified", "changed", "meta"]
    )
  })

  it("show the program that writes the example store", () => {
    const program = blocks.find(({ language }) => language === "ts")
    assert.include(read("test/examples/layout.ts"), program?.content ?? "no program")
  })

  it.effect("are those of the example store: all of its databases, and its meta pages", () =>
    Effect.gen(function*() {
      const path = yield* writeExampleStore
      const file = readFileSync(join(path, "data.mdb"))
      const { environment } = yield* open({ path, readOnly: true })

      const shown = new Map<string, unknown>()
      for (const block of blocks.filter(({ kind }) => kind === "database")) {
        const rows = DesignPage.rowsOf(block)
        shown.set(block.argument, rows.map(({ bytes, source }) => [DesignPage.bytesAtStart(source), bytes]))
      }
      // The engine keeps this one to itself.
      const stored = new Map<string, unknown>([[metaDatabase, [[hexOfKey(formatKey), hexOf(formatVersion)]]]])
      for (const database of environment.databases()) {
        if (database === catalogDatabase) continue
        const { records } = valueOf(environment.read(database, everything))
        stored.set(database, records.map(([key, value]) => [hexOfKey(key), hexOf(value)]))
      }
      assert.deepStrictEqual(shown, stored)

      const catalog = blocks.find(({ kind }) => kind === "catalog")
      const [[name, descriptor] = []] = valueOf(environment.read(catalogDatabase, everything)).records
      if (catalog === undefined || descriptor === undefined) return assert.fail("there is no descriptor")
      assert.strictEqual(name, catalog.argument)
      assert.deepStrictEqual(
        Result.getOrThrow(ValueCodec.decode(ValueCodec.make(), descriptor)),
        DesignPage.evaluate(catalog.content)
      )

      for (const node of blocks.filter(({ kind }) => kind === "in-file").flatMap(DesignPage.rowsOf)) {
        assert.isTrue(file.includes(Buffer.from(node.bytes, "hex")), node.source)
      }

      const meta = blocks.find(({ kind }) => kind === "meta-page")
      if (meta === undefined) return assert.fail("there is no meta page")
      for (const at of [0, pageSize]) {
        for (const { bytes, source } of DesignPage.rowsOf(meta)) {
          const start = at + Number(source)
          assert.strictEqual(hexOf(file.subarray(start, start + bytes.length / 2)), bytes, source)
        }
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), testLimit)

  it.effect("are those of a compressed value in a file", () =>
    Effect.gen(function*() {
      const rows = blocks.filter(({ kind }) => kind === "compressed").flatMap(DesignPage.rowsOf)
      assert.isAbove(rows.length, 0)
      for (const { bytes, source } of rows) {
        const path = yield* temporaryFolder
        yield* withStore({ path, compression: true }, (store) => store.put("key", DesignPage.evaluate(source)))
        assert.isTrue(
          readFileSync(join(path, "data.mdb")).includes(Buffer.from(`key${unhex(bytes)}`, "latin1")),
          source
        )
      }
    }).pipe(Effect.scoped))
})
