/**
 * What nobody else may see: files are for their owner only, and neither the encryption
 * key nor a key or a value comes out in an error, a log, a span or what is shown of an
 * object. And bytes that nobody has looked at do no harm when they are decoded.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { Buffer } from "node:buffer"
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { inspect } from "node:util"
import { Collection, Store, type StoreOptions } from "../../src/index.ts"
import { ByteString } from "../../src/Key.ts"
import * as FaultyEngine from "../support/engines/faultyEngine.ts"
import { tamper } from "../support/fixtures/collections.ts"
import { faultyStore, temporaryFolder, turns, withStore } from "../support/harness.ts"
import * as Random from "../torture/random.ts"

const secret = "SECRET"
const encryptionKey = Redacted.make(`${secret} of 32 bytes, not one more`.padEnd(32, "."))

/** All that anybody can be shown of something. */
const shown = (something: unknown): string =>
  [
    inspect(something, { depth: Infinity, showHidden: true, maxStringLength: Infinity, maxArrayLength: Infinity }),
    JSON.stringify(something, (_, value: unknown) => typeof value === "bigint" ? `${value}` : value),
    String(something)
  ].join("\n")

const assertNoSecret = (text: string, what: string): void => assert.notInclude(text, secret, what)

const modesIn = (folder: string): Record<string, string> =>
  Object.fromEntries(
    ["", ...readdirSync(folder, { recursive: true, encoding: "utf8" })].toSorted().map((
      name
    ) => [name, (statSync(join(folder, name)).mode & 0o777).toString(8)])
  )

describe.skipIf(process.platform === "win32")("the files of a new store", () => {
  /** Lets files be made for everybody. */
  const withoutMask = Effect.acquireRelease(
    Effect.sync(() => process.umask(0)),
    (mask) => Effect.sync(() => process.umask(mask))
  )

  it.effect("can be read only by their owner, and so can their new folders and backups", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      yield* withoutMask
      chmodSync(folder, 0o755)
      mkdirSync(join(folder, "mine"), { mode: 0o755 })
      const paths: ReadonlyArray<StoreOptions> = [
        { path: join(folder, "a", "b") },
        { path: join(folder, "file.mdb"), subdirectory: false, encryptionKey },
        { path: join(folder, "mine") }
      ]
      for (const [index, options] of paths.entries()) {
        yield* withStore(
          options,
          (store) => Effect.andThen(store.putMany({ a: 1 }), store.backup(join(folder, `copy ${index}`)))
        )
      }
      assert.deepStrictEqual(modesIn(folder), {
        "": "755",
        "a": "700",
        "a/b": "700",
        "a/b/data.mdb": "600",
        "a/b/lock.mdb": "600",
        "a/b/store.lock": "600",
        "copy 0": "700",
        "copy 0/data.mdb": "600",
        "copy 1": "600",
        "copy 2": "700",
        "copy 2/data.mdb": "600",
        "file.mdb": "600",
        "file.mdb-lock": "600",
        "file.mdb-store.lock": "600",
        "mine": "755",
        "mine/data.mdb": "600",
        "mine/lock.mdb": "600",
        "mine/store.lock": "600"
      })
    }))
})

describe("the encryption key", () => {
  it.effect("is not shown by options, stores, collections and errors", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const options = { path, encryptionKey, mapSize: "1 MiB" } as const
      const store = yield* Store.make(options)
      const collection = yield* Effect.provideService(
        Collection.make("c", { key: Schema.Int, value: Schema.Int }),
        Store,
        store
      )
      yield* store.putMany({ a: 1 })
      const errors = [
        yield* Effect.flip(Effect.asVoid(Store.make({ ...options, mapSize: "2 MiB" }))),
        yield* Effect.flip(Effect.asVoid(Store.make({ ...options, batchSize: 0 }))),
        yield* Effect.flip(Effect.asVoid(Store.make({ ...options, encryptionKey: Redacted.make(`${secret} short`) }))),
        yield* Effect.flip(store.backup(path)),
        yield* Effect.flip(store.backup(join(path, "copy"), { compact: true }))
      ]
      yield* store.close({ strict: true })
      const wrong = Redacted.make(`another ${secret}`.padEnd(32, "."))
      errors.push(yield* Effect.flip(Effect.asVoid(Store.make({ path, encryptionKey: wrong }))))
      for (const something of [options, store, collection, ...errors, Cause.fail(errors)]) {
        assertNoSecret(shown(something), "what is shown")
      }
      for (const error of errors) assertNoSecret(`${error.message}\n${error.stack}`, error._tag)
    }))

  it.effect("keeps plain text out of all files, and is not in a file", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "store")
      yield* withStore({ path, encryptionKey }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany({ [`${secret} key`]: secret.repeat(10), [`${secret} large`]: secret.repeat(10_000) })
          yield* store.put(`${secret} gone`, secret)
          yield* store.flush
          yield* store.delete(`${secret} gone`)
          yield* store.backup(join(path, "copy"))
        }))
      const files = readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".mdb"))
      assert.deepStrictEqual(files.toSorted(), [join("copy", "data.mdb"), "data.mdb", "lock.mdb"])
      for (const file of files) assert.isFalse(readFileSync(join(path, file)).includes(secret), file)
    }))
})

