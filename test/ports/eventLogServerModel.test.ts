/** The storage of servers in a store against Effect's memory storage, under random work. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import { Entry, makeEntryIdUnsafe } from "effect/eventlog/EventJournal"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as Encrypted from "effect/eventlog/EventLogServerEncrypted"
import * as Unencrypted from "effect/eventlog/EventLogServerUnencrypted"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as Delayed from "../support/delayedStore.ts"
import { entryAt, labelOf, numbered } from "../support/fixtures/journals.ts"
import { temporaryFolder } from "../support/harness.ts"

const pool = Arr.makeBy(12, (n) =>
  entryAt({
    msecs: 1000 + 7 * n % 12,
    event: n % 2 === 0 ? "Added" : "Removed",
    primaryKey: n % 3 === 0 ? "1" : "2",
    label: `${n}`
  }))

const ids = Arr.makeBy(8, () => makeEntryIdUnsafe())

const Place = Schema.Literals(["a", "b"])

const Pick = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 11 }))

const IdPick = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 }))

const Step = Schema.TaggedUnion({
  Write: { storeId: Place, picks: Schema.NonEmptyArray(Pick), fails: Schema.Literals([false, false, true]) },
  Find: { storeId: Place, picks: Schema.NonEmptyArray(Pick), isBatch: Schema.Boolean },
  Upload: { publicKey: Place, storeId: Place, batches: Schema.Array(Schema.NonEmptyArray(IdPick)) },
  Acknowledge: { publicKey: Place, storeId: Place, picks: Schema.Array(IdPick) },
  Sign: { publicKey: Place, byte: Schema.Literals([1, 2, 3]) },
  Reopen: {}
})

interface Storages {
  readonly plain: Unencrypted.Storage["Service"]
  readonly secret: Encrypted.Storage["Service"]
}

const entriesOf = (picks: Arr.NonEmptyReadonlyArray<number>) =>
  Arr.map(Arr.dedupe(picks), (n) => pool[n] ?? assert.fail())

const idsOf = (picks: ReadonlyArray<number>) => picks.map((n) => ids[n] ?? assert.fail())

/** Does a step, and gives what came of it. */
const apply = ({ plain, secret }: Storages, step: typeof Step.Type): Effect.Effect<unknown> => {
  switch (step._tag) {
    case "Write": {
      // The memory storage does not undo a transaction that fails: such a step writes nothing.
      const write = step.fails
        ? Effect.fail("refused")
        : Effect.map(plain.write(StoreId.make(step.storeId), entriesOf(step.picks)), numbered)
      return Effect.map(
        Effect.exit(plain.withTransaction(write)),
        (exit) => Exit.isSuccess(exit) ? exit.value : "failed"
      )
    }
    case "Find": {
      const entries = Arr.sort(entriesOf(step.picks), Entry.Order)
      const found = plain.entriesAfter(StoreId.make(step.storeId), entries[0], step.isBatch ? entries : undefined)
      return Effect.map(found, numbered)
    }
    case "Upload": {
      const batches = step.batches.map((picks) => ({
        entryIds: Arr.map(picks, (n) => ids[n] ?? assert.fail()),
        iv: Uint8Array.of(1),
        encryptedBatch: Uint8Array.from(picks)
      }))
      return secret.write(step.publicKey, StoreId.make(step.storeId), batches)
    }
    case "Acknowledge":
      return secret.entrySequences(step.publicKey, StoreId.make(step.storeId), idsOf(step.picks))
    case "Sign":
      return Effect.forEach(
        [plain, secret],
        ({ getOrCreateSessionAuthBinding }) =>
          Effect.map(getOrCreateSessionAuthBinding(step.publicKey, Uint8Array.of(step.byte)), ([byte]) => byte)
      )
    default:
      return Effect.void
  }
}

/** What a stream gives that is stored, up to a last entry that is written to end it. */
const streamed = Effect.fnUntraced(function*({ plain, secret }: Storages, from: number) {
  const storeId = StoreId.make("a")
  const id = makeEntryIdUnsafe()
  const [end] = yield* plain.write(storeId, [entryAt({ msecs: 9_000_000, label: "end" })])
  const [last] = yield* secret.write("a", storeId, [{
    entryIds: [id],
    iv: Uint8Array.of(1),
    encryptedBatch: Uint8Array.of(255)
  }])
  const entries = yield* plain.changes({
    storeId,
    startSequence: Math.min(from, end?.remoteSequence ?? 0),
    compactors: new Map()
  }).pipe(
    Stream.takeUntil(({ entry }) => labelOf(entry) === "end"),
    Stream.runCollect
  )
  const batches = yield* secret.changes("a", storeId, Math.min(from, last?.sequence ?? 0)).pipe(
    Stream.takeUntil(({ encryptedBatch }) => encryptedBatch[0] === 255),
    Stream.runCollect
  )
  return [numbered(entries), batches.map(({ encryptedBatch, sequence }) => `${sequence} ${encryptedBatch.join(",")}`)]
})

const agrees = (waits: boolean) =>
  Effect.fnUntraced(function*(
    { from, steps }: { readonly from: number; readonly steps: ReadonlyArray<typeof Step.Type> }
  ) {
    const options: StoreOptions = { path: yield* temporaryFolder, durability: "noSync" }
    const memory: Storages = {
      plain: yield* Unencrypted.makeStorageMemory,
      secret: yield* Encrypted.makeStorageMemory
    }
    const open = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(waits ? Delayed.open(options, { seed: 1 }) : Store.make(options), scope)
      const storages = yield* Effect.all({
        plain: LmdbEventLog.makeStorageUnencrypted(),
        secret: LmdbEventLog.makeStorageEncrypted()
      }).pipe(Effect.provideService(Store, store), Scope.provide(scope))
      return { storages, scope }
    })
    let opened = yield* open
    for (const step of steps) {
      if (step._tag === "Reopen") {
        yield* Scope.close(opened.scope, Exit.void)
        opened = yield* open
      }
      assert.deepStrictEqual(yield* apply(opened.storages, step), yield* apply(memory, step), step._tag)
    }
    assert.deepStrictEqual(yield* streamed(opened.storages, from), yield* streamed(memory, from))
    yield* Scope.close(opened.scope, Exit.void)
  })

const workload = {
  steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 15, maxLength: 40 }),
  from: Arbitrary.schema(Schema.Literals([0, 1, 2, 3, 5, 8]))
}
const arbitrary = { runs: 10, size: 40, seed: "servers" }

describe("the storage of servers in a store agrees with the one in memory after each step", () => {
  it.effect.prop("on LMDB", workload, agrees(false), { arbitrary })

  it.effect.prop("when reads wait", workload, agrees(true), { arbitrary })
})
