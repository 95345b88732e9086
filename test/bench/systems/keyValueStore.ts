/**
 * Effect's own `KeyValueStore` on files: a file for each record, with its JSON.
 *
 * Durability: `KeyValueStore` does not sync what it writes. To be on disk as with the
 * others, the files that a piece of work wrote, and their folder, are synced at its end.
 *
 * It has no order of keys, no transactions and no pending writes; `putMany` writes the
 * records at the same time but does not make a unit of them.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { join } from "node:path"
import type { Driver, Open, Work } from "../driver.ts"
import { BenchRecord, type Entries, idOf } from "../records.ts"

/** What the two forms have in common; `decode` makes the record of what `get` found. */
interface Files<A> {
  readonly get: (key: string) => Work<A>
  readonly decode: (found: A) => unknown
  readonly set: (key: string, record: BenchRecord) => Work
  readonly has: (key: string) => Work<boolean>
  readonly keys: Work<ReadonlyArray<string>>
  /** Waits until the files of the keys, and their names, are on disk. */
  readonly sync: (keys: Iterable<string>) => Work
  /** Waits until a file that was there before is on disk. */
  readonly syncFile: (key: string) => Work
}

/** As many files at a time as keep the threads of Node busy. */
const concurrency = 16

const put = Effect.fnUntraced(function*<A>(files: Files<A>, entries: Entries) {
  const written = new Set<string>()
  for (const [key, record] of entries) {
    yield* files.set(key, record)
    written.add(key)
  }
  yield* files.sync(written)
})

const getTogether = <A>(files: Files<A>, keys: ReadonlyArray<string>): Work<number> =>
  Effect.map(Effect.forEach(keys, files.get, { concurrency }), (found) => {
    let total = 0
    for (const one of found) total += idOf(files.decode(one))
    return total
  })

const driver = <A>(files: Files<A>): Driver => ({
  put: (entries) => put(files, entries),
  putMany: Effect.fnUntraced(function*(entries) {
    const written: Array<string> = []
    yield* Effect.forEach(entries, ([key, record]) => {
      written.push(key)
      return files.set(key, record)
    }, { concurrency, discard: true })
    yield* files.sync(written)
  }),
  putDurably: (entries) =>
    Effect.forEach(entries, ([key, record]) => Effect.andThen(files.set(key, record), files.syncFile(key)), {
      concurrency: "unbounded",
      discard: true
    }),
  read: (key) => Effect.map(files.get(key), files.decode),
  get: Effect.fnUntraced(function*(keys) {
    let total = 0
    for (const key of keys) total += idOf(files.decode(yield* files.get(key)))
    return total
  }),
  has: Effect.fnUntraced(function*(keys) {
    let found = 0
    for (const key of keys) if (yield* files.has(key)) found++
    return found
  }),
  getMany: (keys) => getTogether(files, keys),
  scan: Effect.flatMap(files.keys, (keys) => getTogether(files, keys)),
  mix: Effect.fnUntraced(function*(steps) {
    const written = new Set<string>()
    let total = 0
    for (const { key, update } of steps) {
      if (update === undefined) {
        total += idOf(files.decode(yield* files.get(key)))
      } else {
        yield* files.set(key, update)
        written.add(key)
      }
    }
    yield* files.sync(written)
    return total
  })
})

const syncIn = (fs: FileSystem.FileSystem, folder: string): Pick<Files<unknown>, "sync" | "syncFile"> => {
  const syncPath = (path: string) => Effect.scoped(Effect.flatMap(fs.open(path), (file) => file.sync))
  // Where `KeyValueStore` puts it
  const syncFile = (key: string) => syncPath(join(folder, encodeURIComponent(key)))
  return {
    syncFile,
    sync: (keys) => Effect.andThen(Effect.forEach(keys, syncFile, { concurrency, discard: true }), syncPath(folder))
  }
}

const openWith = <A>(
  make: (store: KeyValueStore.KeyValueStore) => Omit<Files<A>, "sync" | "syncFile">
): Open =>
(folder) =>
  Effect.map(
    Layer.build(Layer.provideMerge(
      KeyValueStore.layerFileSystem(folder),
      Layer.merge(NodeFileSystem.layer, NodePath.layer)
    )),
    (context) =>
      driver({
        ...make(Context.get(context, KeyValueStore.KeyValueStore)),
        ...syncIn(Context.get(context, FileSystem.FileSystem), folder)
      })
  )

/** Opens a folder of files. */
export const open = openWith<string | undefined>((store) => ({
  get: store.get,
  decode: (json): unknown => json === undefined ? undefined : JSON.parse(json),
  set: (key, record) => store.set(key, JSON.stringify(record)),
  has: store.has,
  keys: store.keys
}))

/** Opens a folder of files whose records are decoded and encoded with a schema. */
export const openTyped = openWith<Option.Option<BenchRecord>>((store) => ({
  ...KeyValueStore.toSchemaStore(store, BenchRecord),
  decode: Option.getOrUndefined
}))
