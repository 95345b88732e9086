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

/** Makes the method `verify` of a collection. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { access }: StoreInternals,
  { database, indexes, key: keyCodec, value: valueCodec }: Definition<K, V, I>
): Collection<K, V, I>["verify"] => {
  const { core } = access.handle

  /** Reads from the snapshot. Fails with `Closed` if the store was closed since it was opened. */
  const readFrom = <A>(
    { isReleased, reader }: OpenSnapshot,
    read: (reader: Reader) => Effect.Effect<A, EngineFailure>
  ): Effect.Effect<A, Closed | EngineFailure> =>
    Effect.suspend((): Effect.Effect<A, Closed | EngineFailure> =>
      isReleased()
        ? Effect.fail(new Closed({ path: core.options.path, what: "Store" }))
        : read(reader)
    )

  /** Reads a database part by part, and yields to other fibers before each part. */
  const forEachRecord = Effect.fnUntraced(function*<E, R>(
    snapshot: OpenSnapshot,
    name: string,
    use: (record: RangeReader.Part[number]) => Effect.Effect<void, E, R>
  ) {
    const read = RangeReader.make(snapshot.reader, name, {
      from: undefined,
      to: undefined,
      reverse: false,
      values: true
    })
    const readPart = Effect.suspend(() => StoreAccess.whenReadable(access, () => readFrom(snapshot, read)))
    for (;;) {
      yield* Effect.yieldNow
      const part = yield* readPart
      if (part === undefined) return
      yield* Effect.forEach(part, use, { discard: true })
    }
  })

  /** Tests whether an index has an entry for a record under an index key. */
  const isEntered = (
    reader: Reader,
    key: ByteString,
    index: Index<V["Type"], I[keyof I]>,
    indexKey: ByteString
  ): Effect.Effect<boolean, EngineFailure> =>
    Settled.map(
      reader.get(index.database, entryKey(index, indexKey, key), keyOf),
      (holder) => holder !== undefined && (!index.isUnique || holder === key)
    )

  const verifyRecord = Effect.fnUntraced(function*(
    problems: Array<Problem>,
    [key, record]: RangeReader.Part[number],
    snapshot: OpenSnapshot
  ) {
    const shown = keyCodec.show(key)
    const undecodable = (error: { readonly message: string }) => {
      problems.push({ _tag: "Undecodable", key: shown, detail: error.message })
    }
    yield* Effect.match(keyCodec.decode(key), { onFailure: undecodable, onSuccess: () => undefined })
    const value = yield* Effect.result(valueCodec.decode(record, () => ({ key, shownKey: shown })))
    if (Result.isFailure(value)) {
      if (value.failure._tag === "EngineFailure") return yield* value.failure
      return undecodable(value.failure)
    }
    const entries = CollectionRecord.entriesOf(record)
    const entered = new Set(entries.map(CollectionRecord.nameOf))
    for (const index of indexes.values()) {
      const indexKeys = yield* Effect.result(index.keysOf(value.success))
      if (Result.isFailure(indexKeys)) {
        undecodable(indexKeys.failure)
        continue
      }
      const wanted = new Set(indexKeys.success)
      for (const [place, indexKey] of entries) {
        if (place === index.place && !wanted.has(indexKey)) {
          problems.push({ _tag: "StrayEntry", key: shown, index: index.name, indexKey: index.key.show(indexKey) })
        }
      }
      for (const indexKey of indexKeys.success) {
        const isThere = yield* readFrom(snapshot, (reader) => isEntered(reader, key, index, indexKey))
        if (!isThere || !entered.has(CollectionRecord.nameOf([index.place, indexKey]))) {
          problems.push({ _tag: "MissingEntry", key: shown, index: index.name, indexKey: index.key.show(indexKey) })
        }
      }
    }
  })

  const verify = Effect.fnUntraced(function*(snapshot: OpenSnapshot) {
    const problems: Array<Problem> = []
    yield* forEachRecord(snapshot, database, (record) => verifyRecord(problems, record, snapshot))
    for (const index of indexes.values()) {
      yield* forEachRecord(snapshot, index.database, (entry) =>
        Effect.gen(function*() {
          const key = Result.getOrUndefined(recordKeyOf(index, entry))
          const entries = key === undefined
            ? undefined
            : yield* readFrom(snapshot, (reader) => reader.get(database, key, CollectionRecord.entriesOf))
          const isBacked = key !== undefined && entries !== undefined &&
            entries.some(([place, indexKey]) => place === index.place && entryKey(index, indexKey, key) === entry[0])
          if (!isBacked) {
            problems.push({
              _tag: "StrayEntry",
              key: key === undefined ? "" : keyCodec.show(key),
              index: index.name,
              indexKey: index.key.show(entry[0])
            })
          }
        }))
    }
    return problems
  })

  return Effect.scoped(Effect.flatMap(
    StoreAccess.enter(access, () =>
      Effect.andThen(
        core.backend.beforeSnapshot,
        Effect.suspend(() =>
          StoreAccess.whenReadable(access, () =>
            Effect.acquireRelease(
              Effect.suspend(core.openSnapshot),
              (snapshot) => Effect.sync(snapshot.release)
            ))
        )
      )),
    verify
  ))
}
