/** Compaction of an encrypted server in a store against Effect's memory storage, under random work. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { makeEntryIdUnsafe } from "effect/eventlog/EventJournal"
import type { EncryptedRemoteBatch } from "effect/eventlog/EventLogEncryption"
import * as Encrypted from "effect/eventlog/EventLogServerEncrypted"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as Delayed from "../support/delayedStore.ts"
import {
  batchOf,
  compactionOptions as compaction,
  lastOf,
  publicKey,
  shown,
  snapshotOf,
  stored,
  storeId
} from "../support/fixtures/compactions.ts"
import { temporaryFolder } from "../support/harness.ts"

const ids = Arr.makeBy(200, () => makeEntryIdUnsafe())

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Ids = Schema.NonEmptyArray(between(0, 199)).check(Schema.isMaxLength(3))

const Step = Schema.TaggedUnion({
  /** Time passes after the write, so that compactions have something to do. */
  Write: {
    batches: Schema.NonEmptyArray(Ids).check(Schema.isMaxLength(4)),
    hours: Schema.Literals([0, 1, 2, 3, 4])
  },
  Wait: { hours: Schema.Literals([1, 2, 3, 6]) },
  Compact: {
    /** The entries that are kept, as the bits of a number. */
    keeps: between(0, 255),
    size: between(1, 3),
    segments: Schema.Literals([1, 2]),
    end: Schema.Literals(["commit", "commit", "commit", "overtaken", "noOp", "abort", "leave", "leave"])
  },
  /** Works on a stage that may have ended. */
  Continue: {
    stage: Schema.Literals([0, 0, 0, 1]),
    does: Schema.Literals(["commit", "commit", "noOp", "abort", -1, 0, 1, 2 ** 33])
  },
  Rollback: { place: Schema.Literals([0, 0, 0, 1]) },
  /** Reads from a number on, maybe after the store was opened again. */
  Read: { from: between(0, 60), reopens: Schema.Literals([false, false, true]) }
})

/** Half of all steps write or compact, so that there are many generations. */
const AnyStep = Schema.Union([Step, Step, Step.cases.Write, Step.cases.Compact])

/** A stage, and the numbers with which it is committed. Each storage makes its own ids. */
interface Staged {
  readonly stageId: string
  readonly sequences: ReadonlyArray<number>
}

/** A storage, and its stages, the newest first. */
interface Tested {
  readonly storage: Encrypted.Storage["Service"]
  readonly compaction: Encrypted.StorageCompaction
  readonly stages: Array<Staged>
  /** What a stream from the first number on gives, while everything happens. */
  readonly live: Queue.Dequeue<EncryptedRemoteBatch, unknown>
}

const tested = Effect.fnUntraced(function*(
  storage: Encrypted.Storage["Service"],
  from: number,
  stages: Array<Staged>
) {
  const live = yield* Stream.toQueue(storage.changes(publicKey, storeId, from), { capacity: "unbounded" })
  const self: Tested = { storage, compaction: storage.compaction ?? assert.fail("no compaction"), stages, live }
  return self
})

/** What a call gives, without ids. */
const outcome = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    const [reason] = exit.cause.reasons
    if (reason?._tag !== "Fail") return "a defect"
    const { error } = reason
    return error instanceof Encrypted.CompactionRollbackError
      ? error.reason
      : error instanceof Encrypted.CompactionInvalidRequest
      ? error.message
      : error instanceof Encrypted.CompactionNotFound
      ? "not found"
      : Cause.pretty(exit.cause)
  })

const history = ({ compaction: { history: read } }: Tested) =>
  Effect.map(
    read(publicKey, storeId),
    (all) =>
      all.map(({ active, base, keptCount, restorable, supersededAt }) => ({
        active,
        base,
        keptCount,
        restorable,
        supersededAt
      }))
  )

const status = (self: Tested) => self.compaction.status(publicKey, storeId)

const readFrom = Effect.fnUntraced(function*(self: Tested, from: number) {
  const { head } = yield* status(self)
  return from > head ? [] : yield* stored(self.storage, from)
})

const endStage = (
  { compaction: { abort, commit, recordNoOp } }: Tested,
  { sequences, stageId }: Staged,
  end: "commit" | "noOp" | "abort"
): Effect.Effect<unknown> => {
  if (end === "commit") return outcome(commit(publicKey, storeId, stageId, sequences))
  return outcome(end === "noOp" ? recordNoOp(publicKey, storeId, stageId) : abort(publicKey, storeId, stageId))
}

/** Withdraws the active generation, or tries to withdraw an earlier one. */
const rollBack = Effect.fnUntraced(function*({ compaction: { history: read, rollback } }: Tested, place: number) {
  const { activationId } = (yield* read(publicKey, storeId)).at(-1 - place) ?? { activationId: "unknown" }
  const result = yield* outcome(rollback(publicKey, storeId, activationId))
  const active = (yield* read(publicKey, storeId)).at(-1) ?? assert.fail()
  return result === active.activationId ? "rolled back" : result
})

