/** The event journal of a store against Effect's memory journal, under random work. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as Delayed from "../support/delayedStore.ts"
import { entryAt, labelOf, remoteEntries } from "../support/fixtures/journals.ts"
import { temporaryFolder } from "../support/harness.ts"

const events = ["Added", "Removed"] as const
const keys = ["1", "2"] as const
const remotes = Arr.makeBy(2, () => EventJournal.makeRemoteIdUnsafe())

/** Entries of other devices: some are old, some have a clock that is hours ahead. */
const imported = Arr.makeBy(16, (n) =>
  entryAt({
    msecs: n < 10 ? 1000 + 7 * n % 10 : Date.UTC(2200, 0, 1) + n % 3 * 3_600_000,
    event: events[n % 2] ?? "Added",
    primaryKey: keys[Math.floor(n / 2) % 2] ?? "1",
    label: `imported ${n}`
  }))

/** What a compaction writes in place of each: ids that both journals see. */
const replacements = new Map(imported.map((entry) => [
  entry.idString,
  entryAt({
    event: entry.event,
    primaryKey: entry.primaryKey,
    msecs: entry.createdAtMillis,
    label: `in place of ${labelOf(entry)}`
  })
]))

const Remote = Schema.Literals([0, 1])

const Sequence = Schema.Literals([0, 1, 2, 3, 4, 5])

const Pick = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: imported.length - 1 }))

const Step = Schema.TaggedUnion({
  Write: {
    event: Schema.Literals(events),
    primaryKey: Schema.Literals(keys),
    count: Schema.Literals([1, 1, 3]),
    fails: Schema.Literals([false, false, true])
  },
  Import: {
    remote: Remote,
    picks: Schema.Array(Pick),
    sequence: Schema.Literals([0, 1, 2, 10]),
    compaction: Schema.Literals(["none", "none", "keep last", "replace", "drop"]),
    fails: Schema.Literals([false, false, true])
  },
  Upload: { remote: Remote, fails: Schema.Boolean, writes: Schema.Boolean },
  Acknowledge: { remote: Remote, sequences: Schema.Array(Sequence), first: Schema.optionalKey(Sequence) },
  Destroy: { really: Schema.Literals([false, false, false, true]) },
  Reopen: {}
})

type Journal = EventJournal.EventJournal["Service"]

const failing = <A>(fails: boolean, method: string, value: A) =>
  fails ? Effect.fail(new EventJournal.EventJournalError({ method, cause: "refused" })) : Effect.succeed(value)

/** Gives what an effect does, without the ids, which the two journals make on their own. */
const outcome = <A, E>(effect: Effect.Effect<A, E>, seen: ReadonlyArray<unknown>) =>
  Effect.map(Effect.exit(effect), (exit) => ({
    result: Exit.isSuccess(exit) ? exit.value : "failed",
    seen
  }))

const write = (journal: Journal, { count, event, fails, primaryKey }: typeof Step.cases.Write.Type, step: number) =>
  Effect.suspend(() => {
    const seen: Array<unknown> = []
    const entries = Arr.makeBy(count, (n) => ({ event, primaryKey, payload: Buffer.from(`local ${step}.${n}`) }))
    const call = journal.writeMany({
      entries,
      effect: (written) => {
        seen.push(written.map(labelOf))
        return failing(fails, "writeMany", "written")
      }
    })
    return outcome(call, seen)
  })

const compactionOf =
  (kind: typeof Step.cases.Import.Type["compaction"]) =>
  (added: ReadonlyArray<EventJournal.RemoteEntry>): ReadonlyArray<EventJournal.Entry> => {
    const entries = added.map(({ entry }) => entry)
    switch (kind) {
      case "keep last":
        return entries.slice(-1)
      case "replace":
        return entries.map((entry) => replacements.get(entry.idString) ?? assert.fail())
      case "drop":
        return []
      default:
        return entries
    }
  }

