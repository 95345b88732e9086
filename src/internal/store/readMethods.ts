/**
 * The methods that read records by their keys.
 *
 * If the file can be read, `get` and `has` end in the first step of their fiber, without a wait.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Reader } from "../../Backend.ts"
import type { Found, ListOf } from "../../Entries.ts"
import type { ByteString, Key } from "../../Key.ts"
import { type Closed, type EngineFailure, type KeyEncoding, KeyNotFound, type ValueDecoding } from "../../StoreError.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as Settled from "../settled.ts"
import * as RecordAccess from "./recordAccess.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = RecordAccess.RecordAccess

const none = Exit.succeed(Option.none<unknown>())

/** Reads and decodes a record. A missing record is `none`, a stored `undefined` is `some`. Call it inside an effect. */
const find = (
  self: Access,
  reader: Reader,
  key: ByteString,
  given: Key
): Effect.Effect<Option.Option<unknown>, ValueDecoding<Key> | EngineFailure> =>
  Settled.flatMap(
    reader.get(self.database, key, (bytes) => RecordAccess.decode(self, key, bytes, given)),
    (decoding) => decoding === undefined ? none : Settled.map(decoding, Option.some)
  )

const isPending = ({ database, handle: { core: { backend } } }: Access, key: ByteString): boolean =>
  backend.isPending(database, key)

const readKey = <A, E>(
  self: Access,
  key: Key,
  use: (self: Access, reader: Reader, key: ByteString, given: Key) => Effect.Effect<A, E>,
  flush?: boolean
): Effect.Effect<A, E | Closed | KeyEncoding | EngineFailure> =>
  Effect.withFiber((fiber): Effect.Effect<A, E | Closed | KeyEncoding | EngineFailure> => {
    const encoded = self.handle.keys.encode(key)
    const reader = flush === undefined ? StoreAccess.readerAtOnce(self, fiber) : undefined
    if (Result.isFailure(encoded)) return StoreAccess.enter(self, () => Effect.fail(encoded.failure))
    const bytes = encoded.success
    return reader === undefined
      ? StoreAccess.read(self, (other) => use(self, other, bytes, key), {
        flush,
        isPending: () => isPending(self, bytes)
      })
      : use(self, reader, bytes, key)
  })

/** Reads and decodes the value of a key. */
export const get = (self: Access, key: Key) => readKey(self, key, find)

const findOrFail = (
  self: Access,
  reader: Reader,
  bytes: ByteString,
  key: Key
): Effect.Effect<unknown, ValueDecoding<Key> | EngineFailure | KeyNotFound<Key>> =>
  Settled.flatMap(
    find(self, reader, bytes, key),
    (value): Effect.Effect<unknown, KeyNotFound<Key>> =>
      Option.isSome(value)
        ? Exit.succeed(value.value)
        : Exit.fail(new KeyNotFound(RecordAccess.shown(self, key)))
  )

const hasRecord = ({ database }: Access, reader: Reader, key: ByteString) => reader.has(database, key)

const has = (self: Access, key: Key, options?: { readonly flush?: boolean | undefined }) =>
  options === undefined
    ? readKey(self, key, hasRecord)
    : StoreAccess.enter(self, () =>
      Effect.andThen(
        CallArguments.checked("the options of has", options, CallArguments.hasChecks),
        Effect.suspend(() => readKey(self, key, hasRecord, options.flush))
      ))

// ---------------------------------------------------------------------------
// several records
// ---------------------------------------------------------------------------

type GetManyError = KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure

/** The keys of a call: as the result names them, and their bytes. */
interface Wanted<N> {
  readonly names: ReadonlyArray<N>
  readonly keys: ReadonlyArray<ByteString>
}

const readAll = <N extends Key>(
  self: Access,
  reader: Reader,
  { keys, names }: Wanted<N>
): Effect.Effect<Found<N>, ValueDecoding<Key> | EngineFailure> => {
  const decodings = reader.getMany(self.database, keys, (bytes, at) => {
    const key = keys[at]
    return key === undefined
      ? Exit.die("the backend gave a value for a key that was not in the list")
      : RecordAccess.decode(self, key, bytes, names[at])
  })
  return Settled.flatMap(
    decodings,
    (read) =>
      Settled.map(
        Settled.all(read.filter((decoding) => decoding !== undefined)),
        (values) => collect(names, read, values)
      )
  )
}

/** Separates the keys that were found, with their values, from those that are missing. */
const collect = <N extends Key>(
  names: ReadonlyArray<N>,
  read: ReadonlyArray<unknown>,
  values: ReadonlyArray<unknown>
): Found<N> => {
  const found = new Map<N, unknown>()
  const missing: Array<N> = []
  let at = 0
  let next = 0
  for (const name of names) {
    // A key that is in the list twice keeps its first place in the result.
    if (read[at++] === undefined) missing.push(name)
    else found.set(name, values[next++])
  }
  return { found, missing }
}

const getAll = <K extends Key, N extends Key>(
  self: Access,
  wanted: ListOf<K>,
  nameOf: (given: K, key: ByteString) => Result.Result<N, KeyEncoding>
) =>
  StoreAccess.enter(self, (): Effect.Effect<Found<N>, GetManyError> => {
    const noList = CallArguments.notAList("keys", wanted)
    if (noList !== undefined) return Effect.fail(noList)
    const names: Array<N> = []
    const keys: Array<ByteString> = []
    for (const given of wanted) {
      const key = self.handle.keys.encode(given)
      if (Result.isFailure(key)) return Effect.fail(key.failure)
      const name = nameOf(given, key.success)
      if (Result.isFailure(name)) return Effect.fail(name.failure)
      names.push(name.success)
      keys.push(key.success)
    }
    return StoreAccess.read(self, (reader) => readAll(self, reader, { names, keys }), {
      isPending: () => keys.every((key) => isPending(self, key))
    })
  })

/** Makes the method `getMany`. */
const makeGetMany = (self: Access) => {
  const decodeKey = (_: Key, key: ByteString) => self.handle.keys.decode(key)

  function getMany(
    wanted: ListOf<Key>,
    options: { readonly decodeKeys: true }
  ): Effect.Effect<Found<string>, GetManyError>
  function getMany<K extends Key>(
    wanted: ListOf<K>,
    options?: { readonly decodeKeys?: false | undefined }
  ): Effect.Effect<Found<K>, GetManyError>
  function getMany<K extends Key>(
    wanted: ListOf<K>,
    options?: { readonly decodeKeys?: boolean | undefined }
  ): Effect.Effect<Found<string> | Found<K>, GetManyError> {
    if (options === undefined) return getAll(self, wanted, Result.succeed)
    return Effect.andThen(
      CallArguments.checked("the options of getMany", options, CallArguments.getManyChecks),
      Effect.suspend((): Effect.Effect<Found<string> | Found<K>, GetManyError> =>
        options.decodeKeys === true ? getAll(self, wanted, decodeKey) : getAll(self, wanted, Result.succeed)
      )
    )
  }
  return getMany
}

/** Makes the methods of one handle. */
export const make = (self: Access) => ({
  get: (key: Key) => get(self, key),
  getOrFail: (key: Key) => readKey(self, key, findOrFail),
  has: (key: Key, options?: { readonly flush?: boolean | undefined }) => has(self, key, options),
  getMany: makeGetMany(self),
  size: StoreAccess.read(self, (reader) => reader.count(self.database), { isOneMoment: true })
})
