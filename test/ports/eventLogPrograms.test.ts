/** Devices that write to their event logs while they are offline, and a server on the storage of a store. */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as EventLog from "effect/eventlog/EventLog"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as EventLogServerEncrypted from "effect/eventlog/EventLogServerEncrypted"
import * as EventLogServerUnencrypted from "effect/eventlog/EventLogServerUnencrypted"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Order from "effect/Order"
import * as RpcServer from "effect/rpc/RpcServer"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store } from "../../src/index.ts"
import {
  connection,
  device,
  handlers,
  idsOf,
  keepIdentity,
  running,
  schema,
  serialization,
  setNote,
  untilNotes
} from "../support/fixtures/notes.ts"
import { temporaryFolder } from "../support/harness.ts"

const storeId = StoreId.make("default")

const servers = {
  unencrypted: EventLogServerUnencrypted.layer(schema, handlers).pipe(
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
  encrypted: EventLogServerEncrypted.layer.pipe(
    Layer.provide(LmdbEventLog.layerStorageEncrypted()),
    Layer.merge(LmdbEventLog.layerStoreMapping())
  )
}

const startServer = (kind: keyof typeof servers, path: string, socket: string) =>
  running(servers[kind].pipe(
    Layer.provide(RpcServer.layerProtocolSocketServer),
    Layer.provide([NodeSocketServer.layer({ path: socket }), serialization]),
    Layer.provideMerge(Store.layer({ path }))
  ))

const startOffline = (path: string) => running(device(path))

const startOnline = (kind: keyof typeof servers, path: string, socket: string) =>
  running(Layer.provideMerge(connection(kind, socket), device(path)))

const whole = <A>(note: A): A => note

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
        yield* keepIdentity(two, identity)

        const server = yield* startServer(kind, `${folder}/server`, socket)
        const { assign } = yield* Effect.provideContext(LmdbEventLog.StoreMappings, server.context)
        yield* assign({ publicKey: identity.publicKey, storeId, to: StoreId.make("family") })

        const ada = yield* online(one)
        const eve = yield* online(two)
        yield* Effect.provideContext(setNote("1", "first"), ada.context)
        yield* Effect.provideContext(untilNotes({ "1": { text: "first", events: 1 } }, whole), eve.context)

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
        for (const { context } of [ada, back]) yield* Effect.provideContext(untilNotes(agreed, whole), context)
        // The handlers of an encrypted server cannot read the events.
        if (kind === "unencrypted") yield* Effect.provideContext(untilNotes(agreed, whole), restarted.context)
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
