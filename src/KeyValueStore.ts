/**
 * Keeps the values of Effect's `KeyValueStore` in a store.
 *
 * It is the subpath `effect-lmdb/KeyValueStore`. All that Effect builds on a `KeyValueStore` works on it: `prefix`,
 * `toSchemaStore`, `Persistence.layerKvs`, `Atom.kvs`.
 *
 * **Details**
 *
 * - Text and bytes stay apart. `get` returns bytes in base64, and `getUint8Array` returns text in UTF-8. Text that looks
 *   like base64 stays text.
 * - A key is any string, also one that is too long for a key of a collection or has half of a surrogate pair.
 * - `set`, `remove`, `modify` and `modifyUint8Array` are buffered: visible at once, on disk after the next commit. With
 *   the option `durable` they are on disk when they return. `clear` and `clearPrefix` are one transaction each, always on
 *   disk when they return.
 * - `modify` and `modifyUint8Array` are one step: no other fiber writes the key in between. With the option `shared` of
 *   the store, no other process does either.
 * - Inside `withTransaction` of the store, the calls belong to the transaction.
 * - Every failure is a `KeyValueStoreError`. Its `cause` is the error of the store.
 *
 * **Example** (In one transaction with a collection)
 *
 * ```ts
 * import { Console, Effect, Layer, Schema } from "effect"
 * import { Collection, Store } from "effect-lmdb"
 * import * as LmdbKeyValueStore from "effect-lmdb/KeyValueStore"
 * import { KeyValueStore } from "effect/persistence"
 *
 * const Users = Collection.make("users", { key: Schema.Int, value: Schema.String })
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* Store
 *   const settings = yield* KeyValueStore.KeyValueStore
 *   const users = yield* Users
 *   yield* store.withTransaction(Effect.gen(function*() {
 *     yield* users.insert(1, "Ada")
 *     yield* settings.set("newest user", "1")
 *   }))
 *   yield* Console.log(yield* settings.get("newest user")) // => 1
 * })
 *
 * const Live = LmdbKeyValueStore.layer().pipe(Layer.provideMerge(Store.layerTemp()))
 *
 * Effect.runPromise(Effect.provide(program, Live))
 * ```
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import type { OpenError } from "./Collection.ts"
import * as KeyValueRecords from "./internal/ports/keyValueRecords.ts"
import { replaceErrors, replaceErrorsOfBuffered } from "./internal/ports/portError.ts"
import { Store } from "./Store.ts"

/**
 * Options of a key-value store.
 *
 * @category options
 * @since 0.2.0
 */
export interface KeyValueStoreOptions {
  /** Keeps several key-value stores of one store apart. Default: `"default"`. */
  readonly name?: string | undefined
  /** Whether each write is on disk when its call returns. Default: `false`, writes are buffered. */
  readonly durable?: boolean | undefined
}

const encoder = new TextEncoder()

const textOf = (value: string | Uint8Array): string => typeof value === "string" ? value : Base64.encode(value)

const bytesOf = (value: string | Uint8Array): Uint8Array => typeof value === "string" ? encoder.encode(value) : value

const errorOf = (name: string, key?: string) => (cause: Error) =>
  new KeyValueStore.KeyValueStoreError({
    method: name,
    message: `${name} has failed: ${cause.message}`,
    cause,
    ...(key === undefined ? {} : { key })
  })

const method = (name: string, key?: string) => replaceErrors(errorOf(name, key))

const bufferedMethod = (name: string, key?: string) => replaceErrorsOfBuffered(errorOf(name, key))

/**
 * Makes a key-value store in the store of the context. Fails if its collection cannot be opened.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = Effect.fnUntraced(
  function*(
    options: KeyValueStoreOptions = {}
  ): Effect.fn.Return<KeyValueStore.KeyValueStore, OpenError, Store> {
    const store = yield* Store
    const records = yield* KeyValueRecords.open
    const self = KeyValueRecords.make(records, options.name ?? "default")
    const writeOptions = (options.durable ?? false) ? { durable: options.durable } : undefined
    const writeMethod = options.durable === true ? method : bufferedMethod

    const getAs = <A>(name: string, convert: (value: string | Uint8Array) => A) => (key: string) =>
      Effect.map(
        records.get(KeyValueRecords.keyOf(self, key)),
        (record) => Option.getOrUndefined(Option.map(record, ({ value }) => convert(value)))
      ).pipe(bufferedMethod(name, key))

    const modifyAs =
      <A extends string | Uint8Array>(name: string, convert: (value: string | Uint8Array) => A) =>
      (key: string, f: (value: A) => A) =>
        records.modify(
          KeyValueRecords.keyOf(self, key),
          (current): readonly [A | undefined, typeof current] => {
            if (Option.isNone(current)) return [undefined, current]
            const next = f(convert(current.value.value))
            return [next, Option.some(KeyValueRecords.recordOf(key, next))]
          },
          writeOptions
        ).pipe(writeMethod(name, key))

    const clearPrefix = (prefix: string) =>
      store.withTransaction(Effect.flatMap(
        KeyValueRecords.find(self, prefix),
        (found) => records.deleteMany(found.map(({ stored }) => stored))
      ))

    return KeyValueStore.make({
      get: getAs("get", textOf),
      getUint8Array: getAs("getUint8Array", bytesOf),
      set: (key, value) =>
        records.put(KeyValueRecords.keyOf(self, key), KeyValueRecords.recordOf(key, value), writeOptions).pipe(
          writeMethod("set", key)
        ),
      remove: (key) => records.delete(KeyValueRecords.keyOf(self, key), writeOptions).pipe(writeMethod("remove", key)),
      clear: records.deleteRange({ prefix: [self.name] }).pipe(Effect.asVoid, method("clear")),
      clearPrefix: (prefix) => clearPrefix(prefix).pipe(method("clearPrefix", prefix)),
      size: records.count({ prefix: [self.name] }).pipe(method("size")),
      keys: store.withTransaction(KeyValueRecords.find(self, "")).pipe(
        Effect.map((found) => found.map(({ key }) => key)),
        method("keys")
      ),
      has: (key) => records.has(KeyValueRecords.keyOf(self, key)).pipe(bufferedMethod("has", key)),
      isEmpty: records.isEmpty({ prefix: [self.name] }).pipe(method("isEmpty")),
      modify: modifyAs("modify", textOf),
      modifyUint8Array: modifyAs("modifyUint8Array", bytesOf)
    })
  }
)

/**
 * Provides `KeyValueStore` in the store of the context. Building the layer fails if its collection cannot be opened.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options?: KeyValueStoreOptions
): Layer.Layer<KeyValueStore.KeyValueStore, OpenError, Store> =>
  Layer.effect(KeyValueStore.KeyValueStore, make(options))
