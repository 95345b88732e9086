/** Record structures that the values of a store share, on disk: who defines them, and who finds them. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { spawn, spawnSync } from "node:child_process"
import { join } from "node:path"
import * as process from "node:process"
import { Collection, Engine, Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import * as CollectionRecord from "../../src/internal/collection/collectionRecord.ts"
import { recordsDatabase, structuresDatabase } from "../../src/internal/databases.ts"
import { copyOf } from "../../src/internal/engineBytes.ts"
import * as RecordStructures from "../../src/internal/value/recordStructures.ts"
import * as ValueCodec from "../../src/internal/value/valueCodec.ts"
import { ByteString } from "../../src/Key.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { valueOf } from "../support/environment.ts"
import { swept } from "../support/expiring.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { shapedRecord } from "../support/fixtures/shapes.ts"
import { faultyStore, start, temporaryFolder, until, withStore } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

/** The number of records. The first half is written before their structure is defined, the second half after it. */
const many = 1000

/** The first byte of a value with records of structures, and of one without. */
const structured = 5
const plain = 1

const record = (index: number): unknown => ({ id: index, name: `name ${index}`, tags: ["a", "b"] })

const keyOf = (index: number): string => `key ${index}`

const indices = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const putFrom = Effect.fnUntraced(function*(store: StoreService, first: number, end: number) {
  for (let index = first; index < end; index++) yield* store.put(keyOf(index), record(index))
  yield* store.flush
})

const putAll = (store: StoreService) => Effect.andThen(putFrom(store, 0, many / 2), putFrom(store, many / 2, many))

const assertAll = Effect.fnUntraced(function*(store: StoreService, count: number) {
  const expected = new Map(indices(count).map((index) => [keyOf(index), record(index)] as const))
  for (const [key, value] of expected) assert.deepStrictEqual(yield* store.getOrFail(key), value)
  assert.deepStrictEqual(new Map(yield* Stream.runCollect(store.entries())), expected)
  assert.deepStrictEqual((yield* store.getMany(expected.keys())).found, expected)
})

/** How many values of a closed store have which first byte. */
const formatsIn = Effect.fnUntraced(function*(path: string) {
  const formats = (yield* recordsOf(path, recordsDatabase)).map(([, value]) => value[0])
  return {
    plain: formats.filter((format) => format === plain).length,
    structured: formats.filter((format) => format === structured).length
  }
})

const definitionsIn = (path: string) => Effect.map(recordsOf(path, structuresDatabase), (records) => records.length)

const definitionOf = (names: ReadonlyArray<string>): Uint8Array =>
  Result.getOrThrow(ValueCodec.encode(ValueCodec.make({ checksums: true }), names))

/** What a process does that defines a structure under the first number. */
const defineFirst = (...names: ReadonlyArray<string>): Engine.Plan => () =>
  Exit.succeed({
    clear: [],
    writes: [[
      structuresDatabase,
      ByteString("\0\0"),
      definitionOf(names)
    ]]
  })

/** Opens a store in which another process commits a plan just before the first commit. */
const openBehind = (plan: Engine.Plan, options: Partial<StoreOptions> = {}) => {
  let isFirst = true
  return openWith({ flushInterval: "Infinity", ...options }, (environment) => ({
    commit: (own) => {
      if (!isFirst) return environment.commit(own)
      isFirst = false
      return Effect.andThen(environment.commit(plan), environment.commit(own))
    }
  }))
}

const program = new URL("../programs/shapes.ts", import.meta.url).pathname

/**
 * A store whose engine gives the bytes of all reads in the same memory, as LMDB does: each read, and the end of its
 * decoder, makes the bytes that were read before unusable. `definitionReads` counts the reads of definitions.
 */
