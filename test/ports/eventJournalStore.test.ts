/** What only the event journal in a store does: transactions, durability, several processes, failures. */
import { assert, describe, it } from "@effect/vitest"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as EventGroup from "effect/eventlog/EventGroup"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as EventLog from "effect/eventlog/EventLog"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import * as process from "node:process"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Closed, isStoreError, Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import { faults } from "../../src/testing/FaultyEngine.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { entryAt, labelOf, openCounts, remoteEntries } from "../support/fixtures/journals.ts"
import { faultyStore, temporaryFolder } from "../support/harness.ts"
import { withSpans } from "../support/spans.ts"

const entryWriter = new URL("../programs/entryWriter.ts", import.meta.url).pathname

const killedHandler = new URL("../programs/killedHandler.ts", import.meta.url).pathname

/** A journal, what its handlers count, and how to look at both. */
const openOn = Effect.fnUntraced(function*(store: StoreService, options?: LmdbEventLog.EventLogOptions) {
  const using = Effect.provideService(Store, store)
  const journal = yield* using(LmdbEventLog.makeJournal(options))
  const counts = yield* using(openCounts)
  const add = counts.update("a", (count) => Option.some(Option.getOrElse(count, () => 0) + 1))
  const write = <E = never, R = never>(label: string, effect: Effect.Effect<unknown, E, R> = Effect.void) =>
    journal.write({ event: "Added", primaryKey: "1", payload: Buffer.from(label), effect: () => effect })
  const state = Effect.all([
    Effect.map(journal.entries, Arr.map(labelOf)),
    Effect.map(counts.get("a"), Option.getOrElse(() => 0))
  ])
  return { store, journal, counts, add, write, state }
})

const open = (options: Partial<StoreOptions> = {}, journal?: LmdbEventLog.EventLogOptions) =>
  Effect.gen(function*() {
    const store = yield* Store.make({ path: yield* temporaryFolder, ...options })
    return yield* openOn(store, journal)
  })

const takeN = (subscription: PubSub.Subscription<EventJournal.Entry>, count: number) =>
  Effect.replicateEffect(PubSub.take(subscription), count)

const remoteId = EventJournal.makeRemoteIdUnsafe()

/** The effect of a replay, which fails with the error of journals only. */
const replay = <A, E>(effect: Effect.Effect<A, E>) => Effect.asVoid(Effect.orDie(effect))