/** Compacts as a client does. */
const compact = Effect.fnUntraced(
  function*(self: Tested, step: Extract<typeof Step.Type, { readonly _tag: "Compact" }>) {
    const { begin, fetch, inputHeaders, stagePart, stagedHeaders } = self.compaction
    const { base, lagHead } = yield* status(self)
    if (lagHead <= base) return "nothing to do"
    const begun = yield* begin(publicKey, storeId, { through: lagHead })
    if (begun._tag === "Busy") return begun
    const { stageId } = begun
    const input = yield* Stream.runCollect(inputHeaders(publicKey, storeId, stageId))
    const sequences = [...input.map(({ sequence }) => sequence).toReversed(), base, lagHead + 1, 1000]
    const fetched = yield* Stream.runCollect(fetch(publicKey, storeId, stageId, sequences))
    const snapshot = snapshotOf(input, step.size, (index) => (step.keeps >> index % 8 & 1) === 1)
    const stage: Staged = { stageId, sequences: snapshot.sequences }
    self.stages.unshift(stage)
    const segments = Arr.chunksOf(snapshot.batches, Math.ceil(snapshot.batches.length / step.segments))
    // The first one is sent again, as after a lost connection.
    const parts = yield* Effect.forEach(
      [...segments.entries(), [0, segments[0]] as const],
      ([segment, batches]) => outcome(stagePart(publicKey, storeId, stageId, segment, batches))
    )
    const staged = yield* Stream.runCollect(stagedHeaders(publicKey, storeId, stageId))
    if (step.end === "overtaken") yield* rollBack(self, 0)
    const end = step.end === "leave"
      ? "left"
      : yield* endStage(self, stage, step.end === "overtaken" ? "commit" : step.end)
    return { input, fetched: fetched.map(shown), parts, staged, end }
  }
)

/** Does a step, and gives what came of it. */
const apply = (self: Tested, step: typeof Step.Type): Effect.Effect<unknown> => {
  switch (step._tag) {
    case "Write": {
      const batches = step.batches.map((picks) =>
        batchOf(picks.join(), ...Arr.map(picks, (n) => ids[n] ?? assert.fail()))
      )
      return self.storage.write(publicKey, storeId, batches)
    }
    case "Compact":
      return Effect.orDie(compact(self, step))
    case "Continue": {
      const stage = self.stages[step.stage] ?? { stageId: "unknown", sequences: [] }
      if (typeof step.does === "string") return endStage(self, stage, step.does)
      const batch = batchOf("part", ids[0] ?? assert.fail())
      return outcome(self.compaction.stagePart(publicKey, storeId, stage.stageId, step.does, [batch]))
    }
    case "Rollback":
      return rollBack(self, step.place)
    case "Read":
      return readFrom(self, step.from)
    default:
      return Effect.void
  }
}

/** Waits until the sweep has marked the same generations as that of the memory storage, which sweeps at once. */
const swept = (self: Tested, memory: Tested): Effect.Effect<void> =>
  Effect.gen(function*() {
    const [ours, theirs] = yield* Effect.all([history(self), history(memory)])
    if (JSON.stringify(ours) === JSON.stringify(theirs)) return
    yield* Effect.yieldNow
    yield* swept(self, memory)
  })

/** What the live stream has given since the last step, up to the highest number. */
const given = Effect.fnUntraced(function*({ live }: Tested, since: number, head: number) {
  const batches: Array<string> = []
  for (let last = since; last < head;) {
    const batch = yield* Queue.take(live)
    last = lastOf(batch)
    batches.push(shown(batch))
  }
  return batches
})

const agrees = (waits: boolean) =>
  Effect.fnUntraced(
    function*({ steps }: { readonly steps: ReadonlyArray<typeof Step.Type> }) {
      const options: StoreOptions = { path: yield* temporaryFolder, durability: "noSync" }
      const open = Effect.gen(function*() {
        const scope = yield* Scope.make()
        const store = yield* Scope.provide(waits ? Delayed.open(options, { seed: 1 }) : Store.make(options), scope)
        const storage = yield* LmdbEventLog.makeStorageEncrypted({ compaction }).pipe(
          Effect.provideService(Store, store),
          Scope.provide(scope)
        )
        return { storage, scope }
      })
      let opened = yield* open
      const memory = yield* tested(yield* Encrypted.makeStorageMemoryWith({ compaction }), 0, [])
      let ours = yield* tested(opened.storage, 0, [])
      let head = -1
      for (const step of steps) {
        if (step._tag === "Read" && step.reopens) {
          yield* Scope.close(opened.scope, Exit.void)
          opened = yield* open
          ours = yield* tested(opened.storage, head + 1, ours.stages)
        }
        assert.deepStrictEqual(yield* apply(ours, step), yield* apply(memory, step), step._tag)
        if (step._tag === "Write" || step._tag === "Wait") {
          yield* TestClock.adjust(`${step.hours} hours`)
          yield* swept(ours, memory)
        }
        const now = yield* status(memory)
        assert.isAtLeast(now.head, head)
        assert.deepStrictEqual(yield* status(ours), now)
        assert.deepStrictEqual(yield* history(ours), yield* history(memory))
        assert.deepStrictEqual(yield* given(ours, head, now.head), yield* given(memory, head, now.head))
        head = now.head
      }
      for (const from of [0, Math.floor(head / 2), head]) {
        assert.deepStrictEqual(yield* readFrom(ours, from), yield* readFrom(memory, from))
      }
      const every = ids.map((id) => id)
      assert.deepStrictEqual(
        yield* ours.storage.entrySequences(publicKey, storeId, every),
        yield* memory.storage.entrySequences(publicKey, storeId, every)
      )
      yield* Scope.close(opened.scope, Exit.void)
    },
    Effect.provide(Logger.layer([]))
  )

const workload = { steps: Arbitrary.array(Arbitrary.schema(AnyStep), { minLength: 25, maxLength: 50 }) }

describe("compaction in a store agrees with the one in memory after each step", () => {
  it.effect.prop("on LMDB", workload, agrees(false), { arbitrary: { runs: 8, size: 50, seed: "compactions" } })

  it.effect.prop("when reads wait", workload, agrees(true), { arbitrary: { runs: 3, size: 50, seed: "compactions" } })
})
