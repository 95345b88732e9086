/**
 * The methods of a collection that read and write its records.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Reader, Step } from "../../Backend.ts"
import { KeyExists } from "../../CollectionError.ts"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { ReadOne } from "../../CollectionRange.ts"
import type { Collection, UniqueViolationOf } from "../../CollectionService.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import {
  Closed,
  type CommitError,
  type EngineFailure,
  type KeyEncoding,
  KeyNotFound,
  type ReadOnly,
  type ShownKey,
  type ValueDecoding
} from "../../StoreError.ts"
import type { WriteOptions } from "../../WriteOptions.ts"
import { fromWrites, WriteSet } from "../buffer/writeSet.ts"
import { copyOf } from "../engineBytes.ts"
import * as CallArguments from "../key/callArguments.ts"
import * as Settled from "../settled.ts"
import * as DurableWrites from "../store/durableWrites.ts"
import * as RecordStream from "../store/recordStream.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import type { StoreInternals } from "../store/storeInternals.ts"
import type { Transaction } from "../transaction/transaction.ts"
import * as CollectionChanges from "./collectionChanges.ts"
import { type Definition, findRecord, ifCurrent, refusalOf } from "./collectionDefinition.ts"
import * as CollectionModify from "./collectionModify.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import * as CollectionUpdate from "./collectionUpdate.ts"
import * as IndexMaintainer from "./indexMaintainer.ts"
import type { DeleteKeys } from "./indexReads.ts"
import * as RangeReads from "./rangeReads.ts"
import * as RecordEncoding from "./recordEncoding.ts"
import * as TypedRanges from "./typedRanges.ts"
import * as UniqueViolations from "./uniqueViolation.ts"

type Entries = ReadonlyArray<CollectionRecord.IndexEntry>

const anything = () => Exit.void

type CollectionMethods<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> = Omit<
  Collection<K, V, I>,
  "name" | "indexes" | "rebuildIndexes" | "verify"
>

/** Makes the methods of a collection, and what deletes ranges of it. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  internals: StoreInternals,
  definition: Definition<K, V, I>,
  maintainer: IndexMaintainer.IndexMaintainer,
  services: Context.Context<UniqueViolations.KeyServices<K, I>>
): { readonly methods: CollectionMethods<K, V, I>; readonly deleteKeys: DeleteKeys } => {
  const { access, transactions } = internals
  const { database, expires, indexes, key: keyCodec, name, value: valueCodec } = definition
  const { core } = access.handle
  const { shared } = core.options
  const hasIndexes = indexes.size > 0
  /** Whether the commit decides every write of a record, so that unique indexes are exact across processes. */
  const isAlwaysExact = shared && [...indexes.values()].some(({ isUnique }) => isUnique)

  /** Begins a write, unless the collection was opened by another definition since. */
  const enterToWrite = <A, E, R>(
    use: (transaction: Transaction | undefined) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Closed | ReadOnly, R> =>
    StoreAccess.enterToWrite(access, (transaction) => ifCurrent(definition, core, () => use(transaction)))

  /** A key for an error about it. */
  const shown = (key: K["Type"], bytes: ByteString): ShownKey<K["Type"]> => ({ key, shownKey: keyCodec.show(bytes) })

  const notFound = (key: K["Type"], bytes: ByteString) => new KeyNotFound({ ...shown(key, bytes), collection: name })

  const violation = UniqueViolations.make(definition, services)

  const failTaken: typeof violation = (taken, key) => {
    core.counts.uniqueViolations++
    return violation(taken, key)
  }

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  const isPending = (key: ByteString): boolean => core.backend.isPending(database, key)

  const decodeValue = (key: ByteString, record: Uint8Array) => valueCodec.decode(record, () => keyCodec.stored(key))

  /** Begins a call with the bytes of a key. */
  const withKey = <A, E, R>(
    key: K["Type"],
    use: (bytes: ByteString) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | KeyEncoding, R | K["EncodingServices"]> =>
    Effect.suspend(() => Settled.flatMap(keyCodec.encode(key), use))

  /** Reads by a key, and goes on with what was found. */
  const readKey = <F, E, A, E2, R>(
    key: K["Type"],
    find: (reader: Reader, bytes: ByteString) => Effect.Effect<F, E>,
    use: (found: F, bytes: ByteString) => Effect.Effect<A, E2, R>
  ): Effect.Effect<A, E | E2 | KeyEncoding | Closed | EngineFailure, R | K["EncodingServices"]> =>
    Effect.withFiber((fiber) =>
      Settled.flatMap(keyCodec.encode(key), (bytes) =>
        StoreAccess.find(
          access,
          fiber,
          (reader) => find(reader, bytes),
          (found) => use(found, bytes),
          { isPending: () => isPending(bytes) }
        ))
    )

  const findEncoded = (key: K["Type"]) => (reader: Reader, bytes: ByteString) =>
    findRecord(definition, reader, bytes, () => shown(key, bytes))

  const decodeEncoded = (key: K["Type"], bytes: ByteString, encoded: unknown) =>
    valueCodec.decodeEncoded(encoded, () => shown(key, bytes))

  const get: Collection<K, V, I>["get"] = (key) =>
    readKey(
      key,
      findEncoded(key),
      (found, bytes) =>
        found === undefined ? Effect.succeedNone : Settled.map(decodeEncoded(key, bytes, found.encoded), Option.some)
    )

  type NoValue = ValueDecoding<K["Type"]> | KeyNotFound<K["Type"]>

  const getOrFail: Collection<K, V, I>["getOrFail"] = (key) =>
    readKey(
      key,
      findEncoded(key),
      (found, bytes): Effect.Effect<V["Type"], NoValue, V["DecodingServices"]> =>
        found === undefined ? Effect.fail(notFound(key, bytes)) : decodeEncoded(key, bytes, found.encoded)
    )

  const has: Collection<K, V, I>["has"] = (key) =>
    readKey(key, (reader, bytes) => reader.has(database, bytes), Effect.succeed)

  const getMany: Collection<K, V, I>["getMany"] = Effect.fnUntraced(function*(wanted) {
    const noList = CallArguments.notAList("keys", wanted, name)
    if (noList !== undefined) return yield* noList
    const named: Array<readonly [K["Type"], ByteString]> = []
    for (const key of wanted) named.push([key, yield* keyCodec.encode(key)])
    const records = yield* StoreAccess.read(
      access,
      (reader) => reader.getMany(database, named.map(([, key]) => key), (record) => copyOf(record))
    )
    const found = new Map<K["Type"], V["Type"]>()
    const missing: Array<K["Type"]> = []
    for (const [at, [name_, key]] of named.entries()) {
      const record = records[at]
      if (record === undefined) missing.push(name_)
      else if (!found.has(name_)) found.set(name_, yield* valueCodec.decode(record, () => shown(name_, key)))
    }
    return { found, missing }
  })

  // ---------------------------------------------------------------------------
  // writing
  // ---------------------------------------------------------------------------

  /** Runs a write by the options of its call. */
  const byOptions = <A, E, R>(method: string, options: WriteOptions | undefined, write: Effect.Effect<A, E, R>) =>
    options === undefined ? write : DurableWrites.run(internals, { name: method, options, collection: name }, write)

  /** A step that may be run when another definition has opened the collection since it was asked for. */
  const current = <A, E>(step: StoreAccess.TakeStep<A, E>): StoreAccess.TakeStep<A, E | Closed> => (reader) => {
    const refused = refusalOf(definition, core)
    return refused === undefined ? step(reader) : Exit.fail(refused)
  }

  /** Keeps a record; `check` says whether what is there may be written over. */
  const putRecord = <E>(
    transaction: Transaction | undefined,
    key: K["Type"],
    record: RecordEncoding.EncodedRecord,
    check: (old: Entries | undefined) => Exit.Exit<void, E>,
    isExact: boolean
  ): Effect.Effect<void, E | UniqueViolationOf<K, I> | KeyEncoding | CommitError | Closed> => {
    const step = (reader: Reader): Effect.Effect<Step<void>, E | IndexMaintainer.Taken | EngineFailure> =>
      Settled.flatMap(
        reader.get(database, record.key, CollectionRecord.entriesOf),
        (old) =>
          Settled.flatMap(
            check(old),
            () =>
              Settled.map(
                IndexMaintainer.toPut(maintainer, reader, record, old),
                (all) => ({ result: undefined, writes: all })
              )
          )
      )
    return UniqueViolations.telling(
      isExact
        ? StoreAccess.step(access, transaction, current(step), { exact: () => [database, record.key, record.bytes] })
        : StoreAccess.step(access, transaction, step),
      (taken) => failTaken(taken, shown(key, record.key))
    )
  }

  const encodeRecord = (key: K["Type"], value: ValueInput<V>) =>
    withKey(key, (bytes) => RecordEncoding.encode(definition, bytes, value, () => shown(key, bytes)))

  const put: Collection<K, V, I>["put"] = (key, value, options) =>
    Effect.flatMap(encodeRecord(key, value), (record) =>
      byOptions(
        "put",
        options,
        enterToWrite((transaction) =>
          hasIndexes || expires !== undefined
            ? putRecord(transaction, key, record, anything, isAlwaysExact)
            : StoreAccess.write(access, transaction, [[database, record.key, record.bytes]])
        )
      ))

  /** Refuses to write over a record. */
  const absent = (key: K["Type"], record: RecordEncoding.EncodedRecord) => (old: Entries | undefined) =>
    old === undefined ? Exit.void : Exit.fail(new KeyExists({ ...shown(key, record.key), collection: name }))

  const insert: Collection<K, V, I>["insert"] = (key, value, options) =>
    Effect.flatMap(encodeRecord(key, value), (record) => {
      const inserting = enterToWrite((transaction) => putRecord(transaction, key, record, absent(key, record), shared))
      return byOptions("insert", options, inserting)
    })

  /** The step that deletes a record, where there is one. */
  const removal = (reader: Reader, key: ByteString): Effect.Effect<Step<boolean>, EngineFailure> =>
    Settled.flatMap(reader.get(database, key, CollectionRecord.entriesOf), (old): Effect.Effect<
      Step<boolean>,
      EngineFailure
    > =>
      old === undefined
        ? Exit.succeed({ result: false, writes: [] })
        : Settled.map(IndexMaintainer.toDelete(maintainer, reader, key, old), (all) => ({ result: true, writes: all })))

  const removeRecord = (
    transaction: Transaction | undefined,
    key: ByteString,
    isExact: boolean
  ): Effect.Effect<boolean, CommitError | Closed> => {
    const step = (reader: Reader) => removal(reader, key)
    return isExact
      ? StoreAccess.step(access, transaction, current(step), {
        isDeleting: true,
        exact: () => [database, key, null]
      })
      : StoreAccess.step(access, transaction, step, { isDeleting: true })
  }

  const deleteKey: Collection<K, V, I>["delete"] = (key, options) =>
    withKey(key, (bytes) =>
      byOptions(
        "delete",
        options,
        enterToWrite((transaction) =>
          hasIndexes
            ? Effect.asVoid(removeRecord(transaction, bytes, isAlwaysExact))
            : StoreAccess.remove(access, transaction, [[database, bytes, null]])
        )
      ))

  const deleteOrFail: Collection<K, V, I>["deleteOrFail"] = (key, options) =>
    withKey(key, (bytes) => {
      const removing = enterToWrite((transaction) =>
        Effect.flatMap(
          removeRecord(transaction, bytes, shared),
          (wasThere) => wasThere ? Effect.void : Effect.fail(notFound(key, bytes))
        )
      )
      return byOptions("deleteOrFail", options, removing)
    })

  const updateBy = CollectionUpdate.make(access, definition, maintainer, {
    current,
    enterToWrite,
    failTaken,
    removal
  })

  const encodeRecords = Effect.fnUntraced(function*(entries: Iterable<readonly [K["Type"], ValueInput<V>]>) {
    const noList = CallArguments.notAList("entries", entries, name)
    if (noList !== undefined) return yield* noList
    const records: Array<readonly [K["Type"], RecordEncoding.EncodedRecord]> = []
    for (const entry of entries) {
      const noPair = CallArguments.notAPair(entry, name)
      if (noPair !== undefined) return yield* noPair
      records.push([entry[0], yield* encodeRecord(...entry)])
    }
    return records
  })

  /** Keeps records in one transaction, in their order. */
  const putRecords = <E>(
    records: ReadonlyArray<readonly [K["Type"], RecordEncoding.EncodedRecord]>,
    checkOf: (key: K["Type"], record: RecordEncoding.EncodedRecord) => (old: Entries | undefined) => Exit.Exit<void, E>
  ) =>
    transactions.withTransaction(
      enterToWrite((transaction) =>
        Effect.forEach(records, ([key, record]) => putRecord(transaction, key, record, checkOf(key, record), false), {
          discard: true
        })
      )
    )

  const insertMany: Collection<K, V, I>["insertMany"] = (entries) =>
    Effect.flatMap(encodeRecords(entries), (records) => putRecords(records, absent))

  const putMany: Collection<K, V, I>["putMany"] = Effect.fnUntraced(function*(entries) {
    const records = yield* encodeRecords(entries)
    if (!hasIndexes && expires === undefined) {
      const all = fromWrites(records.map(([, { bytes, key }]) => [database, key, bytes]))
      return yield* enterToWrite((transaction) => StoreAccess.writeAll(access, transaction, all))
    }
    yield* putRecords(records, () => anything)
  })

  const deleteMany: Collection<K, V, I>["deleteMany"] = Effect.fnUntraced(function*(unwanted) {
    const noList = CallArguments.notAList("keys", unwanted, name)
    if (noList !== undefined) return yield* noList
    const keys: Array<ByteString> = []
    for (const key of unwanted) keys.push(yield* keyCodec.encode(key))
    if (!hasIndexes) {
      const all = fromWrites(keys.map((key) => [database, key, null]))
      return yield* enterToWrite((transaction) => StoreAccess.writeAll(access, transaction, all))
    }
    yield* transactions.withTransaction(
      enterToWrite((transaction) =>
        Effect.forEach(keys, (key) => removeRecord(transaction, key, false), { discard: true })
      )
    )
  })

  const clear = enterToWrite((transaction) => {
    const all = new WriteSet()
    all.clear(database)
    for (const index of indexes.values()) all.clear(index.database)
    return StoreAccess.writeAll(access, transaction, all)
  })

  // ---------------------------------------------------------------------------
  // ranges
  // ---------------------------------------------------------------------------

  const source: TypedRanges.Source<K> = {
    open: (options, resolve) => RecordStream.open(access, options, resolve),
    find: (search, use) => Effect.withFiber((fiber) => StoreAccess.find(access, fiber, search, use)),
    locate: (part) => Exit.succeed(part.map((record): TypedRanges.Located => ({ entry: record[0], record }))),
    name,
    database,
    codec: keyCodec,
    isPart: false,
    keys: { values: false, resolve: RecordStream.itself },
    records: { values: true, resolve: RecordStream.itself }
  }

  const reads = TypedRanges.makeReads<K, K, V>(source, keyCodec, ([key, record]) => decodeValue(key, record))

  const decodeEntry = ([bytes, record]: RecordStream.StoredRecord) =>
    Settled.flatMap(
      keyCodec.decode(bytes),
      (key) => Settled.map(decodeValue(bytes, record), (value) => [key, value] as const)
    )

  const readOne = (reverse: boolean): ReadOne<K, K, V> => (range = {}) =>
    RangeReads.end(source, range, reverse, decodeEntry)

  const deleteKeys: DeleteKeys = (range, keys) => {
    const refused = CallArguments.emptyPrefix(range)
    if (refused !== undefined) return Effect.fail(refused)
    const checked = Effect.andThen(CallArguments.checked("the range", range, CallArguments.deleteChecks, name), keys)
    return transactions.withTransaction(
      Effect.flatMap(checked, (unwanted) =>
        enterToWrite((transaction) =>
          Effect.as(
            Effect.forEach(unwanted, (key) => removeRecord(transaction, key, false), { discard: true }),
            unwanted.length
          )
        ))
    )
  }

  const methods: CollectionMethods<K, V, I> = {
    get,
    getOrFail,
    has,
    getMany,
    put,
    insert,
    update: (key, f, options) => byOptions("update", options, updateBy(key, (found) => CallArguments.nextOf(f, found))),
    ...CollectionModify.make({
      definition,
      transactions,
      updateBy,
      byOptions,
      methods: { get, put, delete: deleteKey }
    }),
    insertMany,
    delete: deleteKey,
    deleteOrFail,
    putMany,
    deleteMany,
    clear,
    ...reads,
    first: readOne(false),
    last: readOne(true),
    page: (range) =>
      RangeReads.page(source, range, (record) => Effect.map(decodeEntry(record), ([key, value]) => ({ key, value }))),
    deleteRange: (range) => deleteKeys(range, RangeReads.recordKeys(source, range)),
    size: StoreAccess.read(access, (reader) => reader.count(database)),
    ...CollectionChanges.make(access, definition, decodeValue)
  }
  return { methods, deleteKeys }
}
