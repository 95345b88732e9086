/**
 * The modules that are mutated, and the tests that are to find it out: those that are
 * about a module, not all that come by it, since each mutant runs every test that
 * reaches it until one fails.
 */
export const modules: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["src/Key.ts", ["key/keyCodec"]],
  ["src/internal/key/keyCodec.ts", ["key/keyCodec"]],
  ["src/internal/key/textEncoding.ts", ["key/keyCodec"]],
  ["src/internal/value/valueCodec.ts", [
    "value/valueCodec",
    "value/valueSizes",
    "lmdb/checksums",
    "value/recordStructures"
  ]],
  ["src/internal/value/plainWriter.ts", ["value/plainWriter", "value/recordStructures"]],
  ["src/internal/value/plainReader.ts", ["value/plainReader", "value/recordStructures"]],
  ["src/internal/value/messagePack.ts", ["value/messagePack"]],
  ["src/internal/value/recordStructures.ts", ["value/recordStructures"]],
  ["src/internal/commit/structureTable.ts", ["commit/structureTable"]],
  ["src/internal/lmdb/diskSpace.ts", ["lmdb/diskSpace"]],
  ["src/internal/value/valueGraph.ts", ["value/valueCodec"]],
  ["src/internal/buffer/writeBuffer.ts", ["buffer/writeBuffer", "lmdb/reclaim", "reader/rangeReader"]],
  ["src/internal/buffer/memtable.ts", ["lmdb/reclaim", "buffer/writeBuffer", "commit/commitFailure"]],
  ["src/internal/buffer/writeSet.ts", ["buffer/writeSet", "reader/rangeReader"]],
  ["src/internal/buffer/versionedWrites.ts", ["buffer/versionedWrites"]],
  ["src/internal/commit/nextState.ts", ["transaction/sharedCommits"]],
  ["src/internal/lmdb/readersWriterLock.ts", ["lmdb/readersWriterLock"]],
  ["src/internal/commit/committer.ts", [
    "commit/committer",
    "lmdb/growth",
    "lmdb/reclaim",
    "commit/commitFailure",
    "store/closingWrites",
    "store/observation",
    "commit/foreignCommits",
    "store/changes"
  ]],
  ["src/internal/commit/commitQueue.ts", [
    "commit/commitQueue",
    "commit/groupCommit",
    "commit/committer",
    "commit/commitFailure",
    "buffer/writeBuffer",
    "store/observation"
  ]],
  ["src/internal/commit/groupCommit.ts", [
    "commit/groupCommit",
    "commit/committer",
    "transaction/commit",
    "store/closingWrites",
    "commit/commitFailure"
  ]],
  ["src/internal/key/keyRange.ts", ["key/keyRange", "store/range/range"]],
  ["src/internal/reader/overlay.ts", ["reader/rangeReader", "transaction/nesting"]],
  ["src/internal/reader/rangeReader.ts", ["reader/rangeReader"]],
  ["src/internal/store/recordStream.ts", [
    "store/range/offsetAndLimit",
    "store/range/recordStream",
    "store/range/rangeFailures",
    "collection/undecodable"
  ]],
  ["src/internal/store/rangeMethods.ts", [
    "store/range/offsetAndLimit",
    "store/range/rangeFailures",
    "store/changes",
    "store/deleteRange"
  ]],
  ["src/internal/lmdb/lmdbRange.ts", ["backend/engineRange"]],
  ["src/internal/collection/indexMaintainer.ts", [
    "collection/writes",
    "collection/unique",
    "collection/indexes",
    "collection/collectionVerify"
  ]],
  ["src/internal/collection/recordEncoding.ts", [
    "collection/writes",
    "collection/indexes",
    "collection/expiry",
    "lmdb/largeValues"
  ]],
  ["src/internal/collection/indexReads.ts", ["collection/indexes", "collection/unique", "collection/undecodable"]],
  ["src/internal/collection/collectionRecord.ts", ["collection/record"]],
  ["src/internal/collection/collectionVerify.ts", ["collection/collectionVerify"]],
  ["src/internal/key/orderedScalars.ts", ["key/orderedKey"]],
  ["src/internal/key/orderedTuples.ts", ["key/orderedKey"]],
  ["src/internal/key/orderedKeyCodec.ts", ["key/orderedKey"]],
  ["src/internal/commit/foreignCommits.ts", ["commit/foreignCommits"]]
])
