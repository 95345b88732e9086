/** An export, and its import into another store. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { deepStrictEqual } from "node:assert"
import { join } from "node:path"
import { Collection, Store, type StoreService } from "../../src/index.ts"
import { exportStore, type ImportOptions, importStore, type TransferFormat } from "../../src/Transfer.ts"
import { userOf, users } from "../support/fixtures/collections.ts"
import { Bytes, cases, mixed } from "../support/fixtures/orderedValues.ts"
import { randomOf, randomValue } from "../support/fixtures/randomValues.ts"
import { temporaryFolder } from "../support/harness.ts"
import { storedContents } from "../support/storedContents.ts"

const formats: ReadonlyArray<TransferFormat> = ["ndjson", "csv", "dump"]

const exported = (store: StoreService, options: Parameters<typeof exportStore>[0] = {}) =>
  Effect.map(
    Effect.provideService(Stream.runCollect(exportStore(options)), Store, store),
    (parts) => Buffer.concat(parts)
  )

const imported = (store: StoreService, content: Uint8Array | string, options: ImportOptions = {}) => {
  const bytes = Buffer.from(content)
  // Parts that end anywhere
  const parts = Array.from(
    { length: Math.ceil(bytes.length / 1000) },
    (_, at) => bytes.subarray(at * 1000, (at + 1) * 1000)
  )
  return Effect.provideService(importStore(Stream.fromIterable(parts), options), Store, store)
}

const openUsers = Collection.make("users", users)

const anyValue = Schema.Struct({ value: Schema.Unknown, id: Schema.Int, tags: Schema.Array(Schema.String) })

/** A collection with keys of all kinds, whose records may expire. */
const openKeyed = Collection.make("keys of all kinds", {
  key: mixed,
  value: anyValue,
  expires: ({ id }) => id % 3 === 0 ? Duration.minutes(id + 1) : undefined,
  indexes: {
    byId: { key: Schema.Int, of: ({ id }) => id, unique: true },
    byTag: { key: Schema.String, each: ({ tags }) => tags },
    byKey: {
      key: Schema.Array(Schema.Union([Schema.String, Schema.BigInt])),
      of: ({ id, tags }) => [...tags, BigInt(id)]
    }
  }
})

/** Opens a store that does not wait for the disk. */
const open = (path: string) => Store.make({ path, durability: "noSync" })

const isSame = Effect.fnUntraced(function*(from: StoreService, to: StoreService) {
  deepStrictEqual(yield* storedContents(to), yield* storedContents(from))
})

const openAll = (store: StoreService) => Effect.all([openUsers, openKeyed]).pipe(Effect.provideService(Store, store))

const tagsOf = (random: ReturnType<typeof randomOf>) => ["a", "b", "", "\0"].filter(() => random(2) === 0)

const anyKeys = cases.at(-1)?.[2] ?? assert.fail("no keys")

interface Contents {
  readonly seed: number
  readonly bytes: ReadonlyArray<Uint8Array>
  readonly keys: ReadonlyArray<unknown>
}

const contentsArbitrary = {
  seed: Schema.Int,
  bytes: Arbitrary.array(Bytes, { minLength: 0, maxLength: 12 }),
  keys: Arbitrary.array(anyKeys, { minLength: 0, maxLength: 20 })
}

/** Puts records of all kinds into a store. */
const fill = Effect.fnUntraced(function*(store: StoreService, { bytes, keys, seed }: Contents) {
  const random = randomOf(seed)
  const ttl = () => random(3) === 0 ? { ttl: "1 hour" } as const : {}
  const namespace = yield* store.namespace("a name, \"quoted\"")
  yield* store.namespace("empty")
  // A record that is put again without a time leaves its entry in `expiry`, which an export does not have.
  const distinct = new Map(bytes.map((key) => [Buffer.from(key).toString("hex"), key]))
  for (const [at, key] of Array.from(distinct.values()).entries()) {
    if (key.length === 0) continue
    yield* store.put(key, randomValue(seed + at, random(2) === 0), ttl())
    yield* namespace.put(`${at}`, randomValue(seed - at, false), ttl())
  }
  const [people, keyed] = yield* openAll(store)
  for (const [id, encoded] of keys.entries()) {
    const key = yield* Schema.decodeUnknownEffect(mixed)(encoded)
    yield* keyed.put(key, { value: randomValue(seed + id, true), id, tags: tagsOf(random) })
  }
  yield* people.putMany(
    Array.from({ length: 60 }, (_, at) => [at, userOf(`u${seed}-${at}`, random(90), tagsOf(random))] as const)
  )
})

describe("an export, imported into an empty store", () => {
  it.effect.prop(
    "gives the same store, and its collections open as they are",
    contentsArbitrary,
    (contents) =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const from = yield* open(join(folder, "from"))
        yield* fill(from, contents)
        for (const format of formats) {
          const to = yield* open(join(folder, format))
          yield* imported(to, yield* exported(from, { format }), { format, batchSize: 40 })
          yield* isSame(from, to)
          const [people, keyed] = yield* openAll(to)
          deepStrictEqual(yield* people.verify, [])
          deepStrictEqual(yield* keyed.verify, [])
          yield* isSame(from, to)
        }
      }),
    { arbitrary: { runs: 4 } }
  )
})