const openWithSharedMemory = Effect.fnUntraced(function*() {
  const memory = Buffer.alloc(4096)
  let definitionReads = 0
  const lend = <A>(bytes: Uint8Array, decode: (bytes: Uint8Array) => A): A => {
    memory.fill(0xc1)
    const { length } = bytes
    memory.set(bytes.subarray(0, length))
    const lent = Buffer.from(memory.buffer, memory.byteOffset, memory.length)
    const decoded = decode(Object.defineProperty(lent, "length", { value: length }))
    memory.fill(0xc1)
    return decoded
  }
  const shared = (reader: Engine.Reader): Pick<Engine.Reader, "get" | "getMany"> => ({
    get: (database, key, decode) => {
      if (database === structuresDatabase) definitionReads++
      memory.fill(0xc1)
      return reader.get(database, key, (bytes) => lend(copyOf(bytes), decode))
    },
    getMany: (database, keys, decode) => {
      if (database === structuresDatabase) definitionReads += keys.length
      memory.fill(0xc1)
      return reader.getMany(database, keys, (bytes, at) => lend(copyOf(bytes), (lent) => decode(lent, at)))
    }
  })
  const opened = yield* openWith({}, (environment) => ({
    ...shared(environment),
    snapshot: () => Exit.map(environment.snapshot(), (snapshot) => ({ ...snapshot, ...shared(snapshot) }))
  }))
  return { ...opened, definitionReads: () => definitionReads }
})

