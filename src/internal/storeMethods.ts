/**
 * The methods of a store for one of its holders.
 *
 * `get`, `has`, `put` and `delete` are one effect each when nothing is in their
 * way: JavaScript between two suspensions is a step of its own, so they take no
 * permit. What may be in their way is looked at first: a closed store, an
 * environment that is being resized, a full buffer.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Write } from "../Engine.ts"
import type { Entries, Found } from "../Entries.ts"
import type { ByteString, Key } from "../Key.ts"
import {
  type Closed,
  type EngineFailure,
  type KeyEncoding,
  KeyNotFound,
  type ReadOnly,
  type ValueDecoding,
  ValueEncoding
} from "../StoreError.ts"
import type { CommitError } from "./committer.ts"
import * as StoreAccess from "./storeAccess.ts"
import type { Holder } from "./storeAccess.ts"

const isIterable = (entries: Entries): entries is Iterable<readonly [Key, unknown]> => Symbol.iterator in entries

/** Makes the methods of one holder. */
export const make = (holder: Holder) => {
  const { core, isClosed } = holder
  const { buffer, environment, keys, options, values } = core
  const { path } = options
  const { closed, decode, whenReadable, whenWritable } = StoreAccess.make(holder)

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  /** The bytes under a key, from the pending writes or else from the environment. */
  const find = (key: ByteString): Result.Result<Uint8Array | undefined, EngineFailure> => {
    const pending = buffer.get(key)
    return pending === undefined ? environment.get(key) : Result.succeed(pending ?? undefined)
  }

  /** Reads and decodes; `none` tells a missing value from a stored `undefined`. */
  const read = (key: ByteString): Result.Result<Option.Option<unknown>, ValueDecoding | EngineFailure> => {
    const bytes = find(key)
    if (Result.isFailure(bytes)) return Result.fail(bytes.failure)
    return bytes.success === undefined ? Result.succeedNone : Result.map(decode(key, bytes.success), Option.some)
  }

  const readKey = <A, E>(
    key: Key,
    use: (key: ByteString) => Effect.Effect<A, E>,
    flush = options.autoFlushOnRead
  ): Effect.Effect<A, E | Closed | KeyEncoding> =>
    Effect.suspend((): Effect.Effect<A, E | Closed | KeyEncoding> => {
      if (isClosed()) return closed
      const encoded = keys.encode(key)
      if (Result.isFailure(encoded)) return Effect.fail(encoded.failure)
      const bytes = encoded.success
      return whenReadable(() => buffer.get(bytes) !== undefined, flush, () => use(bytes))
    })

  const get = (key: Key) => readKey(key, (bytes) => Effect.fromResult(read(bytes)))

  const getOrFail = (key: Key) =>
    readKey(key, (bytes): Effect.Effect<unknown, ValueDecoding | EngineFailure | KeyNotFound> => {
      const value = read(bytes)
      if (Result.isFailure(value)) return Effect.fail(value.failure)
      return Option.isSome(value.success)
        ? Effect.succeed(value.success.value)
        : Effect.fail(new KeyNotFound({ key: keys.show(key) }))
    })

  const exists = (key: ByteString): Result.Result<boolean, EngineFailure> => {
    const pending = buffer.get(key)
    return pending === undefined ? environment.has(key) : Result.succeed(pending !== null)
  }

  const has = (key: Key, hasOptions?: { readonly flush?: boolean | undefined }) =>
    readKey(key, (bytes) => Effect.fromResult(exists(bytes)), hasOptions?.flush)

  const readAll = <K extends Key>(
    wanted: ReadonlyArray<readonly [name: K, key: ByteString]>
  ): Result.Result<Found<K>, ValueDecoding | EngineFailure> => {
    const found = new Map<K, unknown>()
    const missing: Array<K> = []
    for (const [name, key] of wanted) {
      if (found.has(name)) continue
      const value = read(key)
      if (Result.isFailure(value)) return Result.fail(value.failure)
      if (Option.isSome(value.success)) found.set(name, value.success.value)
      else missing.push(name)
    }
    return Result.succeed({ found, missing })
  }

  const getAll = <K extends Key, N extends Key>(
    wanted: Iterable<K>,
    nameOf: (given: K, key: ByteString) => Result.Result<N, KeyEncoding>
  ) =>
    Effect.suspend((): Effect.Effect<Found<N>, KeyEncoding | ValueDecoding | Closed | EngineFailure> => {
      if (isClosed()) return closed
      const named: Array<readonly [N, ByteString]> = []
      for (const given of wanted) {
        const key = keys.encode(given)
        if (Result.isFailure(key)) return Effect.fail(key.failure)
        const name = nameOf(given, key.success)
        if (Result.isFailure(name)) return Effect.fail(name.failure)
        named.push([name.success, key.success])
      }
      return whenReadable(
        () => named.every(([, key]) => buffer.get(key) !== undefined),
        options.autoFlushOnRead,
        () => Effect.fromResult(readAll(named))
      )
    })

  type GetManyError = KeyEncoding | ValueDecoding | Closed | EngineFailure

  function getMany(
    wanted: Iterable<Key>,
    manyOptions: { readonly decodeKeys: true }
  ): Effect.Effect<Found<string>, GetManyError>
  function getMany<K extends Key>(
    wanted: Iterable<K>,
    manyOptions?: { readonly decodeKeys?: false | undefined }
  ): Effect.Effect<Found<K>, GetManyError>
  function getMany<K extends Key>(
    wanted: Iterable<K>,
    manyOptions?: { readonly decodeKeys?: boolean | undefined }
  ): Effect.Effect<Found<string> | Found<K>, GetManyError> {
    return manyOptions?.decodeKeys === true
      ? getAll(wanted, (_, key) => keys.decode(key))
      : getAll(wanted, Result.succeed)
  }

  /** What is stored, with the pending writes counted as if they were. */
  const countEntries = (stored: number): Result.Result<number, EngineFailure> => {
    let count = stored
    for (const [key, value] of buffer.entries()) {
      const isStored = environment.has(key)
      if (Result.isFailure(isStored)) return Result.fail(isStored.failure)
      count += (value === null ? 0 : 1) - (isStored.success ? 1 : 0)
    }
    return Result.succeed(count)
  }

  const figures = Effect.suspend(() => {
    if (isClosed()) return closed
    return whenReadable(() => false, options.autoFlushOnRead, () =>
      Effect.fromResult(Result.flatMap(
        environment.stats(),
        (stored) => Result.map(countEntries(stored.entries), (entries) => ({ ...stored, entries }))
      )))
  })

  const stats = Effect.map(figures, (stored) => ({
    ...stored,
    maxMapSize: Option.fromUndefinedOr(options.maxMapSize),
    pending: buffer.size(),
    pendingBytes: buffer.bytes(),
    snapshots: core.openSnapshots()
  }))

  // ---------------------------------------------------------------------------
  // writing
  // ---------------------------------------------------------------------------

  const writeKey = <A, E>(
    key: Key,
    use: (key: ByteString) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | Closed | ReadOnly | KeyEncoding> =>
    whenWritable((): Effect.Effect<A, E | KeyEncoding> => {
      const bytes = keys.encode(key)
      return Result.isSuccess(bytes) ? use(bytes.success) : Effect.fail(bytes.failure)
    })

  const encode = (key: Key, value: unknown): Result.Result<Uint8Array, ValueEncoding> =>
    Result.mapError(values.encode(value), (failure) => new ValueEncoding({ key: keys.show(key), ...failure }))

  const putBytes = (key: ByteString, value: Uint8Array): Effect.Effect<void, CommitError | Closed> => {
    const unreported = core.takeUnreported()
    if (unreported !== undefined) return Effect.fail(unreported)
    if (buffer.accepts(key, value)) {
      core.write(key, value)
      return Effect.void
    }
    return Effect.andThen(core.awaitRoom, Effect.suspend(() => isClosed() ? closed : putBytes(key, value)))
  }

  const put = (key: Key, value: unknown) =>
    writeKey(key, (bytes): Effect.Effect<void, ValueEncoding | CommitError | Closed> => {
      const encoded = encode(key, value)
      return Result.isSuccess(encoded) ? putBytes(bytes, encoded.success) : Effect.fail(encoded.failure)
    })

  /**
   * A deletion is always taken, at most after the commit that runs: when nothing
   * fits any more it is the way out.
   */
  const deleteBytes = (key: ByteString): Effect.Effect<void, Closed> => {
    if (buffer.acceptsDeletion(key)) {
      core.write(key, null)
      return Effect.void
    }
    return Effect.andThen(core.awaitCommitting, Effect.suspend(() => isClosed() ? closed : deleteBytes(key)))
  }

  const deleteKey = (key: Key) => writeKey(key, deleteBytes)

  /** What came of an attempt to read and write in one step, or what it has to wait for before the next. */
  type Attempt<A, E> = { readonly result: Result.Result<A, E> } | { readonly wait: Effect.Effect<void, E> }

  /** Attempts until there is a result. Nothing waits while the environment is held open for it. */
  const attemptUntilDone = <A, E>(attempt: () => Attempt<A, E>): Effect.Effect<A, E | Closed> =>
    Effect.flatMap(
      // Unlike a read, a write that came before the close may be too late for the last commit by now.
      whenReadable(() => true, false, () => Effect.suspend(() => isClosed() ? closed : Effect.succeed(attempt()))),
      (outcome): Effect.Effect<A, E | Closed> =>
        "result" in outcome
          ? Effect.fromResult(outcome.result)
          : Effect.andThen(outcome.wait, Effect.suspend(() => isClosed() ? closed : attemptUntilDone(attempt)))
    )

  const deleteOrFail = (key: Key) =>
    writeKey(key, (bytes) =>
      attemptUntilDone((): Attempt<void, EngineFailure | KeyNotFound> => {
        const isThere = exists(bytes)
        if (Result.isFailure(isThere)) return { result: Result.fail(isThere.failure) }
        if (!isThere.success) return { result: Result.fail(new KeyNotFound({ key: keys.show(key) })) }
        if (!buffer.acceptsDeletion(bytes)) return { wait: core.awaitCommitting }
        core.write(bytes, null)
        return { result: Result.succeed(undefined) }
      }))

  type UpdateError = ValueEncoding | ValueDecoding | CommitError

  const update = (key: Key, f: (current: Option.Option<unknown>) => Option.Option<unknown>) =>
    writeKey(key, (bytes) =>
      attemptUntilDone((): Attempt<Option.Option<unknown>, UpdateError> => {
        const unreported = core.takeUnreported()
        if (unreported !== undefined) return { result: Result.fail(unreported) }
        // What is committed over this key is seen by nobody yet.
        if (core.isInUnit(bytes)) return { wait: core.awaitUnit }
        const current = read(bytes)
        if (Result.isFailure(current)) return { result: Result.fail(current.failure) }
        const next = f(current.success)
        if (Option.isNone(next) && Option.isNone(current.success)) return { result: Result.succeed(next) }
        const encoded = Option.isNone(next) ? Result.succeed(null) : encode(key, next.value)
        if (Result.isFailure(encoded)) return { result: Result.fail(encoded.failure) }
        const write = encoded.success
        if (write === null && !buffer.acceptsDeletion(bytes)) return { wait: core.awaitCommitting }
        if (write !== null && !buffer.accepts(bytes, write)) return { wait: core.awaitRoom }
        core.write(bytes, write)
        return { result: Result.succeed(next) }
      }))

  const putMany = (entries: Entries) =>
    whenWritable((): Effect.Effect<void, KeyEncoding | ValueEncoding | CommitError> => {
      const writes = new Map<ByteString, Uint8Array>()
      for (const [key, value] of isIterable(entries) ? entries : Object.entries(entries)) {
        const bytes = keys.encode(key)
        if (Result.isFailure(bytes)) return Effect.fail(bytes.failure)
        const encoded = encode(key, value)
        if (Result.isFailure(encoded)) return Effect.fail(encoded.failure)
        writes.set(bytes.success, encoded.success)
      }
      return writes.size === 0 ? Effect.void : core.commitUnit([...writes])
    })

  const deleteMany = (unwanted: Iterable<Key>) =>
    whenWritable((): Effect.Effect<void, KeyEncoding | CommitError> => {
      const writes = new Map<ByteString, null>()
      for (const key of unwanted) {
        const bytes = keys.encode(key)
        if (Result.isFailure(bytes)) return Effect.fail(bytes.failure)
        writes.set(bytes.success, null)
      }
      return writes.size === 0 ? Effect.void : core.commitUnit([...writes] satisfies ReadonlyArray<Write>)
    })

  const backup = (target: string, backupOptions?: { readonly compact?: boolean | undefined }) =>
    Effect.suspend((): Effect.Effect<void, Closed | CommitError> => {
      if (isClosed()) return closed
      const compact = backupOptions?.compact === true
      const copy = core.whileReadable(environment.backup(target, { compact }))
      return options.readOnly ? copy : Effect.andThen(core.flush, copy)
    }).pipe(Effect.withSpan("Store.backup", { attributes: { path } }))

  return {
    put,
    get,
    getOrFail,
    has,
    delete: deleteKey,
    deleteOrFail,
    update,
    putMany,
    getMany,
    deleteMany,
    size: Effect.map(figures, (stored) => stored.entries),
    clear: whenWritable(() => core.clear),
    flush: whenWritable(() => core.flush),
    stats,
    backup
  }
}
