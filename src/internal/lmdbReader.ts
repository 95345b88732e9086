/**
 * Reads the databases of a file in the way of the library: as they are at present, or
 * in a read transaction that stays as it is.
 */
import * as Result from "effect/Result"
import type { Reader } from "../Engine.ts"
import type { ByteString } from "../Key.ts"
import type { EngineFailure } from "../StoreError.ts"
import { figure } from "./lmdbFigures.ts"
import { countRecords, type Readable, readRange } from "./lmdbRange.ts"

/** A database of the library. `T` is a read transaction of it. */
interface ReadableDatabase<T> extends Readable<T> {
  readonly getBinaryFast: (key: ByteString, options?: { readonly transaction: T }) => Uint8Array | undefined
  readonly getStats: () => object
}

/** Runs a call of the library, whose every error is an `EngineFailure`. */
type Run = <A>(operation: string, call: () => A) => Result.Result<A, EngineFailure>

type Databases<T> = () => ReadonlyMap<string, ReadableDatabase<T>>

/** How many records a database has at present. */
export const countPresent = (database: { readonly getStats: () => object } | undefined): number =>
  database === undefined ? 0 : figure(database.getStats(), "entryCount")

/** Reads what there is at present; inside of a write transaction what that has written. */
export const readPresent = <T>(databases: Databases<T>, run: Run): Reader => ({
  get: (name, key) => run("get", () => databases().get(name)?.getBinaryFast(key)),
  has: (name, key) => run("has", () => databases().get(name)?.getBinaryFast(key) !== undefined),
  read: (name, request) => run("read", () => readRange(databases().get(name), request, undefined)),
  count: (name) => run("count", () => countPresent(databases().get(name)))
})

/**
 * Reads what there was when a read transaction began. The library counts records one by
 * one then, so that `counts`, which has those that are known, keeps them.
 */
export const readIn = <T>(databases: Databases<T>, transaction: T, run: Run, counts: Map<string, number>): Reader => {
  const options = { transaction }
  return {
    get: (name, key) => run("get", () => databases().get(name)?.getBinaryFast(key, options)),
    has: (name, key) => run("has", () => databases().get(name)?.getBinaryFast(key, options) !== undefined),
    read: (name, request) => run("read", () => readRange(databases().get(name), request, transaction)),
    count: (name) =>
      run("count", () => {
        const count = counts.get(name) ?? countRecords(databases().get(name), transaction)
        counts.set(name, count)
        return count
      })
  }
}

/** A reader of a read transaction that several share. */
export interface SharedReader {
  readonly reader: Reader
  /** Joins those who share it. */
  readonly share: () => void
  /** Gives it up for one of those who share it: the last one ends the transaction. */
  readonly release: () => void
}

/** Shares a read transaction, at first with its maker alone. */
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