/** Has another process put records of many shapes. */
const putShapes = (path: string, first: number, count: number) =>
  Effect.callback<string>((resume) => {
    const child = spawn(process.execPath, [program, path, String(first), String(count)])
    let errors = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text
    })
    child.on("close", () => resume(Effect.succeed(errors)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("records with fields in common", () => {
  it.effect("are written with a structure after it is defined, and read in this process and the next", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => Effect.andThen(putAll(store), assertAll(store, many)))
      assert.strictEqual(yield* definitionsIn(path), 1)
      const formats = yield* formatsIn(path)
      assert.isAtLeast(formats.structured, many / 2)
      assert.isAbove(formats.plain, 0)
      yield* withStore({ path, readOnly: true }, (store) => assertAll(store, many))
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          yield* assertAll(store, many)
          yield* putAll(store)
          yield* assertAll(store, many)
        }))
      assert.deepStrictEqual(yield* formatsIn(path), { plain: 0, structured: many })
      assert.strictEqual(yield* definitionsIn(path), 1)
    }))

  it.effect("keep their structures when all records are cleared, and in a copy", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const [path, copy] = [join(folder, "store"), join(folder, "copy")]
      yield* withStore({ path, checksums: true }, (store) =>
        Effect.gen(function*() {
          yield* putAll(store)
          yield* store.clear
          yield* putAll(store)
          yield* assertAll(store, many)
          yield* store.backup(copy, { compact: true })
        }))
      assert.strictEqual(yield* definitionsIn(path), 1)
      yield* withStore({ path: copy, readOnly: true }, (store) => assertAll(store, many))
    }))

  it.effect("are read in transactions, snapshots and updates like other records", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* putAll(store)
      yield* store.withTransaction(Effect.gen(function*() {
        yield* assertAll(store, many)
        yield* store.put(keyOf(many), record(many))
        yield* assertAll(store, many + 1)
      }))
      yield* store.update(keyOf(0), (value) => value)
      yield* assertAll(store, many + 1)
    }))

  it.effect("are read and updated by a process that opened the store before another process defined their structures", () =>
    Effect.gen(function*() {
      for (const options of [{}, { checksums: true }, { compression: true }]) {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ ...options, path, shared: true })
        assert.strictEqual(spawnSync(process.execPath, [program, path, "0", "3000"], { encoding: "utf8" }).stderr, "")
        const number = 2999
        // What another process commits is seen in a later turn of the event loop.
        yield* Effect.repeat(Effect.tap(store.has(`record ${number}`), Effect.yieldNow), {
          until: (isThere) => isThere
        })
        yield* store.update(`record ${number}`, (value) => value)
        for (let back = 0; back < 50; back++) {
          assert.deepStrictEqual(yield* store.getOrFail(`record ${number - back}`), shapedRecord(number - back))
        }
        yield* store.flush
        assert.deepStrictEqual(yield* store.getOrFail(`record ${number}`), shapedRecord(number))
      }
    }))

  it.effect("of a collection are also written with structures, also after index entries", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const Item = Schema.Struct({ id: Schema.Int, name: Schema.String })
      const open = Collection.make("items", {
        key: Schema.Int,
        value: Item,
        indexes: { byName: { key: Schema.String, of: (item) => item.name } }
      })
      const indexed = 4
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const items = yield* open
          for (const id of indices(many)) {
            yield* items.put(id, { id, name: `name ${id}` })
            if (id === many / 2 - 1) yield* store.flush
          }
          yield* store.flush
        }).pipe(Effect.provideService(Store, store), Effect.scoped))
      const bytesOf = (value: Buffer): number => value[0] === indexed ? value[5 + value.readUInt32LE(1)] ?? -1 : -1
      const formats = (yield* recordsOf(path, "collection/items")).map(([, value]) => bytesOf(value))
      assert.isAtLeast(formats.filter((format) => format === structured).length, many / 2)
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const items = yield* open
          assert.deepStrictEqual(yield* items.verify, [])
          for (const id of indices(many)) assert.deepStrictEqual(yield* items.getOrFail(id), { id, name: `name ${id}` })
          const found = yield* items.indexes.byName.getOrFail("name 7")
          assert.deepStrictEqual(found, { id: 7, name: "name 7" })
        }).pipe(Effect.provideService(Store, store), Effect.scoped))
    }))

  it.effect(
    "are read by a process that opened the store before their structures were defined, and written by many processes",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, shared: true, durability: "noSync" })
        const reader = yield* Store.make({ path, shared: true, durability: "noSync" })
        const each = 4000
        const writers = yield* Effect.all(
          [0, 1, 2].map((number) => putShapes(path, number * each, each)),
          { concurrency: "unbounded" }
        ).pipe(start)
        const own = indices(each).map((index) => index + 3 * each)
        for (const number of own) {
          yield* store.put(`record ${number}`, shapedRecord(number))
          if (number % 100 === 0) {
            const found = yield* store.get(`record ${number % (3 * each)}`)
            if (found._tag === "Some") assert.deepStrictEqual(found.value, shapedRecord(number % (3 * each)))
          }
        }
        yield* store.flush
        assert.deepStrictEqual(yield* Fiber.join(writers), ["", "", ""])
        // Commits that other processes made during a commit of this process are seen after it.
        yield* Effect.repeat(Effect.tap(reader.size, Effect.yieldNow), { until: (size) => size === 4 * each })
        const all = yield* Stream.runCollect(reader.entries())
        assert.strictEqual(all.length, 4 * each)
        for (const [key, value] of all) {
          assert.deepStrictEqual(value, shapedRecord(Number(key.slice("record ".length))))
        }
      })
  )
})

/** Records of five structures, of which some come later. */
const mixedValue = (index: number): unknown => {
  if (index < 200) return { a: index, b: [{ c: index, d: "x" }] }
  return index % 2 === 0 ? { e: index, f: { g: index } } : { h: [index], i: null, j: "text" }
}

