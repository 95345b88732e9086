/**
 * Collections that are defined badly, used badly and migrated badly, on a store that
 * must be none the worse for it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { isDeepStrictEqual } from "node:util"
import { Collection, Store, type StoreService } from "../../src/index.ts"
import { temporaryFolder } from "../support/harness.ts"
import { attempt } from "./attempt.ts"
import * as BadCollections from "./badCollections.ts"
import * as BadInput from "./badInput.ts"
import type { Random } from "./random.ts"
import type { Recorder } from "./section.ts"

const { untyped } = BadCollections

/** Every method, with arguments of any kind. */
const useBadly = Effect.fnUntraced(function*(
  recorder: Recorder,
  collection: BadCollections.Untyped,
  random: Random
) {
  const key = () => untyped(random.oneIn(2) ? BadInput.value(random, 1) : BadInput.key(random))
  const value = () => untyped(BadInput.value(random, 2))
  const range = () => untyped(BadCollections.range(random))
  const [known, other] = [key(), key()]
  yield* attempt(recorder, "collection put", () => collection.put(known, value()))
  yield* attempt(recorder, "collection insert", () => collection.insert(known, value()))
  yield* attempt(recorder, "collection get", () => collection.get(known))
  yield* attempt(recorder, "collection getOrFail", () => collection.getOrFail(other))
  yield* attempt(recorder, "collection has", () => collection.has(known))
  yield* attempt(recorder, "collection getMany", () => collection.getMany([known, other]))
  yield* attempt(recorder, "collection update", () => collection.update(known, () => Option.some(value())))
  yield* attempt(recorder, "collection putMany", () => collection.putMany([[known, value()], [other, value()]]))
  yield* attempt(recorder, "collection keys", () => Stream.runCount(collection.keys(range())))
  yield* attempt(recorder, "collection values", () => Stream.runCount(collection.values(range())))
  yield* attempt(recorder, "collection entries", () => Stream.runCount(collection.entries(range())))
  yield* attempt(recorder, "collection first", () => collection.first(range()))
  yield* attempt(recorder, "collection count", () => collection.count(range()))
  yield* attempt(recorder, "collection size", () => collection.size)
  for (
    const index of Object.values<Collection.CollectionIndex<Schema.String, Schema.String, Schema.String>>(
      collection.indexes
    )
  ) {
    yield* attempt(recorder, "index get", () => index.get(key()))
    yield* attempt(recorder, "index has", () => index.has(key()))
    yield* attempt(recorder, "index entries", () => Stream.runCount(index.entries(range())))
    yield* attempt(recorder, "index count", () => index.count(range()))
  }
  yield* attempt(recorder, "collection deleteOrFail", () => collection.deleteOrFail(known))
  yield* attempt(recorder, "collection deleteMany", () => collection.deleteMany([known, other]))
  yield* attempt(recorder, "collection rebuildIndexes", () => collection.rebuildIndexes)
  yield* attempt(recorder, "collection verify", () => collection.verify)
})

const Item = Schema.Struct({ text: Schema.String, versions: Schema.Array(Schema.Int) })

type Item = typeof Item.Type

const items = {
  key: Schema.Int,
  value: Item,
  indexes: { byText: { key: Schema.String, of: (item: Item) => item.text, unique: true } }
}

const isItem = Schema.is(Item)

const openItems = Collection.make("items", items)

const openNextItems = Collection.make("items", {
  ...items,
  version: 2,
  migrations: {
    1: (value): Effect.Effect<unknown, string> =>
      isItem(value) ? Effect.succeed({ ...value, versions: [...value.versions, 2] }) : Effect.fail("it is no item")
  }
})

const itemKeys = [1, 2, 3, 4, 5]

/** A migration that does not succeed leaves everything as it was, for one that does. */
const migrateBadly = Effect.fnUntraced(function*(recorder: Recorder, store: StoreService, random: Random) {
  const on = <A, E>(effect: Effect.Effect<A, E, Store>) => Effect.provideService(effect, Store, store)
  const before = yield* on(openItems)
  yield* before.putMany(itemKeys.map((key) => [key, { text: `item ${key}`, versions: [1] }] as const))
  let isMigrated = false
  for (let step = 0; step < 5 && !isMigrated; step++) {
    const migration = BadCollections.migration(random)
    const options = { ...items, version: 2, migrations: { 1: migration } }
    const opened = yield* attempt(
      recorder,
      "a bad migration",
      () => on(Collection.make("items", options))
    )
    isMigrated = Option.isSome(opened)
  }
  const after = yield* on(openNextItems)
  const values = yield* Stream.runCollect(after.values({ undecodable: "skip" }))
  const expected = itemKeys.map((key): Item => ({ text: `item ${key}`, versions: [1, 2] }))
  recorder.expect(
    isMigrated || isDeepStrictEqual(values, expected),
    `after bad migrations there is ${JSON.stringify(values)}`
  )
  const problems = yield* after.verify
  for (const problem of problems) recorder.lose(`after bad migrations: ${JSON.stringify(problem)}`)
})

/** Opens collections that make no sense, uses those that can be opened, and migrates one badly. */
export const useCollections = Effect.fnUntraced(function*(recorder: Recorder, random: Random) {
  const store = yield* Store.make({
    path: yield* temporaryFolder,
    durability: "noSync",
    batchSize: random.between(1, 50)
  })
  for (let step = 0; step < 40; step++) {
    const [name, options] = BadCollections.definition(random)
    const opened = yield* attempt(
      recorder,
      "opening a collection",
      () => Effect.provideService(Collection.make(name, options), Store, store)
    )
    recorder.count(Option.isSome(opened) ? "collections opened" : "collections refused")
    if (Option.isSome(opened)) yield* useBadly(recorder, opened.value, random)
  }
  yield* migrateBadly(recorder, store, random)
  yield* attempt(recorder, "close", () => store.close({ strict: true }))
}, Effect.scoped)
