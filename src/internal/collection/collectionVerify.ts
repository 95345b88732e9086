/**
 * Verifies a collection: decodes every record, and compares the records with the entries of the indexes.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Reader } from "../../Backend.ts"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { Collection, Problem } from "../../CollectionService.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import { Closed, type EngineFailure } from "../../StoreError.ts"
import { keyOf } from "../engineBytes.ts"
import type { OpenSnapshot } from "../reader/openSnapshot.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import * as Settled from "../settled.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import type { StoreInternals } from "../store/storeInternals.ts"
import type { Definition, Index } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import { entryKey } from "./indexMaintainer.ts"
import { recordKeyOf } from "./indexReads.ts"

type StoredRecord = RangeReader.Part[number]

/** A verification that is running. */
interface Verification<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> {
  readonly access: StoreAccess.StoreAccess
  readonly definition: Definition<K, V, I>
  readonly snapshot: OpenSnapshot
  /** The problems that were found so far. */
  readonly problems: Array<Problem>
}

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

/** Reads from the snapshot. Fails with `Closed` if the store was closed after the verification began. */
const readFrom = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, A>(
  { access, snapshot: { isReleased, reader } }: Verification<K, V, I>,
  read: (reader: Reader) => Effect.Effect<A, EngineFailure>
): Effect.Effect<A, Closed | EngineFailure> =>
  Effect.suspend((): Effect.Effect<A, Closed | EngineFailure> =>
    isReleased()
      ? Effect.fail(new Closed({ path: access.handle.core.options.path, what: "Store" }))
      : read(reader)
  )

/** Reads a database part by part, and yields to other fibers before each part. */
const forEachRecord = Effect.fnUntraced(
  function*<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, E, R>(
    self: Verification<K, V, I>,
    database: string,
    use: (record: StoredRecord) => Effect.Effect<void, E, R>
  ) {
    const read = RangeReader.make(self.snapshot.reader, database, {
      from: undefined,
      to: undefined,
      reverse: false,
      values: true
    })
    const readPart = Effect.suspend(() => StoreAccess.whenReadable(self.access, () => readFrom(self, read)))
    for (;;) {
      yield* Effect.yieldNow
      const part = yield* readPart
      if (part === undefined) return
      yield* Effect.forEach(part, use, { discard: true })
    }
  }
)

// ---------------------------------------------------------------------------
// records
// ---------------------------------------------------------------------------

/** Tests whether an index has an entry for a record under an index key. */
const hasEntry = <Value, IK extends KeySchema>(
  reader: Reader,
  index: Index<Value, IK>,
  indexKey: ByteString,
  key: ByteString
): Effect.Effect<boolean, EngineFailure> =>
  Settled.map(
    reader.get(index.database, entryKey(index, indexKey, key), keyOf),
    (holder) => holder !== undefined && (!index.isUnique || holder === key)
  )

/** Compares the entries that a record names for an index, and the entries in the index, with the keys of its value. */
const compareEntries = Effect.fnUntraced(
  function*<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
    self: Verification<K, V, I>,
    index: Index<V["Type"], I[keyof I]>,
    key: ByteString,
    entries: ReadonlyArray<CollectionRecord.IndexEntry>,
    indexKeys: ReadonlyArray<ByteString>
  ) {
    const shown = self.definition.key.show(key)
    const computed = new Set(indexKeys)
    const stored = new Set(entries.flatMap(([slot, indexKey]) => slot === index.slot ? [indexKey] : []))
    for (const indexKey of stored) {
      if (!computed.has(indexKey)) {
        self.problems.push({ _tag: "StrayEntry", key: shown, index: index.name, indexKey: index.key.show(indexKey) })
      }
    }
    for (const indexKey of indexKeys) {
      const isEntered = yield* readFrom(self, (reader) => hasEntry(reader, index, indexKey, key))
      if (!isEntered || !stored.has(indexKey)) {
        self.problems.push({ _tag: "MissingEntry", key: shown, index: index.name, indexKey: index.key.show(indexKey) })
      }
    }
  }
)

/** Decodes a record, and compares it with its index entries. */
const verifyRecord = Effect.fnUntraced(
  function*<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
    self: Verification<K, V, I>,
    [key, record]: StoredRecord
  ) {
    const { indexes, key: keyCodec, value: valueCodec } = self.definition
    const shownKey = keyCodec.show(key)
    const reportUndecodable = (error: { readonly message: string }): void => {
      self.problems.push({ _tag: "Undecodable", key: shownKey, detail: error.message })
    }
    yield* Effect.match(keyCodec.decode(key), { onFailure: reportUndecodable, onSuccess: () => undefined })
    const value = yield* Effect.result(valueCodec.decode(record, () => ({ key, shownKey })))
    if (Result.isFailure(value)) {
      if (value.failure._tag === "EngineFailure") return yield* value.failure
      return reportUndecodable(value.failure)
    }
    const entries = CollectionRecord.entriesOf(record)
    for (const index of indexes.values()) {
      const indexKeys = yield* Effect.result(index.keysOf(value.success))
      if (Result.isFailure(indexKeys)) reportUndecodable(indexKeys.failure)
      else yield* compareEntries(self, index, key, entries, indexKeys.success)
    }
  }
)

// ---------------------------------------------------------------------------
// index entries
// ---------------------------------------------------------------------------

/** Finds the record that an index entry refers to, and tests whether it names this entry. */
const verifyEntry = Effect.fnUntraced(
  function*<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
    self: Verification<K, V, I>,
    index: Index<V["Type"], I[keyof I]>,
    entry: StoredRecord
  ) {
    const { database, key: keyCodec } = self.definition
    const key = Result.getOrUndefined(recordKeyOf(index, entry))
    const entries = key === undefined
      ? undefined
      : yield* readFrom(self, (reader) => reader.get(database, key, CollectionRecord.entriesOf))
    const isNamed = key !== undefined && entries !== undefined &&
      entries.some(([slot, indexKey]) => slot === index.slot && entryKey(index, indexKey, key) === entry[0])
    if (isNamed) return
    self.problems.push({
      _tag: "StrayEntry",
      key: key === undefined ? "" : keyCodec.show(key),
      index: index.name,
      indexKey: index.key.show(entry[0])
    })
  }
)

// ---------------------------------------------------------------------------
// the collection
// ---------------------------------------------------------------------------

const verify = Effect.fnUntraced(
  function*<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
    self: Verification<K, V, I>
  ) {
    const { database, indexes } = self.definition
    yield* forEachRecord(self, database, (record) => verifyRecord(self, record))
    for (const index of indexes.values()) {
      yield* forEachRecord(self, index.database, (entry) => verifyEntry(self, index, entry))
    }
    return self.problems
  }
)

/** Opens a snapshot of the store, also inside a transaction. It is released with the scope. */
const openSnapshot = (access: StoreAccess.StoreAccess) =>
  StoreAccess.enter(access, () => {
    const { core } = access.handle
    const open = Effect.acquireRelease(
      Effect.suspend(core.openSnapshot),
      (snapshot) => Effect.sync(snapshot.release)
    )
    return Effect.andThen(
      core.backend.beforeSnapshot,
      Effect.suspend(() => StoreAccess.whenReadable(access, () => open))
    )
  })

/** Makes the method `verify` of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { access }: StoreInternals,
  definition: Definition<K, V, I>
): Collection<K, V, I>["verify"] =>
  Effect.scoped(Effect.flatMap(
    openSnapshot(access),
    (snapshot) => verify({ access, definition, snapshot, problems: [] })
  ))
