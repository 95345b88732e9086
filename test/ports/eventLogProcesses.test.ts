/** Devices whose encrypted server is another process, which is killed, and whose log is compacted while a device is offline. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as EventLog from "effect/eventlog/EventLog"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import { spawn } from "node:child_process"
import * as process from "node:process"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store } from "../../src/index.ts"
import { methodsOf } from "../support/fixtures/compactions.ts"
import {
  connection,
  device,
  idsOf,
  keepIdentity,
  NoteEvents,
  running,
  setNote,
  untilNotes
} from "../support/fixtures/notes.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const serverProgram = new URL("../programs/eventLogServer.ts", import.meta.url).pathname

/** Starts a server whose clock is some hours ahead, and waits until it is ready. `kill` ends it as a power failure does. */
const startServer = (path: string, socket: string, hours: number) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly kill: Effect.Effect<void> }>((resume) => {
      const child = spawn(process.execPath, [serverProgram, path, socket, String(hours)], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      const kill = Effect.callback<void>((killed) => {
        if (child.exitCode !== null || child.signalCode !== null) return killed(Effect.void)
        child.once("close", () => killed(Effect.void))
        child.kill("SIGKILL")
      })
      child.stdout.once("data", () => resume(Effect.succeed({ kill })))
      child.once("close", (code) => resume(Effect.die(new Error(`The server has ended with ${code}`))))
    }),
    ({ kill }) => kill
  )

/** Of each note, the newest event is enough. */
const keepNewest = EventLog.groupCompaction(NoteEvents, ({ entries, forward }) => {
  const newest = entries.reduce((first, second) => second.idString > first.idString ? second : first)
  return forward(newest)
}, { remote: true })

const offline = (path: string) => running(device(path))

const online = (path: string, socket: string) =>
  running(Layer.mergeAll(connection("encrypted", socket), keepNewest).pipe(Layer.provideMerge(device(path))))

/** Tries again every 20 milliseconds, until something holds. */
const untilHolds = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(holds, { until: (does) => does, schedule: Schedule.spaced(20) })

/** Waits until the server has acknowledged the first entries of a device. */
const untilUploaded = (count: number) =>
  Effect.gen(function*() {
    const journal = yield* EventJournal.EventJournal
    const { remotes } = yield* EventLog.Registry
    yield* untilHolds(Effect.gen(function*() {
      const next = yield* Effect.forEach(remotes.values(), ({ id }) => journal.nextRemoteSequence(id))
      return next.includes(count)
    }))
  })

/** Compacts as soon as the device is connected again. */
const compacted = Effect.gen(function*() {
  const log = yield* EventLog.EventLog
  yield* untilHolds(
    Effect.match(log.compact(), {
      onSuccess: (results) => results.some(({ result }) => result === "Committed"),
      onFailure: () => false
    })
  )
})

const write = (...notes: ReadonlyArray<readonly [id: string, text: string]>) =>
  Effect.forEach(notes, ([id, text]) => setNote(id, text), { discard: true })

const texts = ({ text }: { readonly text: string }): string => text

describe("devices and an encrypted server in another process", () => {
  it.live("agree after the server was killed and its log was compacted while a device was offline", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const [socket, server, one, two, three] = ["socket", "server", "one", "two", "three"].map((name) =>
        `${folder}/${name}`
      )
      if (!socket || !server || !one || !two || !three) return assert.fail()

      // All devices have one identity.
      const first = yield* offline(one)
      const identity = yield* Effect.provideContext(EventLog.Identity, first.context)
      yield* first.stop
      yield* keepIdentity(two, identity)
      yield* keepIdentity(three, identity)

      const firstServer = yield* startServer(server, socket, 0)
      const ada = yield* online(one, socket)
      const eve = yield* online(two, socket)
      yield* Effect.provideContext(write(["1", "a"], ["1", "b"], ["2", "a"]), ada.context)
      yield* Effect.provideContext(untilNotes({ "1": "b", "2": "a" }, texts), eve.context)

      // One device is offline, and both are edited. Then the server is killed.
      yield* eve.stop
      const away = yield* offline(two)
      yield* Effect.provideContext(write(["1", "c"], ["1", "d"], ["3", "a"], ["3", "b"]), ada.context)
      yield* Effect.provideContext(write(["2", "away"], ["4", "away"]), away.context)
      yield* away.stop
      yield* Effect.provideContext(untilUploaded(7), ada.context)
      yield* firstServer.kill

      // Two days later, a device compacts the log, and the server is killed as soon as it has answered.
      const secondServer = yield* startServer(server, socket, 48)
      yield* Effect.provideContext(compacted, ada.context)
      yield* secondServer.kill

      // A year later, the other device is back, and there is a new one. The server has deleted what was replaced.
      const thirdServer = yield* startServer(server, socket, 365 * 24)
      const back = yield* online(two, socket)
      const agreed = { "1": "d", "2": "away", "3": "b", "4": "away" }
      for (const { context } of [ada, back, yield* online(three, socket)]) {
        yield* Effect.provideContext(untilNotes(agreed, texts), context)
        const count = (yield* Effect.provideContext(idsOf, context)).length
        assert.strictEqual(count, context === ada.context ? 9 : context === back.context ? 7 : 5)
      }
      yield* Effect.all([ada.stop, back.stop])
      yield* thirdServer.kill

      yield* withStore({ path: server }, (store) =>
        Effect.gen(function*() {
          const storage = yield* Effect.provideService(LmdbEventLog.makeStorageEncrypted(), Store, store)
          const history = yield* methodsOf(storage).history(identity.publicKey, StoreId.make("default"))
          assert.deepStrictEqual(
            history.map(({ base, keptCount, restorable }) => [base, keptCount, restorable]),
            [[-1, undefined, false], [6, 3, true]]
          )
        }).pipe(Effect.scoped))
    }).pipe(
      // Effect logs each connection that ends.
      Effect.provide(Logger.layer([]))
    ))
})