describe("putMany", () => {
  const entries = indices(many).map((index) => [keyOf(index), record(index)] as const)

  it.effect("defines the structures of its records in its own transaction", () =>
    Effect.gen(function*() {
      const { faulty, path, store } = yield* faultyStore({ flushInterval: "Infinity" })
      yield* store.putMany(entries)
      assert.strictEqual(faulty.batches().length, 1)
      assert.strictEqual(faulty.batches()[0]?.filter(([database]) => database === structuresDatabase).length, 1)
      yield* assertAll(store, many)
      yield* store.put(keyOf(0), record(0))
      yield* store.flush
      assert.strictEqual(faulty.batches()[1]?.[0]?.[2]?.[0], structured)
      yield* store.close()
      const formats = yield* formatsIn(path)
      assert.isAbove(formats.structured, 0.9 * many)
      assert.strictEqual(formats.plain + formats.structured, many)
      yield* withStore({ path }, (again) => assertAll(again, many))
    }))

  it.effect("defines several structures after the existing ones, also if another one appears during the batch", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const mixed = new Map(indices(many).map((index) => [`mixed ${index}`, mixedValue(index)] as const))
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany(entries)
          yield* store.putMany(mixed)
          assert.deepStrictEqual((yield* store.getMany(mixed.keys())).found, mixed)
          yield* store.put("behind", mixedValue(999))
          yield* store.put("before", record(0))
          yield* store.flush
        }))
      assert.strictEqual(yield* definitionsIn(path), 6)
      const formats = new Map(
        yield* recordsOf(path, recordsDatabase).pipe(
          Effect.map((records) => records.map(([key, value]) => [String(key), value[0]] as const))
        )
      )
      assert.strictEqual(formats.get("behind"), structured)
      assert.strictEqual(formats.get("before"), structured)
      assert.isAbove([...formats.values()].filter((format) => format === structured).length, 1.8 * many)
      yield* withStore({ path, readOnly: true }, (store) =>
        Effect.gen(function*() {
          assert.deepStrictEqual((yield* store.getMany(mixed.keys())).found, mixed)
          assert.deepStrictEqual((yield* store.getMany(entries.map(([key]) => key))).found, new Map(entries))
        }))
    }))

  it.effect("is read correctly if another process defines other structures first", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openBehind(defineFirst("other", "names"), { checksums: true })
      yield* store.putMany(entries)
      yield* assertAll(store, many)
      yield* putAll(store)
      yield* assertAll(store, many)
      yield* store.close()
      assert.strictEqual(yield* definitionsIn(path), 2)
      yield* withStore({ path }, (again) => assertAll(again, many))
    }))

  it.effect("of a namespace is read right when another process defines others first", () =>
    Effect.gen(function*() {
      const { store } = yield* openBehind(defineFirst("other", "names"))
      const records = yield* store.namespace("records")
      yield* records.putMany(entries, { ttl: "1 hour" })
      assert.deepStrictEqual(yield* Stream.runCollect(records.entries({ prefix: keyOf(0) })), [entries[0]])
      assert.deepStrictEqual((yield* records.getMany(entries.map(([key]) => key))).found, new Map(entries))
      assert.strictEqual(yield* store.size, 0)
      yield* TestClock.adjust("1 hour")
      yield* swept(store, many)
      assert.strictEqual(yield* records.size, 0)
    }))

  it.effect("that fails leaves no writes and no definitions, and the next putMany defines them", () =>
    Effect.gen(function*() {
      const { faulty, path, store } = yield* faultyStore({ flushInterval: "Infinity" })
      yield* faulty.fail("commit", faults.diskFull)
      assert.strictEqual((yield* Effect.flip(store.putMany(entries)))._tag, "EngineFailure")
      const bad = [...entries, ["bad", () => 1] as const]
      assert.strictEqual((yield* Effect.flip(store.putMany(bad)))._tag, "ValueEncoding")
      assert.strictEqual(yield* store.size, 0)
      yield* store.putMany(entries)
      yield* assertAll(store, many)
      yield* store.close()
      assert.strictEqual(yield* definitionsIn(path), 1)
    }))

  it.effect("in a transaction does not define structures that a rollback would have to undo", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      const undone = store.withTransaction(Effect.andThen(
        Effect.andThen(store.putMany(entries), assertAll(store, many)),
        Effect.fail("undone")
      ))
      assert.strictEqual(yield* Effect.flip(undone), "undone")
      yield* store.withTransaction(Effect.andThen(store.putMany(entries), assertAll(store, many)))
      yield* assertAll(store, many)
    }))
})

