/** An event log that compacts what it imports, on Effect's memory journal and on a journal in a store. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as EventGroup from "effect/eventlog/EventGroup"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as EventLog from "effect/eventlog/EventLog"
import * as EventLogEncryption from "effect/eventlog/EventLogEncryption"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store } from "../../src/index.ts"
import { remoteEntries } from "../support/fixtures/journals.ts"

const Added = EventGroup.empty.add({ tag: "Added", primaryKey: () => "1", payload: Schema.String })

const encode = Schema.encodeEffect((Added.events["Added"] ?? assert.fail()).payloadSchemaBinary)

/** An entry with a time in its id, which is its payload too. */
const added = (msecs: number) =>
  Effect.map(encode(`${msecs}`), (payload) =>
    new EventJournal.Entry({
      id: EventJournal.makeEntryIdUnsafe({ msecs }),
      event: "Added",
      primaryKey: "1",
      payload
    }, { disableChecks: true }))

const identity = Layer.effect(EventLog.Identity, EventLog.makeIdentity).pipe(
  Layer.provide(EventLogEncryption.layerSubtle)
)

const layers = {
  "Effect's memory journal": EventJournal.layerMemory,
  "a journal in a store": Layer.provide(LmdbEventLog.layerJournal(), Store.layerTemp())
}

for (const [name, layer] of Object.entries(layers)) {
  describe(`a compaction on ${name}`, () => {
    it.effect("gives what it writes the place of the entries that it stands for", () =>
      Effect.gen(function*() {
        const handled = yield* Queue.unbounded<readonly [payload: string, conflicts: ReadonlyArray<unknown>]>()
        const handlers = EventLog.group(Added, (group) =>
          group.handle("Added", ({ conflicts, payload }) =>
            Queue.offer(handled, [
              payload,
              conflicts.map((conflict) =>
                conflict.payload
              )
            ])))
        const compaction = EventLog.groupCompaction(Added, ({ events, write }) =>
          write(
            "Added",
            events.map(({ payload }) => payload).join("+")
          ))

        const journal = yield* EventJournal.EventJournal
        yield* journal.writeFromRemote({
          remoteId: EventJournal.makeRemoteIdUnsafe(),
          entries: remoteEntries([yield* added(2000), yield* added(3000)]),
          effect: () => Effect.void
        })
        yield* Effect.gen(function*() {
          const { registerRemote } = yield* EventLog.Registry
          const queue = yield* Queue.unbounded<EventJournal.RemoteEntry>()
          yield* Queue.offerAll(queue, remoteEntries([yield* added(1000), yield* added(2500)]))
          yield* registerRemote({
            id: EventJournal.makeRemoteIdUnsafe(),
            changes: () => Effect.succeed(queue),
            write: () => Effect.void,
            whenAuthenticated: (effect) => effect
          })
          // Its id is new, but it stands for an entry that is older than the stored ones.
          assert.deepStrictEqual(yield* Queue.take(handled), ["1000+2500", ["2000", "3000"]])
        }).pipe(
          Effect.scoped,
          Effect.provide(
            Layer.provideMerge(compaction, EventLog.layer(EventLog.schema(Added), handlers)).pipe(
              Layer.provide(identity)
            )
          )
        )
      }).pipe(Effect.provide(layer)))
  })
}
