/** What a batch that does not fit leaves on disk, and which deletions may go ahead of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { cpSync } from "node:fs"
import { join } from "node:path"
import { EngineFull, type Write } from "../../src/Engine.ts"
import { type PutOptions, Store } from "../../src/index.ts"
import * as Memtable from "../../src/internal/buffer/memtable.ts"
import * as WriteBuffer from "../../src/internal/buffer/writeBuffer.ts"
import { fromWrites, qualifiedKey } from "../../src/internal/buffer/writeSet.ts"
import * as StoreAccess from "../../src/internal/store/storeAccess.ts"
import * as StoreInternals from "../../src/internal/store/storeInternals.ts"
import { ByteString } from "../../src/Key.ts"
import { swept } from "../support/expiring.ts"
import { faultyStore, temporaryFolder, until, withLog, withStore } from "../support/harness.ts"

const text = (length: number): string => "x".repeat(length)

/** Opens what a crash at this moment would leave. */
const afterCrash = Effect.fnUntraced(function*(path: string, keys: ReadonlyArray<string>) {
  const copy = join(yield* temporaryFolder, "copy")
  cpSync(path, copy, { recursive: true })
  const { missing } = yield* withStore({ path: copy }, (store) => store.getMany(keys))
  return missing
})

describe("making room", () => {
  it.effect("a value that moves to another key is not lost when the batch does not fit and the process dies", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({
        path,
        maxMapSize: "1 MiB",
        flushInterval: "Infinity",
        closeFailure: "log"
      })
      yield* store.putMany({ source: text(400_000) })
      yield* store.put("target", text(700_000))
      yield* store.delete("source")
      assert.strictEqual((yield* Effect.flip(store.flush))._tag, "MapFull")
      assert.deepStrictEqual(yield* afterCrash(path, ["source", "target"]), ["target"])
    }))

  it.effect("a deletion after MapFull is committed first, and the waiting value follows", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, maxMapSize: "1 MiB", flushInterval: "Infinity" })
      yield* store.putMany({ large: text(600_000) })
      yield* store.put("waiting", text(500_000))
      assert.strictEqual((yield* Effect.flip(store.flush))._tag, "MapFull")
      yield* store.delete("large")
      yield* store.flush
      assert.deepStrictEqual(yield* afterCrash(path, ["large", "waiting"]), ["large"])
    }))
})

describe("the sweeper of a full file", () => {
  const openFull = Effect.fnUntraced(function*(large?: PutOptions) {
    const path = yield* temporaryFolder
    const store = yield* Store.make({ path, maxMapSize: "1 MiB", flushInterval: "Infinity", closeFailure: "log" })
    yield* store.put("overwritten", "old", { ttl: "1 minute" })
    yield* store.put("large", text(600_000), large)
    yield* store.flush
    // From now on it does not expire, and the entry that says when it expires is still there.
    yield* store.put("overwritten", text(500_000))
    assert.strictEqual((yield* Effect.flip(store.flush))._tag, "MapFull")
    return { path, store }
  })

  it.effect("keeps the expiry entry of a record until its overwrite is on disk", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { path, store } = yield* openFull()
        yield* TestClock.adjust("61 seconds")
        yield* until(() => log.length > 0)
        yield* swept(store, 0)
        assert.isTrue(yield* store.has("overwritten"))
        assert.deepStrictEqual(yield* afterCrash(path, ["overwritten"]), ["overwritten"])
      })
    ))

  it.effect("deletes other expired records, after which the overwrite fits", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openFull({ ttl: "1 minute" })
      yield* TestClock.adjust("61 seconds")
      yield* swept(store, 1)
      yield* store.flush
      assert.deepStrictEqual(yield* afterCrash(path, ["overwritten", "large"]), ["large"])
    }))
})

describe("deletions that make room", () => {
  const records = "records"
  const [a, b, c] = [ByteString("a"), ByteString("b"), ByteString("c")]

  it("are marked until a value replaces them, also after a failed commit restores them", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 1000 })
    buffer.write([[records, a, null]], true)
    buffer.write([[records, b, null]], true)
    buffer.write([[records, c, null]], false)
    const memtable = buffer.seal(0)
    buffer.write([[records, b, Uint8Array.of(1)]], true)
    buffer.restore()
    assert.deepStrictEqual([...buffer.active.freeing], [qualifiedKey(records, a)])
    assert.deepStrictEqual(Array.from(buffer.active.writes, ([, key]) => key), [a, b, c])
    assert.strictEqual(memtable?.freeing.has(qualifiedKey(records, b)), true)
  })

  it("and writes that are already on disk leave the flushing memtable, with their bytes", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 1000 })
    buffer.write([[records, a, Uint8Array.of(1, 2)]], false)
    buffer.write([[records, b, null]], true)
    buffer.seal(0)
    assert.strictEqual(buffer.bytes, 4)
    buffer.applied({ clear: [], writes: [[records, a, null], [records, c, null]] })
    assert.strictEqual(buffer.bytes, 1)
    assert.strictEqual(buffer.size, 1)
    buffer.applied({ clear: [records], writes: [] })
    assert.strictEqual(buffer.size, 0)
    assert.isUndefined(buffer.get(records, a))
  })
})