/** Runs an effect; gives all that it told loggers, of all levels, and tracers. */
const watched = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const log: Array<string> = []
    const spans: Array<Tracer.NativeSpan> = []
    const logger = Logger.make((entry) =>
      void log.push(`${entry.logLevel} ${shown(entry.message)}\n${Cause.pretty(entry.cause)}`)
    )
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    return effect.pipe(
      Effect.provide(Logger.layer([logger])),
      Effect.provideService(References.MinimumLogLevel, "All"),
      Effect.provideService(Tracer.Tracer, tracer),
      Effect.as({ log, spans })
    )
  })

/** All that a span tells, of how it ended too. */
const told = ({ attributes, events, name, status }: Tracer.NativeSpan): string => {
  const exit = status._tag === "Ended" ? status.exit : undefined
  const cause = exit?._tag === "Failure" ? `${Cause.pretty(exit.cause)}\n${shown(exit.cause)}` : shown(exit)
  return `${name} ${shown([...attributes])} ${shown(events)} ${cause}`
}

const Note = Schema.Struct({ text: Schema.String })

const notes = {
  key: Schema.String,
  value: Note,
  indexes: { byText: { key: Schema.String, of: ({ text }: typeof Note.Type) => text, unique: true } }
}

/** A key that can be written, and never read. */
const Unreadable = Schema.String.pipe(
  Schema.decodeTo(
    Schema.String,
    SchemaTransformation.transform<string, string>({
      decode: () => {
        throw new Error(secret)
      },
      encode: (text) => text
    })
  )
)

/** Everything that tells a log or a tracer of anything, well and badly. */
const work = Effect.gen(function*() {
  const folder = yield* temporaryFolder
  const { faulty, store } = yield* faultyStore({ path: join(folder, "store"), mapSize: "256 KiB", batchSize: 3 })
  const on = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Store, store)
  const failing = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.exit(store.withTransaction(effect))

  yield* store.putMany({ [`${secret} stored`]: secret.repeat(100_000) })
  const collection = yield* on(Collection.make("notes", notes))
  const unreadable = yield* on(Collection.make("unreadable", { key: Unreadable, value: Schema.String }))
  yield* Effect.provide(Collection.invalidateOnChange(unreadable), Reactivity.layer)
  yield* unreadable.put(`${secret} key`, secret)
  yield* collection.put(`${secret} 1`, { text: `${secret} text` })
  yield* store.flush

  yield* failing(store.getOrFail(`${secret} missing`))
  yield* failing(store.put(`${secret} bad`, () => secret))
  yield* failing(collection.put(`${secret} 2`, { text: `${secret} text` }))
  yield* failing(Effect.fail({ _tag: "Mine", secret }))
  yield* failing(Effect.fail(secret))
  yield* failing(Effect.die(new Error(secret)))
  yield* failing(Effect.andThen(Effect.addFinalizer(() => Effect.die(secret)), Effect.fail(secret)).pipe(Effect.scoped))
  yield* failing(store.withTransaction(store.deleteOrFail(`${secret} missing`)))
  yield* Effect.exit(store.update(`${secret} stored`, () => Option.some(() => secret)))
  yield* Effect.exit(collection.getOrFail(`${secret} 3`))
  const watching = yield* Effect.forkChild(Stream.runDrain(collection.changes()), { startImmediately: true })

  const migrations = [() => Effect.fail(secret), () => Effect.die(secret), () => Effect.succeed(secret)]
  for (const migration of migrations) {
    yield* Effect.exit(on(Collection.make("notes", { ...notes, version: 2, migrations: { 1: migration } })))
  }
  yield* on(Collection.make("notes", { ...notes, version: 2, migrations: { 1: Effect.succeed } }))

  yield* faulty.failAlways("commit", FaultyEngine.faults.diskFull)
  for (let number = 0; number < 3; number++) yield* Effect.exit(store.put(`${secret} ${number}`, { [secret]: secret }))
  yield* turns(20)
  yield* Effect.exit(store.flush)
  yield* Effect.exit(failing(store.put(`${secret} late`, secret)))
  yield* Effect.exit(store.backup(join(folder, "copy")))
  yield* Fiber.interrupt(watching)
  // Keys that are lost when the store closes are named
  yield* faulty.heal
}).pipe(Effect.scoped)

