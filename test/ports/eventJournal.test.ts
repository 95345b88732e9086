/**
 * Effect's `EventJournal` in a store: what every implementation of it does.
 *
 * These are the cases of Effect's own suites (of 4.0.0-rc.111: `EventJournal.test.ts` and `sqlite-node/test/
 * SqlEventJournal.test.ts`) in other words, and more. They run on Effect's memory journal too. Left out is what 4.1 has
 * changed since: an entry of a batch was a conflict of itself.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store } from "../../src/index.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { entryAt, labelOf, remoteEntries, written } from "../support/fixtures/journals.ts"
import { start, withLog } from "../support/harness.ts"

const delayed = Store.layerWithBackend(
  Effect.flatMap(LocalBackend.makeTemp(), (local) => DelayedBackend.make(local, { seed: 1 })),
  { name: "delayed" }
)

const layers = {
  "Effect's memory journal": EventJournal.layerMemory,
  "a store": Layer.provide(LmdbEventLog.layerJournal(), Store.layerTemp()),
  "a shared store": Layer.provide(LmdbEventLog.layerJournal(), Store.layerTemp({ shared: true })),
  "a store whose reads wait": Layer.provide(LmdbEventLog.layerJournal(), delayed)
}

const [server, device] = [EventJournal.makeRemoteIdUnsafe(), EventJournal.makeRemoteIdUnsafe()]

const hour = 3_600_000

const at = (msecs: number, options?: { readonly event?: string; readonly primaryKey?: string }) =>
  entryAt({ msecs, label: `${msecs}`, ...options })

const labels = Arr.map(labelOf)

/** Imports entries, and gives what the effect was called with. */
const imported = Effect.fnUntraced(function*(
  entries: ReadonlyArray<EventJournal.Entry>,
  options: { readonly from?: EventJournal.RemoteId; readonly sequence?: number } = {}
) {
  const journal = yield* EventJournal.EventJournal
  const calls: Array<ReadonlyArray<readonly [string, ReadonlyArray<string>]>> = []
  const { duplicateEntries } = yield* journal.writeFromRemote({
    remoteId: options.from ?? server,
    entries: remoteEntries(entries, options.sequence),
    effect: (pairs) =>
      Effect.sync(() => {
        calls.push(pairs.map(({ conflicts, entry }) => [labelOf(entry), labels(conflicts)]))
      })
  })
  return { calls, duplicates: labels(duplicateEntries) }
})

/** Uploads to a remote, and gives what it had not. */
const uploaded = (remoteId: EventJournal.RemoteId) =>
  Effect.flatMap(
    EventJournal.EventJournal,
    (journal) => journal.withRemoteUncommited(remoteId, (entries) => Effect.succeed(labels(entries)))
  )

/** Tells how an effect has failed: with what, or with which defect. */
const reasonOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isSuccess(exit)
    ? "succeeded"
    : exit.cause.reasons.map((reason) =>
      Cause.isFailReason(reason) ? reason.error : Cause.isDieReason(reason) ? reason.defect : reason._tag
    )

const stored = Effect.flatMap(EventJournal.EventJournal, (journal) => Effect.map(journal.entries, labels))

/** Takes what was published by now: a last entry is written, and all before it is taken. */
const published = Effect.fnUntraced(function*(subscription: PubSub.Subscription<EventJournal.Entry>) {
  yield* written("last")
  const taken: Array<string> = []
  while (taken.at(-1) !== "last") taken.push(labelOf(yield* PubSub.take(subscription)))
  return taken.slice(0, -1)
})

/** Runs tests on a layer that each builds for itself. */
const testing =
  (layer: Layer.Layer<EventJournal.EventJournal, unknown>) =>
  (title: string, effect: Effect.Effect<void, unknown, EventJournal.EventJournal>) =>
    it.effect(title, () => Effect.provide(effect, layer))

