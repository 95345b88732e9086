/**
 * The collections of a store whose process is killed: two that lanes write to, and a
 * large one that is there for its migrations.
 *
 * What they are goes by the number of a life: every fourth life has a new version, and
 * half-way between them there is an index more. Each record says which versions it has been through,
 * so that one which a migration left out or came to twice is seen.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { isDeepStrictEqual } from "node:util"
import { Collection, type StoreService } from "../../src/index.ts"
import { inCollection, lifeOfNumber, type Mark, markOf, type Place } from "./killOperations.ts"

/** How many records the archive has, in several parts of a migration. */
export const archived = 1900

/** After so many records a migration, or the building of indexes, says how far it is. */
const recordsBetweenWords = 150

const Key = Schema.Tuple([Schema.Int, Schema.Int])

const Value = Schema.Struct({
  number: Schema.Int,
  text: Schema.String,
  versions: Schema.Array(Schema.Int)
})

type Value = typeof Value.Type

const isValue = Schema.is(Value)

/** What is told of the work on a collection while it is opened. */
export type Work = "migrating" | "indexing"

const versionOf = (life: number): number => 1 + Math.floor(life / 4)

const hasByText = (life: number): boolean => life % 4 >= 2

const migrationFrom = (from: number, tell: () => void) => (value: unknown): Effect.Effect<unknown, string> => {
  tell()
  return isValue(value)
    ? Effect.succeed({ ...value, versions: [...value.versions, from + 1] })
    : Effect.fail("it is no value")
}

const groupsOf = ({ number, text }: Value): ReadonlyArray<number> | undefined =>
  number % 4 === 0 ? undefined : [number % 4, 10 + text.length % 3]

/** Calls back once in a while. */
const sometimes = (call: () => void): () => void => {
  let times = 0
  return () => {
    if (++times % recordsBetweenWords === 0) call()
  }
}

/** Opens a collection as it is in a life. */
export const open = (name: string, life: number, tell: (work: Work) => void) => {
  const version = versionOf(life)
  const migrating = sometimes(() => tell("migrating"))
  const indexing = sometimes(() => tell("indexing"))
  const indexes = {
    byNumber: { key: Schema.Int, of: (value: Value) => value.number, unique: true },
    byGroup: {
      key: Schema.Int,
      each: (value: Value) => {
        indexing()
        return groupsOf(value)
      }
    }
  }
  const byText = {
    key: Schema.String,
    of: (value: Value) => {
      indexing()
      return value.text.slice(0, 20)
    }
  }
  const options = {
    key: Key,
    value: Value,
    version,
    migrations: Object.fromEntries(
      Array.from({ length: version - 1 }, (_, index) => [index + 1, migrationFrom(index + 1, migrating)])
    )
  }
  return hasByText(life)
    ? Collection.make(name, { ...options, indexes: { ...indexes, byText } })
    : Collection.make(name, { ...options, indexes })
}

/** A collection that was opened. */
export type Opened = Effect.Success<ReturnType<typeof open>>

/** The collections that lanes write to. */
export type Collections = Readonly<Record<"accounts" | "journal", Opened>>

/** Opens the collections that lanes write to. */
export const openAll = (life: number, tell: (work: Work) => void) =>
  Effect.all({ accounts: open("accounts", life, tell), journal: open("journal", life, tell) })

/** The value that a mark stands for in a collection. */
const valueOf = (mark: Mark): Value => ({ ...markOf(mark), versions: [versionOf(lifeOfNumber(mark[0]))] })

/** The versions from one to another. */
const between = (first: number, last: number): ReadonlyArray<number> =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index)

const markIn = (value: Value, life: number): Mark => {
  const size = value.text.length
  const { versions, ...made } = valueOf([value.number, size])
  const expected = { ...made, versions: between(versions[0] ?? 0, versionOf(life)) }
  return isDeepStrictEqual(value, expected) ? [value.number, size] : [value.number, -1]
}

const placeOf = (collection: Opened): Place => ({
  put: (key, mark) => collection.put(inCollection(key), valueOf(mark)),
  update: (key, mark) => collection.update(inCollection(key), () => Option.some(valueOf(mark))),
  delete: (key) => collection.delete(inCollection(key)),
  putMany: (entries) => collection.putMany(entries.map(([key, mark]) => [inCollection(key), valueOf(mark)] as const)),
  deleteMany: (keys) => collection.deleteMany(keys.map(inCollection))
})

/** What a store and its collections can be asked alike. */
export const placesOf = (
  store: StoreService,
  { accounts, journal }: Collections
): Readonly<Record<"records" | "accounts" | "journal", Place>> => ({
  records: {
    put: (key, mark) => store.put(key, markOf(mark)),
    update: (key, mark) => store.update(key, () => Option.some(markOf(mark))),
    delete: store.delete,
    putMany: (entries) => store.putMany(entries.map(([key, mark]) => [key, markOf(mark)] as const)),
    deleteMany: store.deleteMany
  },
  accounts: placeOf(accounts),
  journal: placeOf(journal)
})

/** The records of a collection as lanes name them, with what their values were made of. */
export const recordsOf = (collection: Opened, life: number) =>
  Effect.map(
    Stream.runCollect(collection.entries()),
    (entries) =>
      entries.map(([[lane, place], value]) =>
        [`${lane}/${collection.name}/${String(place).padStart(2, "0")}`, ...markIn(value, life)] as const
      )
  )

/** What is wrong with a collection and its indexes. */
export const problemsOf = Effect.fnUntraced(function*(collection: Opened) {
  const problems = yield* collection.verify
  const values = yield* Stream.runCollect(collection.values())
  const byNumber = yield* Stream.runCollect(collection.indexes.byNumber.values())
  const isSame = isDeepStrictEqual(values.toSorted((a, b) => a.number - b.number), byNumber)
  const groups = yield* collection.indexes.byGroup.count()
  const expected = values.reduce((sum, value) => sum + new Set(groupsOf(value)).size, 0)
  return [
    ...problems.map((problem) => `${collection.name}: ${JSON.stringify(problem)}`),
    ...(isSame ? [] : [`${collection.name}: the unique index gives ${byNumber.length} of ${values.length} records`]),
    ...(groups === expected ? [] : [`${collection.name}: ${groups} and not ${expected} entries by group`])
  ]
})

/** Makes the archive, all of it at once. */
export const fillArchive = (archive: Opened, life: number) =>
  archive.putMany(Array.from({ length: archived }, (_, index) => [
    [0, index],
    { number: index, text: `${index};`, versions: [versionOf(life)] }
  ]))

/** What is wrong with the archive, if it is there. */
export const archiveProblemsOf = Effect.fnUntraced(function*(archive: Opened, life: number) {
  const values = yield* Stream.runCollect(archive.values())
  const wrong = values.filter((value, index) =>
    value.number !== index || !isDeepStrictEqual(value.versions, between(value.versions[0] ?? 0, versionOf(life)))
  )
  return [
    ...(values.length === archived ? [] : [`the archive has ${values.length} records`]),
    ...wrong.slice(0, 3).map((value) => `the archive, version ${versionOf(life)}: ${JSON.stringify(value)}`),
    ...(yield* problemsOf(archive))
  ]
})