const write = (name: string, isDeletion: boolean): Write => [
  "records",
  ByteString(name),
  isDeletion ? null : Uint8Array.of(1)
]

const deleting = (...names: ReadonlyArray<string>) => names.map((name) => write(name, true))

const putting = (...names: ReadonlyArray<string>) => names.map((name) => write(name, false))

const namesOf = (groups: ReadonlyArray<ReadonlyArray<Write>>) =>
  groups.map((group) => group.map(([, key]) => String(key)).toSorted())

const aheadOf = (buffer: WriteBuffer.WriteBuffer) => namesOf(Memtable.deletionsAhead(buffer.active))

const makeBuffer = () => new WriteBuffer.WriteBuffer({ batchSize: 100, batchBytes: 10_000 })

interface ModelGeneration {
  readonly writes: Map<string, { readonly isDeletion: boolean; readonly isFreeing: boolean }>
  readonly groups: Array<ReadonlySet<string>>
}

const emptyModel = (): ModelGeneration => ({ writes: new Map(), groups: [] })

/** Joins groups as long as any two have a name in common. */
const joined = (groups: ReadonlyArray<ReadonlySet<string>>): ReadonlyArray<ReadonlySet<string>> => {
  for (const [index, one] of groups.entries()) {
    const other = groups.findIndex((group, at) => at > index && [...group].some((name) => one.has(name)))
    if (other >= 0) {
      const rest = groups.filter((_, at) => at !== index && at !== other)
      return joined([new Set([...one, ...groups[other] ?? []]), ...rest])
    }
  }
  return groups
}

const aheadOfModel = ({ groups, writes }: ModelGeneration): ReadonlyArray<ReadonlyArray<string>> => {
  const hasOnlyDeletions = [...writes.values()].every(({ isDeletion }) => isDeletion)
  const isAhead = (name: string): boolean => {
    const found = writes.get(name)
    return found !== undefined && found.isDeletion && (hasOnlyDeletions || found.isFreeing)
  }
  return joined([...groups, ...Array.from(writes.keys(), (name) => new Set([name]))])
    .map((group) => [...group].toSorted())
    .filter((group) => group.every(isAhead))
}

const Name = Schema.Literals(["a", "b", "c", "d", "e", "f", "g", "h"])

const Step = Schema.Union([
  Schema.Struct({
    writes: Schema.Array(Schema.Tuple([Name, Schema.Literals([true, true, true, false])])).check(
      Schema.isBetweenLength(1, 3)
    ),
    freeing: Schema.Boolean
  }),
  Schema.Literals(["commit", "fail"])
])

