/**
 * The methods of a store that read and write single records, for one of its holders.
 *
 * `get`, `has`, `put` and `delete` are one effect each when nothing is in their way.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Reader, Write } from "../../Engine.ts"
import type { Entries, Found, ListOf } from "../../Entries.ts"
import type { ByteString, Key } from "../../Key.ts"
import {
  type Closed,
  type CommitError,
  type EngineFailure,
  type KeyEncoding,
  KeyNotFound,
  type ReadOnly,
  type ShownKey,
  type ValueDecoding,
  ValueEncoding
} from "../../StoreError.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import { conditional, type Step } from "../commit/groupCommit.ts"
import * as PendingWrites from "../commit/pendingWrites.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { recordsDatabase } from "../databases.ts"
import { copyOf, isSameValue } from "../engineBytes.ts"
import * as CallArguments from "../key/callArguments.ts"
import type { Transaction } from "../transaction/transaction.ts"
import type { Holder, StoreAccess } from "./storeAccess.ts"

const isIterable = (entries: Entries): entries is Iterable<readonly [Key, unknown]> => Symbol.iterator in entries

const write = (key: ByteString, value: Uint8Array | null): ReadonlyArray<Write> => [[recordsDatabase, key, value]]

const hasValue = (key: ByteString, reader: Reader) => Effect.fromResult(reader.has(recordsDatabase, key))

/** Makes the methods of one holder. */
export const make = ({ core, keys, options }: Holder, access: StoreAccess) => {
  const { buffer, environment, structures } = core
  const { path } = options
  const { decode } = access

  /** A key for an error about it. */
  const shown = (key: Key): ShownKey<Key> => ({ key, shownKey: keys.show(key) })

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  const isPending = (key: ByteString): boolean => buffer.get(recordsDatabase, key) !== undefined

  /** Reads and decodes; `none` tells a missing value from a stored `undefined`. */
  const find = (
    reader: Reader,
    key: ByteString,
    given: Key
  ): Result.Result<Option.Option<unknown>, ValueDecoding<Key> | EngineFailure> => {
    const bytes = reader.get(recordsDatabase, key)
    if (Result.isFailure(bytes)) return Result.fail(bytes.failure)
    return bytes.success === undefined ? Result.succeedNone : Result.map(decode(key, bytes.success, given), Option.some)
  }

  const readKey = <A, E>(
    key: Key,
    use: (key: ByteString, reader: Reader) => Effect.Effect<A, E>,
    flush?: boolean
  ): Effect.Effect<A, E | Closed | KeyEncoding> =>
    Effect.withFiber((fiber): Effect.Effect<A, E | Closed | KeyEncoding> => {
      const encoded = keys.encode(key)
      const reader = flush === undefined ? access.readerAtOnce(fiber) : undefined
      if (Result.isFailure(encoded)) return access.enter(() => Effect.fail(encoded.failure))
      const bytes = encoded.success
      return reader === undefined
        ? access.read((other) => use(bytes, other), flush, () => isPending(bytes))
        : use(bytes, reader)
    })

  const get = (key: Key) => readKey(key, (bytes, reader) => Effect.fromResult(find(reader, bytes, key)))

  const getOrFail = (key: Key) =>
    readKey(key, (bytes, reader): Effect.Effect<unknown, ValueDecoding<Key> | EngineFailure | KeyNotFound<Key>> => {
      const value = find(reader, bytes, key)
      if (Result.isFailure(value)) return Effect.fail(value.failure)
      return Option.isSome(value.success)
        ? Effect.succeed(value.success.value)
        : Effect.fail(new KeyNotFound(shown(key)))
    })

  const has = (key: Key, hasOptions?: { readonly flush?: boolean | undefined }) =>
    hasOptions === undefined
      ? readKey(key, hasValue)
      : access.enter(() =>
        Effect.andThen(
          CallArguments.checked("the options of has", hasOptions, CallArguments.hasChecks),
          Effect.suspend(() => readKey(key, hasValue, hasOptions.flush))
        )
      )

  const readAll = <K extends Key>(
    reader: Reader,
    wanted: ReadonlyArray<readonly [name: K, key: ByteString]>
  ): Result.Result<Found<K>, ValueDecoding<Key> | EngineFailure> => {
    const found = new Map<K, unknown>()
    const missing: Array<K> = []
    for (const [name, key] of wanted) {
      const bytes = reader.get(recordsDatabase, key)
      if (Result.isFailure(bytes)) return Result.fail(bytes.failure)
      if (bytes.success === undefined) {
        missing.push(name)
        continue
      }
      const value = decode(key, bytes.success, name)
      if (Result.isFailure(value)) return Result.fail(value.failure)
      // A key that is wanted twice keeps its first place.
      found.set(name, value.success)
    }
    return Result.succeed({ found, missing })
  }

  const getAll = <K extends Key, N extends Key>(
    wanted: ListOf<K>,
    nameOf: (given: K, key: ByteString) => Result.Result<N, KeyEncoding>
  ) =>
    access.enter((): Effect.Effect<Found<N>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure> => {
      const noList = CallArguments.notAList("keys", wanted)
      if (noList !== undefined) return Effect.fail(noList)
      const named: Array<readonly [N, ByteString]> = []
      for (const given of wanted) {
        const key = keys.encode(given)
        if (Result.isFailure(key)) return Effect.fail(key.failure)
        const name = nameOf(given, key.success)
        if (Result.isFailure(name)) return Effect.fail(name.failure)
        named.push([name.success, key.success])
      }
      return access.read(
        (reader) => Effect.fromResult(readAll(reader, named)),
        options.autoFlushOnRead,
        () => named.every(([, key]) => isPending(key))
      )
    })

  type GetManyError = KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure

  function getMany(
    wanted: ListOf<Key>,
    manyOptions: { readonly decodeKeys: true }
  ): Effect.Effect<Found<string>, GetManyError>
  function getMany<K extends Key>(
    wanted: ListOf<K>,
    manyOptions?: { readonly decodeKeys?: false | undefined }
  ): Effect.Effect<Found<K>, GetManyError>
  function getMany<K extends Key>(
    wanted: ListOf<K>,
    manyOptions?: { readonly decodeKeys?: boolean | undefined }
  ): Effect.Effect<Found<string> | Found<K>, GetManyError> {
    if (manyOptions === undefined) return getAll(wanted, Result.succeed)
    return Effect.andThen(
      CallArguments.checked("the options of getMany", manyOptions, CallArguments.getManyChecks),
      Effect.suspend((): Effect.Effect<Found<string> | Found<K>, GetManyError> =>
        manyOptions.decodeKeys === true
          ? getAll(wanted, (_, key) => keys.decode(key))
          : getAll(wanted, Result.succeed)
      )
    )
  }

  const size = access.read((reader) => Effect.fromResult(reader.count(recordsDatabase)))

  // Observes only: a commit would change what it tells.
  const stats = access.enter(() =>
    access.whenReadable(() =>
      Effect.fromResult(Result.flatMap(
        environment.stats(),
        (stored) =>
          Result.map(core.live.count(recordsDatabase), (entries) => ({
            ...stored,
            entries,
            maxMapSize: Option.fromUndefinedOr(options.maxMapSize),
            pending: buffer.size,
            pendingBytes: buffer.bytes,
            snapshots: core.openSnapshots()
          }))
      ))
    )
  )

  // ---------------------------------------------------------------------------
  // writing
  // ---------------------------------------------------------------------------

  const writeKey = <A, E>(
    key: Key,
    use: (key: ByteString, transaction: Transaction | undefined) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | Closed | ReadOnly | KeyEncoding> =>
    access.enterToWrite((transaction): Effect.Effect<A, E | KeyEncoding> => {
      const bytes = keys.encode(key)
      return Result.isSuccess(bytes) ? use(bytes.success, transaction) : Effect.fail(bytes.failure)
    })

  const encode = (
    key: Key,
    value: unknown,
    batch?: StructureTable.BatchEncoder
  ): Result.Result<Uint8Array, ValueEncoding<Key>> =>
    Result.mapError(
      batch === undefined ? StructureTable.encode(structures, value) : StructureTable.encodeInBatch(batch, value),
      (failure) => StructureTable.encodingError(failure, shown(key))
    )

  const put = (key: Key, value: unknown) =>
    writeKey(key, (bytes, transaction): Effect.Effect<void, ValueEncoding<Key> | CommitError | Closed> => {
      const encoded = encode(key, value)
      return Result.isSuccess(encoded)
        ? access.write(transaction, write(bytes, encoded.success))
        : Effect.fail(encoded.failure)
    })

  const deleteKey = (key: Key) => writeKey(key, (bytes, transaction) => access.remove(transaction, write(bytes, null)))

  const deleteOrFail = (key: Key) =>
    writeKey(
      key,
      (bytes, transaction) =>
        access.exactRemovingStep(
          transaction,
          (reader): Result.Result<Step<void>, EngineFailure | KeyNotFound<Key>> =>
            Result.flatMap(reader.has(recordsDatabase, bytes), (exists) =>
              exists
                ? Result.succeed({ result: undefined, writes: write(bytes, null) })
                : Result.fail(new KeyNotFound(shown(key)))),
          () => [recordsDatabase, bytes, null]
        )
    )

  type UpdateError = ValueEncoding<Key> | ValueDecoding<Key> | EngineFailure
  type Update = (current: Option.Option<unknown>) => Option.Option<unknown>
  type UpdateStep = (reader: Reader) => Result.Result<Step<Option.Option<unknown>>, UpdateError>

  const updating = (key: Key, bytes: ByteString, f: Update): UpdateStep => (reader) => {
    const current = find(reader, bytes, key)
    if (Result.isFailure(current)) return Result.fail(current.failure)
    const given = CallArguments.nextOf(f, current.success)
    if (Result.isFailure(given)) {
      return Result.fail(new ValueEncoding({ ...shown(key), detail: given.failure }))
    }
    const next = given.success
    if (Option.isSome(next)) {
      return Result.map(encode(key, next.value), (encoded) => ({ result: next, writes: write(bytes, encoded) }))
    }
    return Result.succeed({ result: next, writes: Option.isNone(current.success) ? [] : write(bytes, null) })
  }

  /** The same, but what was computed is not computed again from the same bytes. */
  const updatingOnce = (key: Key, bytes: ByteString, f: Update): UpdateStep => {
    const compute = updating(key, bytes, f)
    let last: { readonly from: Uint8Array | undefined; readonly taken: ReturnType<UpdateStep> } | undefined
    return (reader) => {
      const stored = reader.get(recordsDatabase, bytes)
      if (Result.isFailure(stored)) return Result.fail(stored.failure)
      if (last === undefined || !isSameValue(last.from, stored.success)) {
        const from = stored.success === undefined ? undefined : copyOf(stored.success)
        last = { from, taken: compute(reader) }
      }
      return last.taken
    }
  }

  const update = (key: Key, f: Update) =>
    writeKey(key, (bytes, transaction) => {
      const step = (options.shared ? updatingOnce : updating)(key, bytes, f)
      // Runs the function before the transaction, for which other processes wait: in it the function is run again
      // only where the value is another. That also decides whether what failed by an older value fails.
      const expected = (reader: Reader): Write => {
        const taken = Result.flatMap(Result.try(() => step(reader)), (result) => result)
        return Result.getOrUndefined(taken)?.writes[0] ?? [recordsDatabase, bytes, null]
      }
      return access.exactStep(transaction, step, expected)
    })

  /** Encodes the values of a batch again, without the structures that it defines. */
  const withoutDefinitions = (writes: WriteSet, batch: StructureTable.BatchEncoder): WriteSet => {
    const encoded = new WriteSet()
    for (const [key, bytes] of writes.entriesOf(recordsDatabase)) {
      if (bytes === null) encoded.set(recordsDatabase, key, null)
      else {
        const value = Result.getOrThrow(StructureTable.decodeInBatch(batch, bytes))
        encoded.set(recordsDatabase, key, Result.getOrThrow(StructureTable.encode(structures, value)))
      }
    }
    return encoded
  }

  const writeWithDefinitions = (
    writes: WriteSet,
    batch: StructureTable.BatchEncoder
  ): Effect.Effect<void, CommitError | Closed> => {
    for (const definition of StructureTable.batchDefinitions(batch)) writes.set(...definition)
    const holds = (present: Reader) => StructureTable.validateBatch(batch, present)
    return Effect.onExit(
      access.submit(conditional(writes, holds)),
      (exit) => Effect.sync(() => StructureTable.endBatch(batch, Exit.isSuccess(exit) && exit.value))
    ).pipe(
      Effect.flatMap((isMade) => isMade ? Effect.void : access.writeAll(undefined, withoutDefinitions(writes, batch)))
    )
  }

  const putMany = (entries: Entries) =>
    access.enterToWrite((transaction): Effect.Effect<void, KeyEncoding | ValueEncoding<Key> | CommitError | Closed> => {
      const wrong = CallArguments.notEntries(entries)
      if (wrong !== undefined) return Effect.fail(wrong)
      const writes = new WriteSet()
      // Structures that a transaction defines would be known to that transaction alone.
      const batch = transaction === undefined ? StructureTable.beginBatch(structures) : undefined
      const fail = <E>(error: E): Effect.Effect<never, E> => {
        if (batch !== undefined) StructureTable.endBatch(batch, false)
        return Effect.fail(error)
      }
      for (const entry of isIterable(entries) ? entries : Object.entries(entries)) {
        const noPair = CallArguments.notAPair(entry)
        if (noPair !== undefined) return fail(noPair)
        const [key, value] = entry
        const bytes = keys.encode(key)
        if (Result.isFailure(bytes)) return fail(bytes.failure)
        const encoded = encode(key, value, batch)
        if (Result.isFailure(encoded)) return fail(encoded.failure)
        writes.set(recordsDatabase, bytes.success, encoded.success)
      }
      return batch !== undefined && StructureTable.hasDefinitions(batch)
        ? writeWithDefinitions(writes, batch)
        : access.writeAll(transaction, writes)
    })

  const deleteMany = (unwanted: ListOf<Key>) =>
    access.enterToWrite((transaction): Effect.Effect<void, KeyEncoding | CommitError | Closed> => {
      const noList = CallArguments.notAList("keys", unwanted)
      if (noList !== undefined) return Effect.fail(noList)
      const writes = new WriteSet()
      for (const key of unwanted) {
        const bytes = keys.encode(key)
        if (Result.isFailure(bytes)) return Effect.fail(bytes.failure)
        writes.set(recordsDatabase, bytes.success, null)
      }
      return access.writeAll(transaction, writes)
    })

  const clear = access.enterToWrite((transaction) => {
    const writes = new WriteSet()
    writes.clear(recordsDatabase)
    return access.writeAll(transaction, writes)
  })

  const backup = (target: string, backupOptions?: { readonly compact?: boolean | undefined }) =>
    access.enter((): Effect.Effect<void, CommitError | Closed> => {
      const problem = CallArguments.backupProblem(target, backupOptions)
      if (problem !== undefined) return Effect.fail(CallArguments.badCall("backup", problem))
      const compact = backupOptions?.compact === true
      const copy = core.whileReadable(environment.backup(target, { compact }))
      return options.readOnly ? copy : Effect.andThen(PendingWrites.flush(core.queue), copy)
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
    size,
    clear,
    flush: access.enterToWrite(() => PendingWrites.flush(core.queue)),
    stats,
    backup
  }
}