describe("an entry and what its effect stores", () => {
  it.effect("are committed together, and rolled back together", () =>
    Effect.gen(function*() {
      const { add, state, write } = yield* open()
      yield* write("a", add)
      assert.deepStrictEqual(yield* state, [["a"], 1])
      assert.strictEqual(yield* Effect.flip(write("b", Effect.andThen(add, Effect.fail("refused")))), "refused")
      assert.isTrue(Exit.hasDies(yield* Effect.exit(write("c", Effect.andThen(add, Effect.die("broken"))))))
      assert.deepStrictEqual(yield* state, [["a"], 1])
    }))

  it.effect("are imported together, with the progress of the remote", () =>
    Effect.gen(function*() {
      const { add, journal, state } = yield* open()
      const entries = remoteEntries([entryAt({ msecs: 1000, label: "a" }), entryAt({ msecs: 2000, label: "b" })])
      const refused = new EventJournal.EventJournalError({ method: "test", cause: "refused" })
      const failing = journal.writeFromRemote({
        remoteId,
        entries,
        effect: () => Effect.andThen(replay(add), Effect.fail(refused))
      })
      assert.strictEqual(yield* Effect.flip(failing), refused)
      assert.deepStrictEqual([yield* state, yield* journal.nextRemoteSequence(remoteId)], [[[], 0], 0])
      yield* journal.writeFromRemote({ remoteId, entries, effect: (pairs) => replay(Effect.forEach(pairs, () => add)) })
      assert.deepStrictEqual([yield* state, yield* journal.nextRemoteSequence(remoteId)], [[["a", "b"], 2], 2])
    }))

  for (const [when, stored] of [["inside", []], ["after", ["a"]]] as const) {
    it.effect(`are ${when === "inside" ? "lost" : "kept"} together if the process is killed ${when} the write`, () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const { signal } = spawnSync(process.execPath, [killedHandler, path, when], { stdio: "inherit" })
        assert.strictEqual(signal, "SIGKILL")
        const { state } = yield* open({ path })
        assert.deepStrictEqual(yield* state, [[...stored], stored.length])
      }))
  }

  it.effect("are lost together if their commit fails", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const { add, journal, state, write } = yield* openOn(store)
      const subscription = yield* journal.changes
      yield* faulty.fail("commit", faults.diskFull)
      const error = yield* Effect.flip(write("a", add))
      assert.deepInclude(error, { _tag: "EventJournalError", method: "writeMany", cause: faults.diskFull })
      assert.deepStrictEqual(yield* state, [[], 0])
      yield* write("b", add)
      assert.strictEqual(labelOf(yield* PubSub.take(subscription)), "b")
    }))

  it.effect("belong to the transaction of the caller, and are published after it", () =>
    Effect.gen(function*() {
      const { add, journal, state, store, write } = yield* open()
      const subscription = yield* journal.changes
      const failed = store.withTransaction(Effect.andThen(write("a", add), Effect.fail("refused")))
      assert.strictEqual(yield* Effect.flip(failed), "refused")
      assert.deepStrictEqual(yield* state, [[], 0])
      yield* store.withTransaction(Effect.gen(function*() {
        yield* write("b", add)
        yield* write("c", add)
        assert.deepStrictEqual(yield* state, [["b", "c"], 2])
        // It outlives the transaction.
        yield* journal.changes
      }))
      yield* write("d")
      assert.deepStrictEqual((yield* takeN(subscription, 3)).map(labelOf), ["b", "c", "d"])
    }))

  it.effect("are computed again after a conflict, for the same entry", () =>
    Effect.gen(function*() {
      const { counts, journal, state } = yield* open()
      const context = yield* Effect.context()
      // Outside of the transaction.
      const outside = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.updateContext<A, E, never, never>(effect, () => context)
      const put = outside(counts.put("a", 10))
      const ids: Array<string> = []
      const write = journal.write({
        event: "Added",
        primaryKey: "1",
        payload: Buffer.from("a"),
        effect: (entry) =>
          Effect.gen(function*() {
            const count = yield* counts.get("a")
            // Another fiber changes the count while the first attempt runs.
            if (ids.push(entry.idString) === 1) {
              yield* Fiber.join(yield* Effect.forkDetach(put))
            }
            yield* counts.put("a", Option.getOrElse(count, () => 0) + 1)
          })
      })
      yield* write
      assert.strictEqual(ids.length, 2)
      assert.strictEqual(ids[0], ids[1])
      assert.deepStrictEqual(yield* state, [["a"], 11])
    }))

  it.effect("are one commit in an EventLog, with HandlerTransaction and without", () =>
    Effect.gen(function*() {
      const { add, journal, state, store } = yield* open()
      const Group = EventGroup.empty.add({
        tag: "Counted",
        primaryKey: String,
        payload: Schema.Int,
        error: Schema.String
      })
      const handlers = EventLog.group(Group, (group) =>
        group.handle("Counted", ({ payload }) =>
          Effect.andThen(Effect.orDie(add), payload < 0 ? Effect.fail("refused") : Effect.void)))
      const schema = EventLog.schema(Group)
      const program = Effect.gen(function*() {
        const log = yield* EventLog.EventLog
        yield* log.write({ schema, event: "Counted", payload: 1 })
        assert.strictEqual(yield* Effect.flip(log.write({ schema, event: "Counted", payload: -1 })), "refused")
      }).pipe(
        Effect.provide(EventLog.layer(schema, handlers), { local: true }),
        Effect.provide(LmdbEventLog.layerIdentity()),
        Effect.provideService(EventJournal.EventJournal, journal),
        Effect.provideService(Store, store)
      )
      yield* program
      yield* Effect.provideService(program, EventLog.HandlerTransaction, (effect) =>
        store.withTransaction(effect).pipe(Effect.catch((error) =>
          isStoreError(error) ? Effect.die(error) : Effect.fail(error)
        )))
      const [entries, count] = yield* state
      assert.deepStrictEqual([entries.length, count], [2, 2])
    }))
})