const importInto = (journal: Journal, step: typeof Step.cases.Import.Type) =>
  Effect.suspend(() => {
    const seen: Array<unknown> = []
    const { compaction, fails, picks, remote, sequence } = step
    const compact = compactionOf(compaction)
    const call = journal.writeFromRemote({
      remoteId: remotes[remote] ?? assert.fail(),
      entries: remoteEntries(picks.map((n) => imported[n] ?? assert.fail()), sequence),
      ...(compaction === "none" ? {} : {
        compact: (added) => {
          seen.push(["compact", added.map(({ entry }) => labelOf(entry))])
          return Effect.succeed(compact(added))
        }
      }),
      effect: (pairs) => {
        seen.push(pairs.map(({ conflicts, entry }) => [labelOf(entry), conflicts.map(labelOf)]))
        return failing(fails, "writeFromRemote", undefined)
      }
    })
    return outcome(Effect.map(call, ({ duplicateEntries }) => duplicateEntries.map(labelOf)), seen)
  })

const upload = (journal: Journal, { fails, remote, writes }: typeof Step.cases.Upload.Type, step: number) =>
  Effect.suspend(() => {
    const seen: Array<unknown> = []
    const call = journal.withRemoteUncommited(remotes[remote] ?? assert.fail(), (entries) =>
      Effect.gen(function*() {
        seen.push(entries.map(labelOf))
        // An entry that is written during the upload is in the next one.
        if (writes) {
          yield* write(
            journal,
            Step.cases.Write.make({ count: 1, event: "Added", fails: false, primaryKey: "1" }),
            step
          )
        }
        return yield* failing(fails, "withRemoteUncommited", "uploaded")
      }))
    return outcome(Effect.map(call, Option.getOrNull), seen)
  })

const acknowledge = (journal: Journal, { first, remote, sequences }: typeof Step.cases.Acknowledge.Type) =>
  outcome(
    journal.writeRemoteAcks({
      remoteId: remotes[remote] ?? assert.fail(),
      acks: sequences.map((sequence) => ({ entryId: EventJournal.makeEntryIdUnsafe(), sequence })),
      firstSequence: first
    }),
    []
  )

const apply = (journal: Journal, step: typeof Step.Type, number: number): Effect.Effect<unknown> => {
  switch (step._tag) {
    case "Write":
      return write(journal, step, number)
    case "Import":
      return importInto(journal, step)
    case "Upload":
      return upload(journal, step, number)
    case "Acknowledge":
      return acknowledge(journal, step)
    case "Destroy":
      return step.really ? outcome(journal.destroy, []) : Effect.void
    default:
      return Effect.void
  }
}

const stateOf = (journal: Journal) =>
  Effect.all({
    entries: Effect.map(journal.entries, Arr.map(labelOf)),
    known: Effect.map(journal.entriesById(imported.map(({ id }) => id)), Arr.map((entry) => entry && labelOf(entry))),
    sequences: Effect.forEach(remotes, journal.nextRemoteSequence)
  })

const agrees = (waits: boolean) =>
  Effect.fnUntraced(function*({ steps }: { readonly steps: ReadonlyArray<typeof Step.Type> }) {
    const options: StoreOptions = { path: yield* temporaryFolder, durability: "noSync" }
    const memory = yield* EventJournal.makeMemory
    const open = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(waits ? Delayed.open(options, { seed: 1 }) : Store.make(options), scope)
      const journal = yield* LmdbEventLog.makeJournal().pipe(Effect.provideService(Store, store), Scope.provide(scope))
      return { journal, scope }
    })
    let opened = yield* open
    for (const [number, step] of steps.entries()) {
      if (step._tag === "Reopen") {
        yield* Scope.close(opened.scope, Exit.void)
        opened = yield* open
      }
      const [stored, expected] = [yield* apply(opened.journal, step, number), yield* apply(memory, step, number)]
      assert.deepStrictEqual(stored, expected, step._tag)
      assert.deepStrictEqual(yield* stateOf(opened.journal), yield* stateOf(memory), step._tag)
    }
    yield* Scope.close(opened.scope, Exit.void)
  })

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 15, maxLength: 40 }) }
const arbitrary = { runs: 12, size: 40, seed: "journals" }

describe("the event journal of a store agrees with the one in memory after each step", () => {
  it.effect.prop("on LMDB", workload, agrees(false), { arbitrary })

  it.effect.prop("when reads wait", workload, agrees(true), { arbitrary })
})
