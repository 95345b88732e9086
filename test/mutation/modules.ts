/**
 * The modules that are mutated, and the tests that are to find it out: those that are
 * about a module, not all that come by it, since each mutant runs every test that
 * reaches it until one fails.
 */
export const modules: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["src/Key.ts", ["Key"]],
  ["src/internal/textEncoding.ts", ["Key"]],
  ["src/Value.ts", ["Value", "valueSizes", "checksums", "recordStructures"]],
  ["src/internal/plainWriter.ts", ["plainWriter", "recordStructures"]],
  ["src/internal/plainReader.ts", ["plainReader", "recordStructures"]],
  ["src/internal/messagePack.ts", ["messagePack"]],
  ["src/internal/recordStructures.ts", ["recordStructures"]],
  ["src/internal/structureDefinitions.ts", ["sharedStructures"]],
  ["src/internal/diskRoom.ts", ["diskRoom"]],
  ["src/internal/valueGraph.ts", ["Value"]],
  ["src/internal/writeBuffer.ts", ["writeBuffer", "makingRoom", "rangeReader"]],
  ["src/internal/generation.ts", ["makingRoom", "writeBuffer", "commitFailure"]],
  ["src/internal/writeSet.ts", ["writeSet", "rangeReader"]],
  ["src/internal/rwLock.ts", ["rwLock"]],
  ["src/internal/committer.ts", [
    "committer",
    "growth",
    "makingRoom",
    "commitFailure",
    "closingWrites",
    "observation",
    "otherCommits",
    "changes"
  ]],
  ["src/internal/pendingCommits.ts", [
    "pendingCommits",
    "unitCommits",
    "committer",
    "commitFailure",
    "writeBuffer",
    "observation"
  ]],
  ["src/internal/unitCommits.ts", ["unitCommits", "committer", "transactionCommit", "closingWrites", "commitFailure"]],
  ["src/Range.ts", ["keyRange", "range"]],
  ["src/internal/overlay.ts", ["rangeReader", "transactionNesting"]],
  ["src/internal/rangeReader.ts", ["rangeReader"]],
  ["src/internal/recordStream.ts", ["rangeCut", "recordStream", "rangeFailures", "collectionUndecodable"]],
  ["src/internal/storeRanges.ts", ["rangeCut", "rangeFailures", "changes", "deleteRange"]],
  ["src/internal/lmdbRange.ts", ["engineRange"]],
  ["src/internal/collectionWrites.ts", [
    "collectionWrites",
    "collectionUnique",
    "collectionIndexes",
    "collectionVerify"
  ]],
  ["src/internal/collectionIndexes.ts", ["collectionIndexes", "collectionUnique", "collectionUndecodable"]],
  ["src/internal/collectionRecord.ts", ["collectionRecord"]],
  ["src/internal/collectionVerify.ts", ["collectionVerify"]],
  ["src/internal/orderedBytes.ts", ["orderedKey"]],
  ["src/internal/orderedTuples.ts", ["orderedKey"]],
  ["src/internal/keySchema.ts", ["orderedKey"]],
  ["src/internal/otherCommits.ts", ["otherCommits"]]
])