describe("a journal in a store", () => {
  it.effect("passes the error of an effect as it is, also if it is one of a store", () =>
    Effect.gen(function*() {
      const { write } = yield* open()
      const closed = new Closed({ path: "", what: "Store" })
      assert.strictEqual(yield* Effect.flip(write("a", Effect.fail(closed))), closed)
    }))

  it.effect("commits the writes of many fibers, and gives all of them ascending ids", () =>
    Effect.gen(function*() {
      const { add, journal, state, write } = yield* open()
      const subscription = yield* journal.changes
      yield* Effect.forEach(Arr.range(1, 20), (n) => write(`${n}`, add), { concurrency: "unbounded" })
      const [entries, count] = yield* state
      assert.strictEqual(count, 20)
      const published = yield* takeN(subscription, 20)
      assert.deepStrictEqual(published.map(labelOf), entries)
      const uploaded = yield* journal.withRemoteUncommited(remoteId, (all) => Effect.succeed(all.map(labelOf)))
      assert.deepStrictEqual(uploaded, Option.some(entries))
    }))

  it.effect("keeps several journals of a store apart, with names of any length", () =>
    Effect.gen(function*() {
      const names = ["", "a", "ab", "long".repeat(1000), "\ud800"]
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const journals = yield* Effect.forEach(names, (name) => openOn(store, { name }))
      yield* Effect.forEach(journals, ({ write }, n) => write(`${n}`), { concurrency: "unbounded" })
      const [first, ...others] = journals
      yield* first?.journal.destroy ?? assert.fail()
      assert.deepStrictEqual((yield* first?.state ?? assert.fail())[0], [])
      for (const [n, { state }] of others.entries()) assert.deepStrictEqual((yield* state)[0], [`${n + 1}`])
    }))

  it.effect("takes events and primary keys that are too long for a key, and keeps their conflicts apart", () =>
    Effect.gen(function*() {
      const { journal } = yield* open()
      const event = "Added".repeat(1000)
      const primaryKey = "ä".repeat(5000)
      const entry = (msecs: number, key: string) => entryAt({ msecs, label: `${msecs}`, event, primaryKey: key })
      const conflicts: Array<ReadonlyArray<string>> = []
      const importing = (...entries: ReadonlyArray<EventJournal.Entry>) =>
        journal.writeFromRemote({
          remoteId,
          entries: remoteEntries(entries),
          effect: (pairs) => Effect.sync(() => void conflicts.push(...pairs.map((pair) => pair.conflicts.map(labelOf))))
        })
      yield* importing(entry(2000, primaryKey), entry(3000, `${primaryKey}1`))
      yield* importing(entry(1000, primaryKey))
      assert.deepStrictEqual(conflicts, [[], [], ["2000"]])
    }))

  it.effect("takes any text, also with half of a surrogate pair", () =>
    Effect.gen(function*() {
      const { journal } = yield* open()
      const { event, primaryKey } = { event: "\udc00", primaryKey: "\ud800" }
      yield* journal.write({ event, primaryKey, payload: new Uint8Array(), effect: () => Effect.void })
      assert.deepInclude((yield* journal.entries)[0], { event, primaryKey })
    }))

  it.live("publishes the entries of other processes, and continues their ids", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const { journal, state, write } = yield* open({ path, shared: true })
      const subscription = yield* journal.changes
      yield* journal.writeFromRemote({
        remoteId,
        entries: remoteEntries([entryAt({ msecs: Date.UTC(2200, 0, 1), label: "ahead" })]),
        effect: () => Effect.void
      })
      for (const label of ["a", "b"]) {
        assert.strictEqual(spawnSync(process.execPath, [entryWriter, path, label], { stdio: "inherit" }).status, 0)
        assert.strictEqual(labelOf(yield* PubSub.take(subscription)), label)
      }
      yield* write("c")
      assert.strictEqual(labelOf(yield* PubSub.take(subscription)), "c")
      assert.deepStrictEqual((yield* state)[0], ["ahead", "a", "b", "c"])
    }).pipe(
      // The id that is ahead is logged.
      Effect.provide(Logger.layer([]))
    ))

  it.effect("begins no spans of its own, and leaves those of the effects", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const { journal, write } = yield* open()
        const before = spans.length
        yield* write("a", Effect.withSpan(Effect.void, "handler"))
        yield* journal.withRemoteUncommited(remoteId, () => Effect.withSpan(Effect.void, "upload"))
        yield* journal.writeFromRemote({
          remoteId,
          entries: remoteEntries([entryAt({ msecs: 1000, label: "b" })]),
          effect: () => Effect.withSpan(Effect.void, "replay")
        })
        yield* Effect.all([journal.entries, journal.nextRemoteSequence(remoteId), journal.destroy])
        assert.deepStrictEqual(spans.slice(before).map(({ name }) => name).filter((name) => name !== "Store.commit"), [
          "handler",
          "upload",
          "replay"
        ])
      })
    ))

  it.effect("fails with the error of the store when it is closed", () =>
    Effect.gen(function*() {
      const { journal, store, write } = yield* open()
      yield* store.close()
      const calls = {
        entries: journal.entries,
        entriesById: journal.entriesById([EventJournal.makeEntryIdUnsafe()]),
        writeMany: write("b"),
        writeFromRemote: journal.writeFromRemote({ remoteId, entries: [], effect: () => Effect.void }),
        withRemoteUncommited: journal.withRemoteUncommited(remoteId, () => Effect.void),
        writeRemoteAcks: journal.writeRemoteAcks({ remoteId, acks: [] }),
        nextRemoteSequence: journal.nextRemoteSequence(remoteId),
        destroy: journal.destroy
      }
      for (const [method, call] of Object.entries(calls)) {
        const error = yield* Effect.flip(Effect.asVoid<unknown, EventJournal.EventJournalError, never>(call))
        assert.strictEqual(error.method, method)
        assert.deepInclude(error.cause, { _tag: "Closed" })
      }
    }))

  it.effect("can be read in a read-only store, and not written", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Effect.scoped(Effect.flatMap(open({ path }), ({ write }) => write("a")))
      const { journal, write } = yield* Effect.provideService(
        openReadOnly,
        Store,
        yield* Store.make({ path, readOnly: true })
      )
      assert.deepStrictEqual((yield* journal.entries).map(labelOf), ["a"])
      assert.deepInclude((yield* Effect.flip(write)).cause, { _tag: "ReadOnly" })
    }))

  it.effect("fails if an entry is damaged", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Effect.scoped(Effect.flatMap(open({ path }), ({ write }) => write("a")))
      const database = "collection/effect.EventJournal.entries"
      const [[key] = assert.fail()] = yield* recordsOf(path, database)
      yield* tamper(path, [[database, key, Uint8Array.of(1, 2)]])
      const { journal } = yield* open({ path })
      for (const call of [journal.entries, journal.withRemoteUncommited(remoteId, () => Effect.void)]) {
        const error = yield* Effect.flip(Effect.asVoid<unknown, EventJournal.EventJournalError, never>(call))
        assert.deepInclude(error.cause, { _tag: "ValueDecoding" })
      }
    }))
})

const openReadOnly = Effect.gen(function*() {
  const journal = yield* LmdbEventLog.makeJournal()
  const entry = { event: "Added", primaryKey: "1", payload: new Uint8Array(), effect: () => Effect.void }
  return { journal, write: journal.write(entry) }
})
