/**
 * Reads everything that a store contains, for comparisons: all databases, with the values decoded.
 */
import * as Effect from "effect/Effect"
import type { StoreService } from "../../src/index.ts"
import * as StructureTable from "../../src/internal/commit/structureTable.ts"
import {
  catalogDatabase,
  changeLogDatabase,
  expiryDatabase,
  hasRecords,
  metaDatabase,
  structuresDatabase
} from "../../src/internal/databases.ts"
import * as RecordLayout from "../../src/internal/reader/recordLayout.ts"
import * as StoreAccess from "../../src/internal/store/storeAccess.ts"
import * as StoreInternals from "../../src/internal/store/storeInternals.ts"

/** Databases that differ between stores with the same records: the number of a structure is chosen by the first write. */
const leftOut: ReadonlySet<string> = new Set([metaDatabase, structuresDatabase, changeLogDatabase])

const everything = {
  from: undefined,
  to: undefined,
  reverse: false,
  values: true,
  maxRecords: Infinity,
  maxBytes: Infinity
}

/** The records of all databases that have some. */
export const storedContents = Effect.fnUntraced(function*(store: StoreService) {
  const { access } = StoreInternals.of(store)
  const { backend, structures } = access.handle.core
  yield* store.flush
  const contents: Record<string, ReadonlyArray<ReadonlyArray<unknown>>> = {}
  for (const database of (yield* backend.databases()).toSorted()) {
    if (leftOut.has(database)) continue
    const { records } = yield* StoreAccess.readLive(access, (reader) => reader.read(database, everything))
    const decode = (bytes: Uint8Array) =>
      StructureTable.decode(structures, bytes, () => ({ key: database, shownKey: database })).pipe(
        Effect.match({ onFailure: ({ message }): unknown => ({ message }), onSuccess: (value) => value })
      )
    // It is created by the first record that expires, or by the opening of a collection whose records can.
    if (database === expiryDatabase && records.length === 0) continue
    const isDecoded = hasRecords(database) || database === catalogDatabase
    contents[database] = yield* Effect.forEach(
      records,
      ([key, bytes]): Effect.Effect<ReadonlyArray<unknown>> =>
        isDecoded
          ? Effect.map(decode(RecordLayout.valueOf(bytes)), (value) => [
            key,
            RecordLayout.entriesOf(bytes),
            RecordLayout.timeOf(bytes),
            value
          ])
          : Effect.succeed([key, Buffer.from(bytes).toString("hex")])
    )
  }
  return contents
})
