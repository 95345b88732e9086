/**
 * Assembles the methods of a collection.
 */
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { Collection } from "../../CollectionService.ts"
import type { KeySchema } from "../../KeySchema.ts"
import * as BatchWrites from "./batchWrites.ts"
import * as CollectionChanges from "./collectionChanges.ts"
import { decodeValue } from "./collectionDefinition.ts"
import * as CollectionModify from "./collectionModify.ts"
import type { CollectionWriter } from "./collectionWriter.ts"
import * as RangeReads from "./rangeReads.ts"
import * as RecordRanges from "./recordRanges.ts"
import * as RecordReads from "./recordReads.ts"
import * as RecordWrites from "./recordWrites.ts"

/** Makes the methods of a collection that read and write its records. */
export const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionWriter<K, V, I>
): Omit<Collection<K, V, I>, "name" | "indexes" | "rebuildIndexes" | "verify"> => {
  const source = RecordRanges.sourceOf(self)
  const deleteKeys = BatchWrites.deleteKeys(self)
  return {
    get: (key) => RecordReads.get(self, key),
    getOrFail: (key) => RecordReads.getOrFail(self, key),
    has: (key) => RecordReads.has(self, key),
    getMany: (keys) => RecordReads.getMany(self, keys),
    size: RecordReads.size(self),
    ...RecordRanges.make(self, source),
    put: (key, value, options) => RecordWrites.put(self, key, value, options),
    insert: (key, value, options) => RecordWrites.insert(self, key, value, options),
    delete: (key, options) => RecordWrites.deleteKey(self, key, options),
    deleteOrFail: (key, options) => RecordWrites.deleteOrFail(self, key, options),
    update: (key, f, options) => CollectionModify.update(self, key, f, options),
    updateOrFail: (key, f, options) => CollectionModify.updateOrFail(self, key, f, options),
    modify: (key, f, options) => CollectionModify.modify(self, key, f, options),
    modifyEffect: (key, f) => CollectionModify.modifyEffect(self, key, f),
    patch: (key, fields, options) => CollectionModify.patch(self, key, fields, options),
    putMany: (entries) => BatchWrites.putMany(self, entries),
    insertMany: (entries) => BatchWrites.insertMany(self, entries),
    deleteMany: (keys) => BatchWrites.deleteMany(self, keys),
    deleteRange: (range) => deleteKeys(range, RangeReads.recordKeys(source, range)),
    clear: BatchWrites.clear(self),
    ...CollectionChanges.make(
      self.access,
      self.definition,
      (key, record) => decodeValue(self.definition, key, record)
    )
  }
}
