/**
 * Reads the databases of a file with the library: the current state, or the state of a read transaction.
 */
import * as Exit from "effect/Exit"
import type { Transaction } from "lmdb"
import type { Reader } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import * as Settled from "../settled.ts"
import { expand } from "./compressedValue.ts"
import { failure } from "./lmdbErrors.ts"
import { countRecords, type KeyCache, type Readable, readRange } from "./lmdbRange.ts"
import { figure } from "./pageCount.ts"

/** A database of the library. */
interface ReadableDatabase extends Readable {
  readonly getBinaryFast: (key: ByteString, options?: { readonly transaction: Transaction }) => Uint8Array | undefined
  readonly getStats: () => object
}

/** Runs a call of the library. Turns every error that it throws into an `EngineFailure`. */
type Run = <A>(operation: string, call: () => A) => Exit.Exit<A, EngineFailure>

/** The open databases of a file. */
interface Readables {
  readonly databases: ReadonlyMap<string, ReadableDatabase>
  /** The dictionary of compressed values. */
  readonly dictionary: Uint8Array
}

const getFrom = (
  { databases, dictionary }: Readables,
  name: string,
  key: ByteString,
  options?: { readonly transaction: Transaction }
): Uint8Array | undefined => {
  const value = databases.get(name)?.getBinaryFast(key, options)
  return value === undefined ? undefined : expand(value, dictionary)
}

/** Gives the open databases. Throws if the environment is closed. */
type Opened = () => Readables

/** Reads a value, and decodes it while its bytes are valid. An error of `decode` is not one of the library. */
const getOne = <A>(
  opened: Opened,
  name: string,
  key: ByteString,
  decode: (bytes: Uint8Array) => A,
  options?: { readonly transaction: Transaction }
): Exit.Exit<A | undefined, EngineFailure> => {
  let found: Uint8Array | undefined
  try {
    found = getFrom(opened(), name, key, options)
  } catch (cause) {
    return Exit.fail(failure("get")(cause))
  }
  return found === undefined ? Settled.nothing : Exit.succeed(decode(found))
}

/** Reads values one after the other. Decodes each before it reads the next, because the library reuses the memory. */
const getEach = <A>(
  opened: Opened,
  name: string,
  keys: ReadonlyArray<ByteString>,
  decode: (bytes: Uint8Array, at: number) => A,
  options?: { readonly transaction: Transaction }
): Exit.Exit<ReadonlyArray<A | undefined>, EngineFailure> => {
  const values: Array<A | undefined> = []
  for (const key of keys) {
    let found: Uint8Array | undefined
    try {
      found = getFrom(opened(), name, key, options)
    } catch (cause) {
      return Exit.fail(failure("get")(cause))
    }
    values.push(found === undefined ? undefined : decode(found, values.length))
  }
  return Exit.succeed(values)
}

/** Counts the records of a database in its current state. */
export const countPresent = (database: { readonly getStats: () => object } | undefined): number =>
  database === undefined ? 0 : figure(database.getStats(), "entryCount")

/** Makes a reader of the current state. Inside a write transaction, it sees the writes of that transaction. */
export const readPresent = (opened: Opened, run: Run): Reader => {
  const firstKeys: KeyCache = new WeakMap()
  return {
    get: (name, key, decode) => getOne(opened, name, key, decode),
    getMany: (name, keys, decode) => getEach(opened, name, keys, decode),
    has: (name, key) => run("has", () => opened().databases.get(name)?.getBinaryFast(key) !== undefined),
    read: (name, request) =>
      run("read", () => {
        const { databases, dictionary } = opened()
        return readRange(databases.get(name), request, { dictionary, transaction: undefined, firstKeys })
      }),
    count: (name) => run("count", () => countPresent(opened().databases.get(name)))
  }
}

/** All snapshots share a cache, because few of them read more than one first key. */
const snapshotKeys: KeyCache = new WeakMap()

/**
 * Makes a reader of the state when a read transaction began. In a read transaction, the library counts records one by
 * one. So each count is kept in `counts`, which may already have some.
 */
export const readIn = (opened: Opened, transaction: Transaction, run: Run, counts: Map<string, number>): Reader => {
  const options = { transaction }
  return {
    get: (name, key, decode) => getOne(opened, name, key, decode, options),
    getMany: (name, keys, decode) => getEach(opened, name, keys, decode, options),
    has: (name, key) => run("has", () => opened().databases.get(name)?.getBinaryFast(key, options) !== undefined),
    read: (name, request) =>
      run("read", () => {
        const { databases, dictionary } = opened()
        return readRange(databases.get(name), request, { dictionary, transaction, firstKeys: snapshotKeys })
      }),
    count: (name) =>
      run("count", () => {
        const count = counts.get(name) ?? countRecords(opened().databases.get(name), transaction)
        counts.set(name, count)
        return count
      })
  }
}

/** A reader of a read transaction that several snapshots share. */
export interface SharedReader {
  readonly reader: Reader
  /** Adds a user. */
  readonly share: () => void
  /** Removes a user. Removing the last one ends the transaction. */
  readonly release: () => void
}

/** Makes a shared reader of a read transaction. The caller is its first user. */
export const share = (transaction: { readonly done: () => void }, reader: Reader): SharedReader => {
  let users = 1
  return {
    reader,
    share: () => {
      users++
    },
    release: () => {
      users--
      if (users === 0) transaction.done()
    }
  }
}