describe("the definition of a structure", () => {
  it.effect("is on disk before the first value that refers to it, and in a transaction of its own", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const held = yield* faulty.holdCommit
      for (let index = 0; index < 900; index++) yield* store.put(keyOf(index), record(index))
      yield* held.isWanted
      assert.deepStrictEqual(faulty.batches(), [])
      yield* held.release
      yield* until(() => faulty.batches().length === 1)
      yield* store.flush
      const [definition, records] = faulty.batches()
      assert.deepStrictEqual(definition?.map(([database]) => database), [structuresDatabase])
      assert.isTrue(records?.every(([database, , value]) => database === recordsDatabase && value?.[0] === plain))
      yield* store.put("next", record(0))
      yield* store.flush
      assert.strictEqual(faulty.batches()[2]?.[0]?.[2]?.[0], structured)
    }))

  it.effect("is not made again if another process has made it", () =>
    Effect.gen(function*() {
      for (const [names, definitions] of [[["id", "name", "tags"], 1], [["other", "names"], 2]] as const) {
        const { path, store } = yield* openBehind(defineFirst(...names))
        yield* putAll(store)
        yield* putAll(store)
        yield* assertAll(store, many)
        yield* store.close()
        assert.strictEqual(yield* definitionsIn(path), definitions)
        assert.deepStrictEqual(yield* formatsIn(path), { plain: 0, structured: many })
      }
    }))

  it.effect("does not fail any write when it fails, and no fiber receives its error", () =>
    Effect.gen(function*() {
      const { faulty, path, store } = yield* faultyStore({ flushInterval: "Infinity" })
      yield* faulty.fail("commit", faults.diskFull)
      for (let index = 0; index < 900; index++) yield* store.put(keyOf(index), record(index))
      yield* until(() => faulty.batches().length === 1)
      yield* store.flush
      assert.deepStrictEqual(faulty.batches().map((batch) => batch[0]?.[0]), [structuresDatabase, recordsDatabase])
      yield* assertAll(store, 900)
      yield* store.close()
      assert.strictEqual(yield* definitionsIn(path), 0)
      assert.deepStrictEqual(yield* formatsIn(path), { plain: 900, structured: 0 })
    }))

  it.effect("that is damaged gives a typed error only for the values that refer to it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => Effect.andThen(putAll(store), putAll(store)))
      const [definition] = yield* recordsOf(path, structuresDatabase)
      const [key, value] = definition ?? assert.fail("there is none")
      const damaged = Uint8Array.from(value)
      damaged[damaged.length - 1] = 0x62
      yield* tamper(path, [[structuresDatabase, key, damaged], [
        recordsDatabase,
        ByteString("other"),
        Uint8Array.of(plain, 7)
      ]])
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const failure = yield* Effect.flip(store.get(keyOf(0)))
          assert.strictEqual(failure._tag, "ValueDecoding")
          assert.match(failure.message, /structure/)
          assert.strictEqual(yield* store.getOrFail("other"), 7)
          // What is written now has a definition of its own.
          yield* putAll(store)
          yield* putAll(store)
          yield* store.delete("other")
          yield* assertAll(store, many)
        }))
      assert.strictEqual(yield* definitionsIn(path), 2)
    }))

  it.effect("that cannot be read fails with the error of the engine, and no value is left out", () =>
    Effect.gen(function*() {
      let isFailing = false
      let engine: Engine.Environment | undefined
      const { store } = yield* openWith({}, (environment) => {
        engine = environment
        return {
          get: (database, key, decode) =>
            isFailing && database === structuresDatabase
              ? Exit.fail(faults.readersFull)
              : environment.get(database, key, decode)
        }
      })
      const items = yield* Effect.provideService(
        Collection.make("items", { key: Schema.Int, value: Schema.Struct({ a: Schema.Int, b: Schema.Int }) }),
        Store,
        store
      )
      yield* items.put(1, { a: 0, b: 0 })
      yield* store.flush
      const below = engine ?? assert.fail("it is not open")
      const all = { from: undefined, to: undefined, reverse: false, values: false, maxRecords: 1, maxBytes: 1 }
      const [item] = valueOf(below.read("collection/items", all)).records
      // What another process writes
      const foreign = Uint8Array.of(structured, 0x40, 1, 2)
      const definition = definitionOf(["a", "b"])
      yield* below.commit(() =>
        Exit.succeed({
          clear: [],
          writes: [
            [structuresDatabase, ByteString("\0\0"), definition],
            [recordsDatabase, ByteString("key"), foreign],
            ["collection/items", item?.[0] ?? ByteString(""), foreign]
          ]
        })
      )
      isFailing = true
      const failures = yield* Effect.all([
        Effect.flip(store.get("key")),
        Effect.flip(store.getMany(["key"])),
        Effect.flip(Stream.runCollect(store.entries())),
        Effect.flip(items.get(1)),
        Effect.flip(Stream.runCollect(items.values({ undecodable: "skip" }))),
        Effect.flip(Stream.runCollect(items.values({ undecodable: "result" }))),
        Effect.flip(items.verify)
      ])
      for (const failure of failures) assert.strictEqual(failure, faults.readersFull)
      isFailing = false
      assert.deepStrictEqual(yield* store.getOrFail("key"), { a: 1, b: 2 })
      assert.deepStrictEqual(yield* items.getOrFail(1), { a: 1, b: 2 })
    }))

  it.effect("is loaded once by the first read of a value that refers to it, and the value is read correctly", () =>
    Effect.gen(function*() {
      const Item = Schema.Struct({ a: Schema.Int, b: Schema.Array(Schema.String) })
      const expected = { a: 1, b: ["x", "y"] }
      const reads: ReadonlyArray<
        (
          store: StoreService,
          items: Collection.Collection<typeof Schema.Int, typeof Item, { byA: typeof Schema.Int }>
        ) => Effect.Effect<unknown, unknown>
      > = [
        (store) => store.getOrFail("key"),
        (store) => Effect.map(store.getMany(["key"]), ({ found }) => found.get("key")),
        (store) => Effect.map(store.update("key", (value) => value), Option.getOrUndefined),
        (store) => Effect.map(Stream.runCollect(store.values({ prefix: "key" })), ([value]) => value),
        (store) => store.withTransaction(store.getOrFail("key")),
        (store) => store.withTransaction(Effect.map(Stream.runCollect(store.values({ prefix: "key" })), ([v]) => v)),
        (_, items) => items.getOrFail(1),
        (_, items) => Effect.map(items.getMany([1]), ({ found }) => found.get(1)),
        (_, items) => Effect.map(items.update(1, (value) => value), Option.getOrUndefined),
        (_, items) => items.indexes.byA.getOrFail(1),
        (_, items) => Effect.map(Stream.runCollect(items.indexes.byA.values()), ([value]) => value),
        (store, items) => store.withTransaction(items.indexes.byA.getOrFail(1))
      ]
      for (const [number, read] of reads.entries()) {
        const { definitionReads, environment, store } = yield* openWithSharedMemory()
        const items = yield* Effect.provideService(
          Collection.make("items", {
            key: Schema.Int,
            value: Item,
            indexes: { byA: { key: Schema.Int, of: ({ a }) => a } }
          }),
          Store,
          store
        )
        yield* items.put(1, expected)
        yield* store.put("key", expected)
        yield* store.flush
        const all = { from: undefined, to: undefined, reverse: false, values: true, maxRecords: 1, maxBytes: 1000 }
        const [item] = valueOf(environment.read("collection/items", all)).records
        const [key, stored] = item ?? assert.fail("there is none")
        const foreign = Uint8Array.of(structured, 0x41, 1, 0x92, 0xa1, 0x78, 0xa1, 0x79)
        // What another process commits.
        yield* environment.commit(() =>
          Exit.succeed({
            clear: [],
            writes: [
              [structuresDatabase, ByteString("\0\0"), definitionOf(["other"])],
              [structuresDatabase, ByteString("\0\u0001"), definitionOf(["a", "b"])],
              [recordsDatabase, ByteString("key"), foreign],
              ["collection/items", key, CollectionRecord.join(CollectionRecord.entriesOf(stored), foreign)]
            ]
          })
        )
        const before = definitionReads()
        assert.deepStrictEqual(yield* read(store, items), expected, `read ${number}`)
        // Both definitions, and that there is no third.
        assert.strictEqual(definitionReads() - before, 3, `read ${number}`)
        assert.deepStrictEqual(yield* read(store, items), expected, `read ${number}`)
        assert.strictEqual(definitionReads() - before, 3, `read ${number}`)
      }
    }))

  it.effect("is requested only by accepted writes, not by values that are only encoded", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const open = Collection.make("items", { key: Schema.Int, value: Schema.Struct({ id: Schema.Int }) })
      yield* withStore({ path }, (store) => Effect.provideService(open, Store, store))
      let commits = 0
      const { store } = yield* openWith({ path, readOnly: true }, (environment) => ({
        commit: (plan) => {
          commits++
          return environment.commit(plan)
        }
      }))
      const items = yield* Effect.provideService(open, Store, store)
      for (const id of indices(100)) assert.strictEqual((yield* Effect.flip(items.put(id, { id })))._tag, "ReadOnly")
      yield* store.close()
      assert.strictEqual(commits, 0)
    }))

  it.effect("is committed while a transaction runs, and later values of the transaction refer to it", () =>
    Effect.gen(function*() {
      const { faulty, path, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const half = many / 2
      const isDefined = yield* Deferred.make<void>()
      const transaction = yield* start(store.withTransaction(Effect.gen(function*() {
        yield* Effect.forEach(indices(half), (index) => store.put(keyOf(index), record(index)))
        yield* Deferred.await(isDefined)
        yield* Effect.forEach(indices(half), (index) => store.put(keyOf(index + half), record(index + half)))
      })))
      yield* until(() => faulty.batches().length === 1)
      // Committed after the definition.
      yield* store.put(keyOf(0), "outside")
      yield* store.flush
      yield* Deferred.succeed(isDefined, undefined)
      yield* Fiber.join(transaction)
      yield* assertAll(store, many)
      yield* store.close()
      assert.strictEqual(yield* definitionsIn(path), 1)
      assert.isAtLeast((yield* formatsIn(path)).structured, many / 2)
    }))

  it.effect("is committed with the first batch of a collection, and the next batch refers to it", () =>
    Effect.gen(function*() {
      const { faulty, path, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const items = yield* Effect.provideService(
        Collection.make("items", { key: Schema.Int, value: Schema.Struct({ id: Schema.Int }) }),
        Store,
        store
      )
      const commits = faulty.batches().length
      const batch = indices(100).map((id) => [id, { id }] as const)
      yield* items.putMany(batch)
      yield* until(() => faulty.batches().length === commits + 2)
      yield* items.putMany(batch)
      yield* store.close()
      assert.strictEqual(yield* definitionsIn(path), 1)
      const formats = (yield* recordsOf(path, "collection/items")).map(([, value]) => value[0])
      assert.deepStrictEqual(new Set(formats), new Set([structured]))
    }))

  it.effect("is not made if the store already has the maximum number", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const last = RecordStructures.mostStructures - 1
      yield* withStore({ path }, () => Effect.void)
      yield* tamper(
        path,
        indices(last).map((number) => [
          structuresDatabase,
          ByteString(String.fromCharCode(number >> 8, number & 0xff)),
          definitionOf([`field ${number}`])
        ])
      )
      // Both structures become candidates in the same value.
      const lists = indices(16).map((index) => [{ p: index }, { q: index }])
      const given = new Map<string, unknown>([["a", lists], ["b", { p: 1 }], ["c", { q: 1 }], ["d", { p: 1 }]])
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany(given)
          assert.deepStrictEqual((yield* store.getMany(given.keys())).found, given)
        }))
      assert.strictEqual(yield* definitionsIn(path), last + 1)
      assert.strictEqual((yield* formatsIn(path)).structured, 2)
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          assert.deepStrictEqual((yield* store.getMany(given.keys())).found, given)
        }))
    }))
})
