/** Devices that write to their event logs while they are offline, and a server on the storage of a store. */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as EventGroup from "effect/eventlog/EventGroup"
import * as EventLog from "effect/eventlog/EventLog"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as EventLogRemote from "effect/eventlog/EventLogRemote"
import * as EventLogServerEncrypted from "effect/eventlog/EventLogServerEncrypted"
import * as EventLogServerUnencrypted from "effect/eventlog/EventLogServerUnencrypted"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Order from "effect/Order"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Collection, Store } from "../../src/index.ts"
import { temporaryFolder } from "../support/harness.ts"

const storeId = StoreId.make("default")

const NoteSet = Schema.Struct({ id: Schema.String, text: Schema.String })

const NoteEvents = EventGroup.empty.add({ tag: "NoteSet", primaryKey: ({ id }) => id, payload: NoteSet })

const schema = EventLog.schema(NoteEvents)

/** The notes, and how many events made each of them. */
const openNotes = Collection.make("notes", {
  key: Schema.String,
  value: Schema.Struct({ text: Schema.String, events: Schema.Int })
})

/** The newest text wins: an older event is only counted. */
const handlers = EventLog.group(
  NoteEvents,
  (group) =>
    Effect.map(
      openNotes,
      (notes) =>
        group.handle("NoteSet", ({ conflicts, payload: { id, text } }) =>
          Effect.gen(function*() {
            const [note] = yield* notes.collect({ equals: id, limit: 1 })
            const events = (note?.events ?? 0) + 1
            yield* notes.put(id, { text: note === undefined || conflicts.length === 0 ? text : note.text, events })
          }).pipe(Effect.orDie))
    ).pipe(Effect.orDie)
)

const kinds = {
  unencrypted: {
    server: EventLogServerUnencrypted.layer(schema, handlers).pipe(
      Layer.provide([
        LmdbEventLog.layerStorageUnencrypted(),
        Layer.succeed(EventLogServerUnencrypted.EventLogServerAuthorization, {
          authorizeWrite: () => Effect.void,
          authorizeRead: () => Effect.void,
          authorizeIdentity: () => Effect.void
        })
      ]),
      Layer.provideMerge(LmdbEventLog.layerStoreMapping())
    ),
    remote: EventLogRemote.layerUnencrypted
  },
  encrypted: {
    server: EventLogServerEncrypted.layer.pipe(
      Layer.provide(LmdbEventLog.layerStorageEncrypted()),
      Layer.merge(LmdbEventLog.layerStoreMapping())
    ),
    remote: EventLogRemote.layerEncrypted
  }
}

/** A part of the program that runs until it is stopped. */
const running = <A, E>(layer: Layer.Layer<A, E>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const context = yield* Layer.buildWithScope(Layer.fresh(layer), scope)
    return { context, stop: Scope.close(scope, Exit.void) }
  })

const serialization = RpcSerialization.layerSchemaBinary()

const startServer = (kind: keyof typeof kinds, path: string, socket: string) =>
  running(kinds[kind].server.pipe(
    Layer.provide(RpcServer.layerProtocolSocketServer),
    Layer.provide([NodeSocketServer.layer({ path: socket }), serialization]),
    Layer.provideMerge(Store.layer({ path }))
  ))

const device = (path: string) =>
  EventLog.layer(schema, handlers).pipe(
    Layer.provide(LmdbEventLog.layerJournal()),
    Layer.provideMerge(LmdbEventLog.layerIdentity()),
    Layer.provideMerge(Store.layer({ path }))
  )

const startOffline = (path: string) => running(device(path))

const startOnline = (kind: keyof typeof kinds, path: string, socket: string) =>
  running(kinds[kind].remote.pipe(
    Layer.provide(RpcClient.layerProtocolSocket({ retryTransientErrors: true })),
    Layer.provide([NodeSocket.layerNet({ path: socket }), serialization]),
    Layer.provideMerge(device(path))
  ))

const setNote = (id: string, text: string) =>
  Effect.flatMap(EventLog.EventLog, (log) => log.write({ schema, event: "NoteSet", payload: { id, text } }))

const notesOf = Effect.gen(function*() {
  const notes = yield* openNotes
  return Object.fromEntries(yield* Stream.runCollect(notes.entries()))
})

/** Waits until the notes of a store are those. */
const untilNotes = (expected: Record<string, { readonly text: string; readonly events: number }>) =>
  Effect.gen(function*() {
    const store = yield* Store
    const isReached = Effect.map(notesOf, (notes) => JSON.stringify(notes) === JSON.stringify(expected))
    yield* Stream.concat(Stream.succeed(undefined), store.commits()).pipe(
      Stream.mapEffect(() => isReached),
      Stream.takeUntil((reached) => reached),
      Stream.runDrain
    )
  })

const idsOf = Effect.flatMap(
  EventLog.EventLog,
  ({ entries }) => Effect.map(entries, (all) => all.map(({ idString }) => idString))
)

for (const kind of ["unencrypted", "encrypted"] as const) {
  describe(`devices and an ${kind} server`, () => {
    it.live("agree after both sides were edited while a device was offline and the server was restarted", () =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const [socket, one, two] = [`${folder}/socket`, `${folder}/one`, `${folder}/two`]
        const online = (path: string) => startOnline(kind, path, socket)

        // Both devices have one identity.
        const first = yield* startOffline(one)
        const identity = yield* Effect.provideContext(EventLog.Identity, first.context)
        yield* first.stop
        yield* LmdbEventLog.makeIdentity({ generate: Effect.succeed(identity) }).pipe(
          Effect.provide(Store.layer({ path: two }), { local: true })
        )

        const server = yield* startServer(kind, `${folder}/server`, socket)
        const { assign } = yield* Effect.provideContext(LmdbEventLog.StoreMappings, server.context)
        yield* assign({ publicKey: identity.publicKey, storeId, to: StoreId.make("family") })

        const ada = yield* online(one)
        const eve = yield* online(two)
        yield* Effect.provideContext(setNote("1", "first"), ada.context)
        yield* Effect.provideContext(untilNotes({ "1": { text: "first", events: 1 } }), eve.context)

        // One device is offline, and both are edited.
        yield* eve.stop
        const offline = yield* startOffline(two)
        yield* Effect.provideContext(setNote("1", "offline"), offline.context)
        yield* Effect.provideContext(setNote("2", "offline"), offline.context)
        yield* offline.stop
        yield* Effect.provideContext(setNote("1", "online, and newer"), ada.context)
        yield* Effect.provideContext(setNote("3", "online"), ada.context)

        yield* server.stop
        const restarted = yield* startServer(kind, `${folder}/server`, socket)
        const back = yield* online(two)
        const agreed = {
          "1": { text: "online, and newer", events: 3 },
          "2": { text: "offline", events: 1 },
          "3": { text: "online", events: 1 }
        }
        for (const { context } of [ada, back]) yield* Effect.provideContext(untilNotes(agreed), context)
        // The handlers of an encrypted server cannot read the events.
        if (kind === "unencrypted") yield* Effect.provideContext(untilNotes(agreed), restarted.context)
        const ids = yield* Effect.provideContext(idsOf, ada.context)
        assert.strictEqual(ids.length, 5)
        assert.deepStrictEqual(yield* Effect.provideContext(idsOf, back.context), ids)
        assert.deepStrictEqual(ids, ids.toSorted(Order.String))
      }).pipe(
        // Effect logs each connection that ends.
        Effect.provide(Logger.layer([]))
      ))
  })
}