describe("logs and spans", () => {
  it.effect("contain no key and no value, however a call ends", () =>
    Effect.gen(function*() {
      const { log, spans } = yield* watched(work)
      for (const entry of log) assertNoSecret(entry, "a log")
      for (const span of spans) assertNoSecret(told(span), span.name)
      for (const level of ["Info", "Warn", "Error"]) assert.isTrue(log.some((entry) => entry.startsWith(level)), level)
      assert.isTrue(log.some((entry) => /is no longer told about changes.*: KeyEncoding/.test(entry)))
      const ended = new Set(
        spans.flatMap((span) => span.status._tag === "Ended" ? [`${span.name} ${span.status.exit._tag}`] : [])
      )
      assert.includeMembers([...ended], [
        "Store.open Success",
        "Store.commit Success",
        "Store.commit Failure",
        "Store.grow Success",
        "Store.withTransaction Failure",
        "Collection.open Success",
        "Collection.open Failure",
        "Store.backup Failure"
      ])
    }))

  it.effect("name the error of a failed transaction or opening of a collection, and report interruptions", () =>
    Effect.gen(function*() {
      const { spans } = yield* watched(Effect.gen(function*() {
        const { store } = yield* faultyStore()
        const transacting = <A, E>(effect: Effect.Effect<A, E>) => Effect.exit(store.withTransaction(effect))
        yield* transacting(store.getOrFail("missing"))
        yield* transacting(Effect.fail("text"))
        yield* transacting(Effect.die("text"))
        yield* transacting(Effect.interrupt)
        const open = Collection.make("", { key: Schema.Int, value: Schema.Int })
        yield* Effect.exit(Effect.provideService(open, Store, store))
      }))
      const ends = spans.flatMap(({ name, status }) =>
        status._tag === "Ended" && status.exit._tag === "Failure"
          ? [[
            name,
            Cause.hasInterruptsOnly(status.exit.cause)
              ? "interrupted"
              : Option.getOrUndefined(Cause.findErrorOption(status.exit.cause))
          ]]
          : []
      )
      assert.deepStrictEqual(ends, [
        ["Store.withTransaction", "KeyNotFound"],
        ["Store.withTransaction", "Failure"],
        ["Store.withTransaction", "Defect"],
        ["Store.withTransaction", "interrupted"],
        ["Collection.open", "CollectionFailed"]
      ])
    }))
})

/** Noise, and what begins like a value, a graph, or a record with entries in indexes, and claims great lengths. */
const untrusted = (random: Random.Random): Uint8Array => {
  const bytes = random.bytes(random.between(1, 200))
  if (random.oneIn(4)) return bytes
  bytes[0] = random.pick([1, 2, 4])
  for (let at = random.below(8); at < bytes.length && random.oneIn(2); at += random.between(1, 9)) {
    bytes[at] = random.pick([0x81, 0x91, 0xa4, 0xc1, 0xc6, 0xc7, 0xc9, 0xd4, 0xd6, 0xd9, 0xdb, 0xdd, 0xdf, 0xff])
  }
  return bytes
}

const hasCode = (value: unknown, seen = new Set<unknown>()): boolean => {
  if (typeof value === "function") return true
  if (typeof value !== "object" || value === null || seen.has(value) || ArrayBuffer.isView(value)) return false
  seen.add(value)
  const inside: ReadonlyArray<unknown> = value instanceof Map || value instanceof Set ? [...value] : []
  return [...inside, ...Object.values<unknown>({ ...value })].some((part) => hasCode(part, seen))
}

/** What code that ran would change. */
const surroundings = () => [
  Reflect.ownKeys(globalThis).length,
  ...[Object, Array, Map, Set, Function, Error, RegExp, Promise].flatMap((type) => Reflect.ownKeys(type.prototype))
]

describe("bytes that were not checked", () => {
  it.effect.each([1, 2, 3])(
    "run no code, change nothing and take no memory, seed %i",
    (seed) =>
      Effect.gen(function*() {
        const random = Random.make(seed)
        const path = yield* temporaryFolder
        const open = Collection.make("notes", notes)
        yield* withStore({ path }, (store) => Effect.asVoid(Effect.provideService(open, Store, store)))
        const keys = Array.from({ length: 400 }, (_, number) => `key ${number}`)
        yield* tamper(path, [
          ...keys.map((key) => ["records", ByteString(key), untrusted(random)] as const),
          ...keys.map((_, number) =>
            [
              "collection/notes",
              ByteString(`${Buffer.from(untrusted(random)).toString("latin1")} ${number}`),
              untrusted(random)
            ] as const
          )
        ])
        const before = surroundings()
        const memory = process.memoryUsage().rss
        yield* withStore({ path }, (store) =>
          Effect.gen(function*() {
            for (const key of keys) {
              const read = yield* Effect.result(store.get(key))
              if (read._tag === "Failure") assert.strictEqual(read.failure._tag, "ValueDecoding")
              else assert.isFalse(hasCode(Option.getOrThrow(read.success)))
            }
            const collection = yield* Effect.provideService(open, Store, store)
            const failure = yield* Effect.flip(Stream.runDrain(collection.entries()))
            assert.include(["KeyEncoding", "ValueDecoding"], failure._tag)
            yield* Stream.runDrain(collection.values({ undecodable: "skip" })).pipe(Effect.ignore)
            assert.isAbove((yield* collection.verify).length, 0)
            yield* collection.clear
            yield* store.clear
          }))
        assert.deepStrictEqual(surroundings(), before)
        assert.isBelow(process.memoryUsage().rss - memory, 500_000_000)
        assert.isTrue(existsSync(join(path, "data.mdb")))
      })
  )
})