describe("deletions that belong together", () => {
  it("are committed first as a whole, or not at all if one of them is not a deletion that makes room", () => {
    const buffer = makeBuffer()
    buffer.write(putting("value"), true)
    buffer.write(deleting("a", "b"), true)
    buffer.write([...deleting("c"), ...putting("d")], true)
    buffer.write(deleting("e", "f"), false)
    buffer.write(deleting("g"), true)
    assert.deepStrictEqual(aheadOf(buffer), [["a", "b"], ["g"]])
    buffer.write(putting("b"), true)
    assert.deepStrictEqual(aheadOf(buffer), [["g"]])
    buffer.write(deleting("b"), false)
    assert.deepStrictEqual(aheadOf(buffer), [["g"]])
    buffer.write(deleting("b"), true)
    assert.deepStrictEqual(aheadOf(buffer), [["a", "b"], ["g"]])
  })

  it("become one group with all writes that share a key with them", () => {
    const buffer = makeBuffer()
    buffer.write(putting("value"), true)
    buffer.write(deleting("a", "b"), true)
    buffer.write(deleting("c", "d"), true)
    assert.deepStrictEqual(aheadOf(buffer), [["a", "b"], ["c", "d"]])
    buffer.write(deleting("b", "c"), true)
    assert.deepStrictEqual(aheadOf(buffer), [["a", "b", "c", "d"]])
    buffer.write(putting("d", "e"), true)
    assert.deepStrictEqual(aheadOf(buffer), [])
  })

  it("are all committed first if there is nothing else, and those without an atomic unit one by one", () => {
    const buffer = makeBuffer()
    buffer.write(deleting("a", "b"), false)
    buffer.write(deleting("c"), false)
    assert.deepStrictEqual(aheadOf(buffer), [["a", "b"], ["c"]])
  })

  it("are separate from the part of their group that is already on disk", () => {
    const buffer = makeBuffer()
    buffer.write([...deleting("a", "b"), ...putting("c")], true)
    const memtable = buffer.seal(0)
    assert(memtable !== undefined)
    assert.deepStrictEqual(Memtable.deletionsAhead(memtable), [])
    buffer.applied({ clear: [], writes: [["records", ByteString("c"), null]] })
    buffer.applied({ clear: [], writes: [["records", ByteString("b"), null]] })
    assert.deepStrictEqual(namesOf(Memtable.deletionsAhead(memtable)), [["a"]])
  })

  it.effect.prop(
    "are found after any sequence of writes, commits and restores",
    { steps: Schema.Array(Step).check(Schema.isBetweenLength(1, 20)) },
    ({ steps }) =>
      Effect.sync(() => {
        const buffer = makeBuffer()
        let filling = emptyModel()
        let committing: ModelGeneration | undefined
        for (const step of steps) {
          if (typeof step === "object") {
            const group = new Map(step.writes)
            buffer.write(Array.from(group, ([name, isDeletion]) => write(name, isDeletion)), step.freeing)
            for (const [name, isDeletion] of group) filling.writes.set(name, { isDeletion, isFreeing: step.freeing })
            filling.groups.push(new Set(group.keys()))
          } else if (committing === undefined) {
            if (buffer.seal(0) === undefined) continue
            committing = filling
            filling = emptyModel()
          } else {
            if (step === "commit") buffer.discard()
            else {
              buffer.restore()
              for (const [name, newer] of filling.writes) committing.writes.set(name, newer)
              committing.groups.push(...filling.groups)
              filling = committing
            }
            committing = undefined
          }
          assert.sameDeepMembers([...aheadOf(buffer)], [...aheadOfModel(filling)])
        }
      }),
    { arbitrary: { runs: 300, size: 30, seed: "groups" } }
  )

  it.effect.prop(
    "are all committed with a batch that overwrites or reads one of them, if they are not on disk yet",
    {
      groups: Schema.Array(Schema.Array(Name).check(Schema.isBetweenLength(1, 3))),
      onDisk: Schema.Array(Name),
      written: Schema.Array(Name),
      read: Schema.Array(Name)
    },
    ({ groups, onDisk, read, written }) =>
      Effect.sync(() => {
        const memtable = Memtable.make()
        for (const group of groups) Memtable.add(memtable, putting(...new Set(group)), false)
        for (const name of onDisk) memtable.writes.remove("records", ByteString(name))
        const isOverwritten = (group: ReadonlySet<string>) => group.size > 1 && written.some((name) => group.has(name))
        // What the batch overwrites hides what it has read.
        const isRead = (group: ReadonlySet<string>) =>
          read.some((name) => group.has(name) && !written.some((other) => other === name))
        const expected = joined(groups.map((group) => new Set(group)))
          .filter((group) => isOverwritten(group) || isRead(group))
          .flatMap((group) => [...group].filter((name) => !onDisk.some((other) => other === name)))
        const taken = Memtable.neededBy(memtable, fromWrites(deleting(...written)), fromWrites(deleting(...read)))
        assert.sameDeepMembers([...taken], putting(...expected))
      }),
    { arbitrary: { runs: 300, size: 10, seed: "taken along" } }
  )

  it.effect("are in one transaction even if few fit", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ mapSize: "1 MiB", maxMapSize: "1 MiB", flushInterval: "Infinity" })
      const { access } = StoreInternals.of(store)
      const groups = ["a", "b", "c", "d", "e"].map((name) => [`${name}1`, `${name}2`])
      yield* store.putMany(groups.flat().map((name) => [name, 1] as const))
      for (const group of groups) {
        yield* StoreAccess.enterToWrite(access, (transaction) =>
          StoreAccess.remove(access, transaction, deleting(...group)))
      }
      // At first as one with all else, then again when freed pages have come of age, then as deletions, and then by halves
      const full = new EngineFull({ mapSize: 1_048_576, needed: 1_048_577 })
      for (const attempt of [1, 4, 5, 6, 9]) {
        yield* faulty.fail("commit", full, attempt)
      }
      const before = faulty.batches().length
      yield* store.flush
      assert.deepStrictEqual(
        faulty.batches().slice(before).map((batch) =>
          batch.map(([, key]) => String(key))
        ),
        [
          groups.flat(),
          [],
          [],
          groups.flat(),
          groups.flat(),
          ["a1", "a2", "b1", "b2"],
          ["a1", "a2"],
          ["b1", "b2"],
          ["c1", "c2", "d1", "d2", "e1", "e2"],
          ["c1", "c2"],
          ["d1", "d2", "e1", "e2"]
        ]
      )
      assert.strictEqual(yield* store.size, 0)
    }))
})