for (const [name, layer] of Object.entries(layers)) {
  describe(`EventJournal in ${name}`, () => {
    const test = testing(layer)

    test(
      "writes an entry after its effect, and returns the result of the effect",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        const id = yield* journal.write({
          event: "Added",
          primaryKey: "1",
          payload: Uint8Array.of(1, 2, 3),
          effect: (entry) => Effect.map(journal.entries, (entries) => entries.length === 0 ? entry.id : assert.fail())
        })
        const [entry] = yield* journal.entries
        assert.deepInclude(entry, { id, event: "Added", primaryKey: "1" })
        assert.deepStrictEqual(Array.from(entry?.payload ?? []), [1, 2, 3])
        assert.deepStrictEqual(yield* journal.entriesById([EventJournal.makeEntryIdUnsafe(), id]), [undefined, entry])
      })
    )

    test(
      "writes several entries after one call of the effect, with ascending ids",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        const entries = yield* journal.writeMany({
          entries: Arr.map(Arr.make("a", "b", "c"), (label) => ({
            event: "Added",
            primaryKey: "1",
            payload: Buffer.from(label)
          })),
          effect: Effect.succeed
        })
        assert.deepStrictEqual(labels(entries), ["a", "b", "c"])
        assert.deepStrictEqual(labels(Arr.sort(entries, EventJournal.Entry.Order)), ["a", "b", "c"])
        assert.deepStrictEqual(yield* stored, ["a", "b", "c"])
      })
    )

    test(
      "stores and publishes nothing if the effect fails, dies or is interrupted",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        const subscription = yield* journal.changes
        const exits: ReadonlyArray<Exit.Exit<never, string>> = [
          Exit.fail("refused"),
          Exit.die("broken"),
          Exit.interrupt()
        ]
        for (const exit of exits) {
          const result = yield* Effect.exit(written("x", { effect: () => exit }))
          assert.deepStrictEqual(reasonOf(result), reasonOf(exit))
        }
        assert.deepStrictEqual(yield* stored, [])
        assert.deepStrictEqual(yield* published(subscription), [])
      }).pipe(Effect.scoped)
    )

    test(
      "publishes local entries in the order of their commits, and no imported ones",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        yield* written("before")
        const subscription = yield* journal.changes
        const other = yield* journal.changes
        yield* written("a")
        yield* imported([entryAt({ msecs: 1000, label: "old" })])
        yield* written("b")
        assert.deepStrictEqual(yield* published(subscription), ["a", "b"])
        assert.deepStrictEqual(yield* published(other), ["a", "b"])
      }).pipe(Effect.scoped)
    )

    test(
      "gives local entries ids after all others, also after those of a clock that is ahead",
      Effect.gen(function*() {
        const ahead = Date.UTC(2200, 0, 1)
        yield* written("a")
        yield* imported([entryAt({ msecs: ahead, label: "ahead" }), entryAt({ msecs: 1000, label: "old" })])
        for (const label of ["b", "c"]) yield* written(label)
        assert.deepStrictEqual(yield* stored, ["old", "a", "ahead", "b", "c"])
      })
    )

    test(
      "passes new entries to the effect once, in the order of their ids, and returns those that it has",
      Effect.gen(function*() {
        const [a, b, c] = Arr.map(["a", "b", "c"], (label, n) => entryAt({ msecs: 1000 * n, label, primaryKey: label }))
        assert.deepStrictEqual(yield* imported([b ?? assert.fail()]), { calls: [[["b", []]]], duplicates: [] })
        assert.deepStrictEqual(yield* imported([c, b, a, c].map((entry) => entry ?? assert.fail())), {
          calls: [[["a", []], ["c", []]]],
          duplicates: ["b"]
        })
        assert.deepStrictEqual(yield* imported([c ?? assert.fail()]), { calls: [], duplicates: ["c"] })
        assert.deepStrictEqual(yield* imported([]), { calls: [], duplicates: [] })
        assert.deepStrictEqual(yield* stored, ["a", "b", "c"])
      })
    )

    test(
      "pairs an imported entry with the stored entries of its event and primary key that are newer",
      Effect.gen(function*() {
        yield* imported([at(1000), at(3000), at(4000, { event: "Removed" }), at(5000, { primaryKey: "2" })])
        yield* written("local")
        const { calls } = yield* imported([at(2000), at(2500), at(3500), at(4500, { event: "Removed" })])
        assert.deepStrictEqual(calls, [[
          ["2000", ["3000", "local"]],
          ["2500", ["3000", "local"]],
          ["3500", ["local"]],
          ["4500", []]
        ]])
      })
    )

    test(
      "passes on what a compaction gives, and stores what was compacted",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        const entries = Arr.map(["a", "b", "c"], (label, n) => entryAt({ msecs: 1000 * n, label }))
        const passed: Array<string> = []
        yield* journal.writeFromRemote({
          remoteId: server,
          entries: remoteEntries(entries),
          compact: (added) => Effect.succeed(added.slice(-1).map(({ entry }) => entry)),
          effect: (pairs) => Effect.sync(() => void passed.push(...pairs.map(({ entry }) => labelOf(entry))))
        })
        assert.deepStrictEqual(passed, ["c"])
        assert.deepStrictEqual(yield* stored, ["a", "b", "c"])
      })
    )

    test(
      "moves nothing if the effect or the compaction fails",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        const refused = new EventJournal.EventJournalError({ method: "test", cause: "refused" })
        const entries = remoteEntries([entryAt({ msecs: 1000, label: "a" })])
        const remoteId = server
        const effect = () => Effect.fail(refused)
        const compact = () => Effect.fail(refused)
        assert.strictEqual(yield* Effect.flip(journal.writeFromRemote({ remoteId, entries, effect })), refused)
        const compacting = journal.writeFromRemote({ remoteId, entries, compact, effect: () => Effect.void })
        assert.strictEqual(yield* Effect.flip(compacting), refused)
        assert.deepStrictEqual(yield* stored, [])
        assert.strictEqual(yield* journal.nextRemoteSequence(server), 0)
      })
    )

    test(
      "gives the sequence after the highest that a remote has sent, and after the acknowledged ones without a gap",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        const next = journal.nextRemoteSequence(server)
        const acknowledge = (sequences: ReadonlyArray<number>, firstSequence?: number) =>
          Effect.andThen(
            journal.writeRemoteAcks({
              remoteId: server,
              acks: sequences.map((sequence) => ({ entryId: EventJournal.makeEntryIdUnsafe(), sequence })),
              firstSequence
            }),
            next
          )
        const a = entryAt({ msecs: 1000, label: "a" })
        assert.strictEqual(yield* next, 0)
        yield* imported([a, entryAt({ msecs: 2000, label: "b" })])
        assert.strictEqual(yield* next, 2)
        yield* imported([a], { sequence: 5 })
        assert.strictEqual(yield* next, 6)
        yield* imported([a], { sequence: 1 })
        assert.strictEqual(yield* next, 6)
        assert.strictEqual(yield* acknowledge([8, 6, 7, 6, 10, 0]), 9)
        assert.strictEqual(yield* acknowledge([11, 12], 11), 13)
        assert.strictEqual(yield* acknowledge([14]), 13)
        assert.strictEqual(yield* journal.nextRemoteSequence(device), 0)
      })
    )

    test(
      "uploads what a remote does not have, in the order of the ids, and what it has sent not to itself",
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* uploaded(server), Option.none())
        yield* written("a")
        assert.deepStrictEqual(yield* uploaded(server), Option.some(["a"]))
        assert.deepStrictEqual(yield* uploaded(server), Option.none())
        yield* written("b")
        // It is old, and was imported late.
        yield* imported([entryAt({ msecs: 1000, label: "old" })], { from: device })
        assert.deepStrictEqual(yield* uploaded(server), Option.some(["old", "b"]))
        assert.deepStrictEqual(yield* uploaded(device), Option.some(["a", "b"]))
        yield* imported([entryAt({ msecs: 2000, label: "sent" })], { from: device })
        assert.deepStrictEqual(yield* uploaded(device), Option.none())
      })
    )

    test(
      "uploads entries again after a failure, and those that are written during an upload next",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        yield* written("a")
        const failed = yield* Effect.flip(journal.withRemoteUncommited(server, () => Effect.fail("offline")))
        assert.strictEqual(failed, "offline")
        const during = journal.withRemoteUncommited(server, (entries) => Effect.as(written("b"), labels(entries)))
        assert.deepStrictEqual(yield* during, Option.some(["a"]))
        assert.deepStrictEqual(yield* uploaded(server), Option.some(["b"]))
      })
    )

    test(
      "keeps what the later of two uploads has uploaded if the earlier one ends last",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        const began = yield* Deferred.make<void>()
        const end = yield* Deferred.make<void>()
        yield* written("a")
        const earlier = yield* start(
          journal.withRemoteUncommited(server, (entries) =>
            Deferred.succeed(began, undefined).pipe(
              Effect.andThen(Deferred.await(end)),
              Effect.as(labels(entries))
            ))
        )
        yield* Deferred.await(began)
        yield* written("b")
        assert.deepStrictEqual(yield* uploaded(server), Option.some(["a", "b"]))
        yield* Deferred.succeed(end, undefined)
        assert.deepStrictEqual(yield* Fiber.join(earlier), Option.some(["a"]))
        assert.deepStrictEqual(yield* uploaded(server), Option.none())
      })
    )

    test(
      "forgets everything when it is destroyed, and can be used again",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        const subscription = yield* journal.changes
        yield* imported([entryAt({ msecs: Date.UTC(2200, 0, 1), label: "ahead" })])
        yield* written("a")
        yield* uploaded(device)
        yield* journal.destroy
        assert.deepStrictEqual(yield* stored, [])
        assert.strictEqual(yield* journal.nextRemoteSequence(server), 0)
        assert.deepStrictEqual(yield* uploaded(device), Option.none())
        yield* written("b")
        const [b] = yield* journal.entries
        assert.isBelow(b?.createdAtMillis ?? Infinity, Date.UTC(2200, 0, 1))
        assert.deepStrictEqual(yield* uploaded(device), Option.some(["b"]))
        assert.deepStrictEqual((yield* published(subscription)).filter((label) => label !== "a"), ["b"])
      }).pipe(Effect.scoped)
    )

    test(
      "lets one effect at a time run for a store id, and others meanwhile",
      Effect.gen(function*() {
        const journal = yield* EventJournal.EventJournal
        const held = yield* Deferred.make<void>()
        const order: Array<string> = []
        const step = (id: string, label: string, wait: Effect.Effect<void>) =>
          start(journal.withLock(StoreId.make(id))(Effect.andThen(wait, Effect.sync(() => void order.push(label)))))
        const first = yield* step("a", "first", Deferred.await(held))
        const second = yield* step("a", "second", Effect.void)
        yield* Fiber.join(yield* step("b", "other", Effect.void))
        assert.deepStrictEqual(order, ["other"])
        yield* Deferred.succeed(held, undefined)
        yield* Fiber.joinAll([first, second])
        assert.deepStrictEqual(order, ["other", "first", "second"])
      })
    )

    test(
      "warns of imported ids that are more than a day ahead of the clock, once",
      withLog((log) =>
        Effect.gen(function*() {
          yield* imported([entryAt({ msecs: 23 * hour, label: "a" })])
          assert.deepStrictEqual(log, [])
          yield* imported([entryAt({ msecs: 25 * hour, label: "b" }), entryAt({ msecs: 0, label: "c" })])
          yield* imported([entryAt({ msecs: 0, label: "d" })])
          yield* written("e")
          assert.deepStrictEqual(log.map(({ level, text }) => [level, /\d+ hours/.exec(text)?.[0]]), [[
            "WARN",
            "25 hours"
          ]])
        })
      )
    )
  })
}
